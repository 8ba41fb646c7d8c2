"""Where the pixel size comes from, and typing one."""

from __future__ import annotations

import streamlit as st

from fetal_hc_app import casework, wording
from fetal_hc_app.casework import Draft
from hc18.geometry.pixel_size import Calibration, format_pixel_size
from hc18.reviews.models import ReviewCase


def calibration_panel(case: ReviewCase, draft: Draft, offered: Calibration | None, *, is_locked: bool) -> None:
    """The pixel size in force, one that an upload of this session offers, and a field for another.

    Args:
        case: as stored.
        draft: what this session draws.
        offered: pixel size that a file of this session gives; None without.
        is_locked: whether nothing can be changed.
    """
    state = case.state
    size = state.calibration.pixel_size_xy_mm
    current = "none, so there are no millimetres" if size is None else format_pixel_size(size)
    st.markdown(f"**In force:** {wording.plain(current)}. {wording.plain(state.calibration.detail)}")
    if offered is not None and offered.pixel_size_xy_mm is not None and offered != state.calibration:
        st.button(
            f"Use {format_pixel_size(offered.pixel_size_xy_mm)} ({wording.SOURCE_NAMES[offered.source]})",
            key=f"offered-size-{case.case_id}",
            disabled=is_locked,
            on_click=casework.calibrate,
            args=(case.case_id, draft.revision, offered),
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
        on_click=casework.calibrate_by_hand,
        args=(case.case_id, draft.revision, key),
        width="stretch",
    )
    st.caption("A typed pixel size is recorded with your name and shown beside every value in millimetres.")
