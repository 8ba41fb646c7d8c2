"""One case: image, numbers, decision, and what belongs to it."""

from __future__ import annotations

import streamlit as st

from fetal_hc.errors import FetalHCError
from fetal_hc_app import access, case_session, drafts, resources, session, wording
from fetal_hc_app.drafts import Draft
from fetal_hc_app.editor import read_shown
from fetal_hc_app.panels.calibration import calibration_panel
from fetal_hc_app.panels.decision import decision_panel, draft_panel, notice_panel, status_panel, undo_panel
from fetal_hc_app.panels.drawing import drawing_panel, fields_panel
from fetal_hc_app.panels.examination import examination_panel
from fetal_hc_app.panels.exports import exports_panel
from fetal_hc_app.panels.growth import growth_panel
from fetal_hc_app.panels.history import history_panel
from fetal_hc_app.panels.readings import readings_panel
from fetal_hc_app.panels.result import age_panel, circumference_panel, quality_panel, shape_panel
from fetal_hc_app.resources import Picture
from fetal_hc_app.texts import text
from hc18.geometry.ellipse import Ellipse
from hc18.obstetrics.gestational_age import gestational_ages
from hc18.obstetrics.growth import intergrowth_hc
from hc18.obstetrics.head_shape import measure_head_shape
from hc18.reviews.models import CaseId, Decision, ReviewCase
from hc18.reviews.state import to_outline

_GROWTH, _SIZE, _EXPORTS, _HISTORY = "Growth and dates", "Pixel size", "Reports and exports", "History"
_READINGS, _EXAMINATION = "Second readings", "Examination"
_SECTIONS = (_GROWTH, _SIZE, _EXPORTS, _HISTORY)


@st.fragment
def case_panel(case_id: CaseId) -> None:
    """One case under a list that shows its state. A fragment: drawing runs nothing else of the page again."""
    access.keep_alive()
    if case_session.needs_whole_page():
        st.rerun()
    try:
        case = resources.store().case(case_id)
    except FetalHCError as error:
        st.error(wording.plain(wording.sentence(str(error))), icon=":material/error:")
        return
    show_case(case, None)


def show_case(case: ReviewCase, following: CaseId | None) -> None:
    """The whole of one case.

    Args:
        case: as stored.
        following: the case that comes next, whose picture is loaded before it is asked for; None for none.
    """
    try:
        picture = resources.picture_of(case.case_id, case.state)
    except FetalHCError as error:
        st.error(wording.plain(wording.sentence(str(error))), icon=":material/error:")
        return
    draft = drafts.open_draft(case)
    is_stale = case.state.revision > draft.revision
    is_read_only = case.state.is_signed or is_stale
    reference = session.reference_ellipse(case.case_id)
    is_locked = is_read_only or not access.reviewer()
    with st.container(key="case-columns"):  # the decision comes first for the keyboard; the style puts it on the right
        right, left = st.columns([37, 63], gap="medium")
    with left:  # first, so that the browser has the picture while the rest is computed
        drawing_panel(case, draft, picture, _next_picture(following), reference, is_read_only=is_read_only)
    with right:
        has_size_fields = _decision(case, draft, is_stale=is_stale, is_locked=is_locked)
        _numbers(case, draft, picture, reference)
        measurement = case.state.measurement
        quality_panel(
            case.state.flags, measurement.status, measurement.reason, measurement.confidence, case.state.calibration
        )
    with left:
        fields_panel(case, draft, is_read_only=is_read_only)
    _sections(case, draft, has_size_fields=has_size_fields, is_locked=is_locked)


def _next_picture(following: CaseId | None) -> Picture | None:
    """The picture of the case that comes next; None if there is none, or it cannot be read: that is told there."""
    try:
        return None if following is None else resources.picture_of(following, resources.store().state(following))
    except FetalHCError:
        return None


def _numbers(case: ReviewCase, draft: Draft, picture: Picture, reference: Ellipse | None) -> None:
    """Status, circumference, age and percentile of the ellipse on the screen."""
    state = case.state
    shown = to_outline(draft.ellipse_px, state.calibration)
    is_rejected = state.decision is Decision.REJECTED and not draft.is_changed
    hc_px = None if draft.ellipse_px is None else draft.ellipse_px.circumference()
    ages = () if shown.hc_mm is None else gestational_ages(shown.hc_mm)
    independent_days = None if state.age is None else state.age.days
    growth = intergrowth_hc(float("nan") if shown.hc_mm is None else shown.hc_mm, independent_days)
    with st.container(border=True, gap="small"):
        circumference_panel(
            shown.hc_mm,
            hc_px,
            state.model_outline.hc_mm,
            to_outline(reference, state.calibration).hc_mm,
            state.interval,
            is_rejected=is_rejected,
        )
        if not is_rejected:
            size = state.calibration.pixel_size_xy_mm
            shape_panel(measure_head_shape(draft.ellipse_px, size, picture.image_rgb))
            age_panel(ages, growth, independent_days)


def _decision(case: ReviewCase, draft: Draft, *, is_stale: bool, is_locked: bool) -> bool:
    """The actions, and the fields for a pixel size where it is missing or another one; whether those are shown."""
    offers = session.offered_pixel_sizes(case, access.reviewer(), draft.ellipse_px)
    has_size = case.state.calibration.pixel_size_xy_mm is not None
    needs_size = not has_size and draft.ellipse_px is not None
    with st.container(border=True, gap="small", key="decision"):
        status_panel(case.state)
        notice = case_session.take_notice(case.case_id)
        if notice is None and is_stale:
            notice = case_session.stale_notice(case)
        notice_panel(case.case_id, notice)
        draft_panel(case, draft, is_locked=is_locked)
        is_shown = read_shown(drafts.editor_case(case.case_id))
        if is_shown:
            case_session.note_view(case)
        decision_panel(case, draft, access.reviewer(), is_stale=is_stale, is_shown=is_shown)
        undo_panel()
        if has_size and offers:
            st.warning(wording.other_sizes(offers), icon=":material/straighten:")
        if offers or needs_size:
            calibration_panel(case, draft, offers, is_locked=is_locked)
    return bool(offers) or needs_size


def _sections(case: ReviewCase, draft: Draft, *, has_size_fields: bool, is_locked: bool) -> None:
    """What is opened only now and then, one at a time."""
    chosen = st.segmented_control(
        text("More on this case"),
        (*_SECTIONS, _EXAMINATION, _READINGS) if case.state.readings else (*_SECTIONS, _EXAMINATION),
        format_func=text,
        key=f"section-{case.case_id}",
        label_visibility="collapsed",
    )
    if chosen == _GROWTH:
        growth_panel(case, draft, to_outline(draft.ellipse_px, case.state.calibration).hc_mm, is_locked=is_locked)
    elif chosen == _SIZE and has_size_fields:
        st.caption(text("The fields for the pixel size are next to the image."))
    elif chosen == _SIZE:
        calibration_panel(case, draft, (), is_locked=is_locked)
    elif chosen == _EXPORTS:
        exports_panel(case, session.source_reference(case.case_id), is_changed=draft.is_changed)
    elif chosen == _EXAMINATION:
        examination_panel(case)
    elif chosen == _READINGS:
        is_stale = case.state.revision > draft.revision
        readings_panel(case, draft, is_disabled=is_stale or not access.reviewer())
    elif chosen == _HISTORY:
        history_panel(case, resources.store().events(case.case_id))
