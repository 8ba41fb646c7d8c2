"""One reviewer at one case: actions on the store, and what they were answered.

Everything here lives in the session. What is decided is on the disk when the action returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from fetal_hc.errors import MeasurementError
from fetal_hc_app import access, drafts, session, wording
from fetal_hc_app.resources import store
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration, from_user
from hc18.obstetrics.gestational_age import IndependentAge
from hc18.reviews.models import CaseId, CaseState, ReviewAction, ReviewCase, ReviewConflict, StoreError


@dataclass(frozen=True, slots=True)
class Notice:
    """An answer to an action, as a sentence; `is_conflict` offers to load the other reviewer's version."""

    text: str
    is_error: bool
    is_conflict: bool = False


def load_theirs(case_id: CaseId) -> None:
    """Shows the version of the other reviewer; what this one had drawn is offered and not applied."""
    try:
        drafts.load_saved(case_id)
    except StoreError as error:
        tell_error(case_id, wording.sentence(str(error)))
    else:
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
    drafts.follow_action(case_id, state, keeps_drawing=action in (ReviewAction.CALIBRATE, ReviewAction.SET_AGE))
    _tell(case_id, Notice(f"Saved: {wording.ACTION_NAMES[action]}.", is_error=False))
    st.session_state["case_changed"] = True


def _tell(case_id: CaseId, notice: Notice) -> None:
    st.session_state[_notice_key(case_id)] = notice


def _notice_key(case_id: CaseId) -> str:
    return f"notice-{case_id}"
