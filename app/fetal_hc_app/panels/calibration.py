"""Where the pixel size comes from, and typing one."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from fetal_hc_app import case_session, session, wording
from fetal_hc_app.drafts import Draft
from hc18.geometry.pixel_size import Calibration, format_pixel_size
from hc18.reviews.models import ReviewCase


def calibration_panel(case: ReviewCase, draft: Draft, offers: Sequence[Calibration], *, is_locked: bool) -> None:
    """The pixel size in force, others that the files of this session give, and a field for another.

    Args:
        case: as stored.
        draft: what this session draws.
        offers: sizes of this session that differ from the one in force.
        is_locked: whether nothing can be changed.
    """
    state = case.state
    size = state.calibration.pixel_size_xy_mm
    current = "none, so there are no millimetres" if size is None else format_pixel_size(size)
    st.markdown(f"**In force:** {wording.plain(current)}. {wording.plain(state.calibration.detail)}")
    for number, offer in enumerate(offers):
        _offer_button(case, draft, offer, number, is_locked=is_locked)
    if offers and size is not None:
        st.button(
            f"Keep {format_pixel_size(size)} ({wording.SOURCE_NAMES[state.calibration.source]})",
            key=f"keep-size-{case.case_id}",
            on_click=session.keep_pixel_size,
            args=(case.case_id, offers),
        )
    key = f"size-{case.case_id}"
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    left.number_input(
        "Millimetres per pixel",
        min_value=0.0,
        value=None,
        step=0.001,
        format="%.6f",
        key=key,
        placeholder="for example 0.128",
        disabled=is_locked,
        help="Distance between two marks of the depth scale in mm, divided by their distance in pixels.",
    )
    right.button(
        "Use it",
        key=f"{key}-use",
        disabled=is_locked or not st.session_state.get(key),
        on_click=case_session.calibrate_by_hand,
        args=(case.case_id, draft.revision, key, draft.ellipse_px),
        width="stretch",
    )
    st.caption("A typed pixel size is recorded with your name and shown with every value in millimetres.")


def _offer_button(case: ReviewCase, draft: Draft, offer: Calibration, number: int, *, is_locked: bool) -> None:
    """A button that puts one of the offered pixel sizes in force, or none with the reason."""
    size = offer.pixel_size_xy_mm
    label = "Use no pixel size" if size is None else f"Use {format_pixel_size(size)}"
    source = "the uploaded file gives none" if size is None else wording.SOURCE_NAMES[offer.source]
    st.button(
        f"{label} ({source})",
        key=f"offered-size-{case.case_id}-{number}",
        disabled=is_locked,
        on_click=case_session.calibrate,
        args=(case.case_id, draft.revision, offer),
        help=wording.plain(offer.detail),
    )
    if size is None:
        st.caption(wording.plain(offer.detail))
