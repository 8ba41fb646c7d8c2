"""One reviewer at one case: actions on the store, and what they were answered.

Everything here lives in the session. What is decided is on the disk when the action returns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from fetal_hc.errors import MeasurementError
from fetal_hc_app import access, drafts, session, undo, wording, worklist
from fetal_hc_app.resources import store
from fetal_hc_app.roles import Role
from fetal_hc_app.texts import text
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration, from_user
from hc18.obstetrics.gestational_age import IndependentAge
from hc18.reviews import worklist as worklist_notes
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
    undo.begin()
    _act(case_id, revision, action, **values)


def _act(case_id: CaseId, revision: int, action: ReviewAction, *, can_be_undone: bool = True, **values: Any) -> bool:
    """As `act`, within one step of undo; whether it was recorded."""
    try:
        before = store().state(case_id)
        refusal = _refusal(action, before)
        if refusal:
            tell_error(case_id, refusal)
            return False
        state = store().append(case_id, revision, action, access.reviewer(), **values)
    except ReviewConflict as conflict:
        _tell(case_id, Notice(wording.sentence(str(conflict)), is_error=True, is_conflict=True))
        return False
    except StoreError as error:
        tell_error(case_id, wording.sentence(str(error)))
        return False
    if can_be_undone:
        undo.steps().add(case_id, undo.verdict(before), undo.verdict(state))
        undo.steps().add(case_id, before.calibration, state.calibration)
    _after_action(case_id, state, action, keeps_drawing=not can_be_undone and action is ReviewAction.WITHDRAW)
    return True


def may_reopen(state: CaseState) -> bool:
    """Whether this person may reopen a signed case: their own, or anybody's as an adjudicator."""
    return access.may(Role.ADJUDICATOR) or access.reviewer() in (state.signed_by, state.reviewer)


def _refusal(action: ReviewAction, state: CaseState) -> str:
    """Why this person may not do this, as a sentence; empty if they may."""
    if action is ReviewAction.SIGN and access.needs_sign_in():
        return text("Log in again to sign.")
    if action is ReviewAction.ADJUDICATE and not access.may(Role.ADJUDICATOR):
        return text("Only adjudicators settle disagreements.")
    if action is ReviewAction.REOPEN and not may_reopen(state):
        return text("Only adjudicators reopen what somebody else has signed.")
    return ""


def settle(case_id: CaseId, draft: drafts.Draft, reason_key: str) -> None:
    """Records the ellipse on the screen as the one that settles the readings of a case."""
    reason = str(st.session_state.get(reason_key) or "")
    undo.begin()
    _act(case_id, draft.revision, ReviewAction.ADJUDICATE, ellipse_px=draft.ellipse_px, reason=reason)


def undo_step() -> None:
    """Takes back the last change of this session and shows its case."""
    _go_back_and_forth(undo.steps().take_back(), is_back=True)


def redo_step() -> None:
    """Makes the change again that was undone last, and shows its case."""
    _go_back_and_forth(undo.steps().take_again(), is_back=False)


def _go_back_and_forth(taken: list[undo.Step], *, is_back: bool) -> None:
    for step in taken:
        wanted = step.before if is_back else step.after
        if not _bring(step.case_id, wanted):
            undo.steps().drop(taken)
            break
    if taken:
        worklist.show(taken[-1].case_id)


def _bring(case_id: CaseId, wanted: undo.Content) -> bool:
    """Brings a case to what it was before or after a step; whether that worked."""
    if isinstance(wanted, undo.Verdict):
        for action, ellipse_px, reason in undo.way_to(wanted, store().state(case_id)):
            values = {} if ellipse_px is None else {"ellipse_px": ellipse_px}
            revision = drafts.revision_of(case_id)
            if not _act(case_id, revision, action, can_be_undone=False, reason=reason, **values):
                return False
        return True
    if isinstance(wanted, Calibration):
        revision = drafts.revision_of(case_id)
        return _act(case_id, revision, ReviewAction.CALIBRATE, can_be_undone=False, calibration=wanted)
    drafts.change_ellipse(case_id, wanted, can_be_undone=False)
    return True


def act_and_go_on(case_id: CaseId, revision: int, action: ReviewAction, **values: Any) -> None:
    """Records an action, signs it and shows the next case of the list, for reviewers who chose one key per case.

    Takes what `act` takes. If the action or the signature is refused, the case stays on the screen with the sentence.
    """
    following = worklist.following(case_id)
    undo.begin()
    if _act(case_id, revision, action, **values) and _act(case_id, revision + 1, ReviewAction.SIGN):
        worklist.show(following)


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


def calibrate_by_marks(
    case_id: CaseId, revision: int, apart_px: float, field_key: str, ellipse_px: Ellipse | None
) -> None:
    """Records the pixel size that two marks of the depth scale give.

    Args:
        case_id: the case.
        revision: of the state that the reviewer saw.
        apart_px: distance of the marks in the picture.
        field_key: of the field with their distance in mm.
        ellipse_px: as drawn now.
    """
    try:
        apart_mm = float(st.session_state.get(field_key) or 0.0)
        typed = from_user(apart_mm / apart_px, access.reviewer())
        detail = f"{typed.detail} From two marks of the depth scale, {apart_mm:g} mm and {apart_px:.1f} px apart."
        calibration = session.name_other_sizes(case_id, replace(typed, detail=detail), ellipse_px)
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


def note_view(case: ReviewCase) -> None:
    """Notes in the store that this reviewer has had a case on the screen as it is; once per revision and session."""
    reviewer = access.reviewer()
    known = st.session_state.setdefault("views", {})
    if not reviewer or known.get((case.case_id, reviewer)) == case.state.revision:
        return
    known[case.case_id, reviewer] = case.state.revision
    if case.state.changed_by == reviewer:
        return  # the store has noted it with the action
    try:
        with store().writer() as connection:
            worklist_notes.note_view(connection, case.case_id, reviewer, case.state.revision, datetime.now(UTC))
    except StoreError:
        known.pop((case.case_id, reviewer))


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


def _after_action(case_id: CaseId, state: CaseState, action: ReviewAction, *, keeps_drawing: bool) -> None:
    """The draft follows what is now stored."""
    leaves_drawing = action in (ReviewAction.CALIBRATE, ReviewAction.SET_AGE)
    drafts.follow_action(case_id, state, keeps_drawing=keeps_drawing or leaves_drawing)
    _tell(case_id, Notice(text("Saved: {what}.", what=text(wording.ACTION_NAMES[action])), is_error=False))
    st.session_state["case_changed"] = True


def _tell(case_id: CaseId, notice: Notice) -> None:
    st.session_state[_notice_key(case_id)] = notice


def _notice_key(case_id: CaseId) -> str:
    return f"notice-{case_id}"
