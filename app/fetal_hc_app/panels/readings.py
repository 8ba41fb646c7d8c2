"""Second readings of one case, and settling a disagreement."""

from __future__ import annotations

import streamlit as st

from fetal_hc_app import access, case_session, drafts, wording
from fetal_hc_app.drafts import Draft
from fetal_hc_app.roles import Role
from fetal_hc_app.texts import text
from hc18.reviews.models import ReviewCase
from hc18.reviews.state import to_outline


def readings_panel(case: ReviewCase, draft: Draft, *, is_disabled: bool) -> None:
    """Each blind reading with its difference, and the decision that settles them.

    Args:
        case: as stored.
        draft: what this session draws.
        is_disabled: whether nothing can be settled: no name, or a case that somebody else has changed.
    """
    state = case.state
    if state.outline.hc_mm is not None:
        st.markdown(f"**{text('In force')}**: {state.outline.hc_mm:.1f} mm, {wording.plain(state.reviewer or '–')}")
    for number, reading in enumerate(state.readings):
        left, right = st.columns([3, 2], vertical_alignment="center")
        left.markdown(_line(case, number))
        right.button(
            text("Show this ellipse"),
            key=f"show-reading-{case.case_id}-{number}",
            disabled=is_disabled or reading.ellipse_px is None or state.is_signed,
            on_click=drafts.change_ellipse,
            args=(case.case_id, reading.ellipse_px),
            width="stretch",
        )
    if state.is_signed:
        st.caption(text("Reopen the case to settle a disagreement."))
        return
    if not access.may(Role.ADJUDICATOR):
        st.caption(text("Only adjudicators settle disagreements."))
        return
    key = f"settle-{case.case_id}"
    st.text_input(text("Why this ellipse counts"), key=f"{key}-words", max_chars=500, disabled=is_disabled)
    st.button(
        text("Settle with the ellipse on the screen"),
        key=key,
        type="primary",
        icon=":material/gavel:",
        disabled=is_disabled or draft.ellipse_px is None,
        on_click=case_session.settle,
        args=(case.case_id, draft, f"{key}-words"),
    )


def _line(case: ReviewCase, number: int) -> str:
    """Who read what, and how far it is from the value in force."""
    reading, state = case.state.readings[number], case.state
    hc_mm = to_outline(reading.ellipse_px, state.calibration).hc_mm
    value = text("no ellipse") if reading.ellipse_px is None else "–" if hc_mm is None else f"{hc_mm:.1f} mm"
    if hc_mm is not None and state.outline.hc_mm is not None:
        value += f" ({hc_mm - state.outline.hc_mm:+.1f} mm)"
    note = f": {wording.plain(reading.reason)}" if reading.reason else ""
    return f"**{wording.plain(reading.reader)}**, {wording.plain(wording.utc(reading.at_utc))}: {value}{note}"
