"""Where the pixel size comes from, and typing one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import streamlit as st

from fetal_hc_app import case_session, drafts, session, wording
from fetal_hc_app.drafts import Draft
from fetal_hc_app.editor import read_marks
from fetal_hc_app.texts import text
from hc18.geometry.pixel_size import Calibration, format_pixel_size
from hc18.reviews.models import ReviewCase

_LEAST_APART_PX = 20.0  # closer marks make a pixel size that is wrong by more than 5 % for one pixel


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
    current = text("none, so there are no millimetres") if size is None else format_pixel_size(size)
    st.markdown(f"**{text('In force')}:** {wording.plain(current)}. {wording.plain(state.calibration.detail)}")
    for number, offer in enumerate(offers):
        _offer_button(case, draft, offer, number, is_locked=is_locked)
    if offers and size is not None:
        st.button(
            text(
                "Keep {size} ({source})",
                size=format_pixel_size(size),
                source=text(wording.SOURCE_NAMES[state.calibration.source]),
            ),
            key=f"keep-size-{case.case_id}",
            on_click=session.keep_pixel_size,
            args=(case.case_id, offers),
        )
    key = f"size-{case.case_id}"
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    left.number_input(
        text("Millimetres per pixel"),
        min_value=0.0,
        value=None,
        step=0.001,
        format="%.6f",
        key=key,
        placeholder=text("for example 0.128"),
        disabled=is_locked,
        help=text("Distance between two marks of the depth scale in mm, divided by their distance in pixels."),
    )
    right.button(
        text("Use it"),
        key=f"{key}-use",
        disabled=is_locked or not st.session_state.get(key),
        on_click=case_session.calibrate_by_hand,
        args=(case.case_id, draft.revision, key, draft.ellipse_px),
        width="stretch",
    )
    _marks_fields(case, draft, is_locked=is_locked)
    st.caption(text("A typed pixel size is recorded with your name and shown with every value in millimetres."))


def _marks_fields(case: ReviewCase, draft: Draft, *, is_locked: bool) -> None:
    """A pixel size from two marks of the depth scale that were clicked in the picture."""
    marks = read_marks(drafts.editor_case(case.case_id))
    if marks is None:
        st.caption(text("Or choose **Depth scale** under the picture (key M), click two marks, type their distance."))
        return
    apart_px = math.dist(*marks)
    key = f"marks-{case.case_id}"
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    apart_mm = left.number_input(
        text("Distance of the two marks, mm ({px:.1f} px apart)", px=apart_px),
        min_value=0.0,
        value=None,
        step=10.0,
        format="%.1f",
        key=key,
        disabled=is_locked,
    )
    size = apart_mm / apart_px if apart_mm and apart_px >= _LEAST_APART_PX else None
    label = text("Use it") if size is None else text("Use {size:.4f} mm per px", size=size)
    right.button(
        label,
        key=f"{key}-use",
        disabled=is_locked or size is None,
        on_click=case_session.calibrate_by_marks,
        args=(case.case_id, draft.revision, apart_px, key, draft.ellipse_px),
        width="stretch",
    )


def _offer_button(case: ReviewCase, draft: Draft, offer: Calibration, number: int, *, is_locked: bool) -> None:
    """A button that puts one of the offered pixel sizes in force, or none with the reason."""
    size = offer.pixel_size_xy_mm
    label = text("Use no pixel size") if size is None else text("Use {value}", value=format_pixel_size(size))
    source = text("the uploaded file gives none") if size is None else text(wording.SOURCE_NAMES[offer.source])
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
