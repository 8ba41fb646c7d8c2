"""One reviewer at one case: the ellipse being drawn, actions on the store, and what they were answered.

Everything here lives in the session. What is decided is on the disk when the action returns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import streamlit as st

from fetal_hc.errors import MeasurementError
from fetal_hc_app import access, session, wording
from fetal_hc_app.editor import read_edit
from fetal_hc_app.resources import store
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration, from_user
from hc18.obstetrics.gestational_age import IndependentAge
from hc18.reviews.models import CaseId, CaseState, ReviewAction, ReviewCase, ReviewConflict, StoreError

FIELD_NAMES = ("center_x", "center_y", "semi_axis_a", "semi_axis_b", "angle_deg")


@dataclass(slots=True)
class Draft:
    """The ellipse on the screen of one session.

    Attributes:
        ellipse_px: as drawn last; None without one.
        seq: number of the browser's last edit that it includes.
        revision: of the state the reviewer has seen.
    """

    ellipse_px: Ellipse | None
    seq: int
    revision: int


@dataclass(frozen=True, slots=True)
class Notice:
    """An answer to an action, as a sentence; `is_conflict` offers to load the other reviewer's version."""

    text: str
    is_error: bool
    is_conflict: bool = False


def editor_key(case_id: CaseId) -> str:
    """Key of the editor's state in the session."""
    return f"editor-{case_id}"


def open_draft(case: ReviewCase) -> Draft:
    """The draft of a case, with what was drawn in the browser since the last run."""
    key = _draft_key(case.case_id)
    draft = st.session_state.get(key)
    if not isinstance(draft, Draft):
        draft = Draft(saved_ellipse(case.state), 0, case.state.revision)
        st.session_state[key] = draft
    edit = read_edit(editor_key(case.case_id))
    if edit is not None and edit.seq > draft.seq:
        draft.seq = edit.seq
        if not case.state.is_signed:
            draft.ellipse_px = edit.ellipse
    return draft


def saved_ellipse(state: CaseState) -> Ellipse | None:
    """The ellipse that a case is shown with: the one that counts, after a rejection the model's."""
    return state.outline.ellipse_px or state.model_outline.ellipse_px


def change_ellipse(case_id: CaseId, ellipse_px: Ellipse | None) -> None:
    """Replaces the drawn ellipse, for reset and discard."""
    draft = st.session_state.get(_draft_key(case_id))
    if isinstance(draft, Draft):
        draft.ellipse_px = ellipse_px


def change_field(case_id: CaseId, name: str, field_key: str) -> None:
    """Takes one number field over into the drawn ellipse; a value that makes no ellipse is answered with a notice."""
    draft = st.session_state.get(_draft_key(case_id))
    value = st.session_state.get(field_key)
    if not isinstance(draft, Draft) or draft.ellipse_px is None or value is None:
        return
    numbers = {**field_values(draft.ellipse_px), name: float(value)}
    try:
        draft.ellipse_px = Ellipse.from_axes(
            numbers["center_x"],
            numbers["center_y"],
            numbers["semi_axis_a"],
            numbers["semi_axis_b"],
            math.radians(numbers["angle_deg"]),
        )
    except MeasurementError as error:
        tell_error(case_id, wording.sentence(str(error)))


def reload(case_id: CaseId) -> None:
    """Drops the draft, so that the case is shown as the store has it."""
    st.session_state.pop(_draft_key(case_id), None)
    st.session_state.pop(_notice_key(case_id), None)


def act(case_id: CaseId, revision: int, action: ReviewAction, **values: Any) -> None:
    """Records an action and keeps the answer for the page.

    Args:
        case_id: the case.
        revision: of the state that the reviewer saw when the button was drawn.
        action: what to do.
        **values: further arguments of `ReviewStore.append`.
    """
    try:
        state = store().append(case_id, revision, action, access.reviewer(), **values)
    except ReviewConflict as conflict:
        _tell(case_id, Notice(wording.sentence(str(conflict)), is_error=True, is_conflict=True))
    except StoreError as error:
        tell_error(case_id, wording.sentence(str(error)))
    else:
        _after_action(case_id, state, action)


def calibrate_by_hand(case_id: CaseId, revision: int, size_key: str, ellipse_px: Ellipse | None) -> None:
    """Records the pixel size typed into the field `size_key`, with a warning where a file gives another one.

    Args:
        case_id: the case.
        revision: of the state that the reviewer saw.
        size_key: of the field.
        ellipse_px: as drawn now: regions of a DICOM image may differ in their pixel size.
    """
    try:
        typed = from_user(float(st.session_state.get(size_key) or 0.0), access.reviewer())
        calibration = session.name_other_sizes(case_id, typed, ellipse_px)
    except MeasurementError as error:
        tell_error(case_id, wording.sentence(str(error)))
        return
    act(case_id, revision, ReviewAction.CALIBRATE, calibration=calibration)


def calibrate(case_id: CaseId, revision: int, calibration: Calibration) -> None:
    """Records a pixel size that a file offers."""
    act(case_id, revision, ReviewAction.CALIBRATE, calibration=calibration)


def set_age(case_id: CaseId, revision: int, age: IndependentAge) -> None:
    """Records an age that does not come from the head circumference."""
    act(case_id, revision, ReviewAction.SET_AGE, age=age)


def take_notice(case_id: CaseId) -> Notice | None:
    """The answer to the last action; a conflict stays until the case is reloaded."""
    notice = st.session_state.get(_notice_key(case_id))
    if not isinstance(notice, Notice):
        return None
    if not notice.is_conflict:
        del st.session_state[_notice_key(case_id)]
    return notice


def stale_notice(case: ReviewCase) -> Notice:
    """Says that somebody else has changed the case since this session read it."""
    event = store().events(case.case_id)[-1]
    text = (
        f"{event.reviewer} changed this case at {wording.utc(event.at_utc)}, after you opened it "
        f"({wording.ACTION_NAMES[event.action]}). Nothing of yours was saved; load their version before you go on."
    )
    return Notice(text, is_error=True, is_conflict=True)


def tell_error(case_id: CaseId, text: str) -> None:
    """Shows a sentence with the case in the next run."""
    _tell(case_id, Notice(text, is_error=True))


def needs_whole_page() -> bool:
    """Whether an action changed something outside the case's own panel; asked once."""
    return bool(st.session_state.pop("case_changed", False))


def _after_action(case_id: CaseId, state: CaseState, action: ReviewAction) -> None:
    """The draft follows what is now stored."""
    draft = st.session_state.get(_draft_key(case_id))
    if isinstance(draft, Draft):
        draft.revision = state.revision
        if action not in (ReviewAction.CALIBRATE, ReviewAction.SET_AGE):
            draft.ellipse_px = saved_ellipse(state)
    _tell(case_id, Notice(f"Saved: {wording.ACTION_NAMES[action]}.", is_error=False))
    st.session_state["case_changed"] = True


def field_values(ellipse_px: Ellipse) -> dict[str, float]:
    """The five numbers of an ellipse as the fields show them, the angle in degrees."""
    lengths = {name: float(getattr(ellipse_px, name)) for name in FIELD_NAMES[:-1]}
    return {**lengths, FIELD_NAMES[-1]: math.degrees(ellipse_px.angle_rad)}


def _tell(case_id: CaseId, notice: Notice) -> None:
    st.session_state[_notice_key(case_id)] = notice


def _draft_key(case_id: CaseId) -> str:
    return f"draft-{case_id}"


def _notice_key(case_id: CaseId) -> str:
    return f"notice-{case_id}"
