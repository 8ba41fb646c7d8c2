"""Accept, correct, reject, sign, reopen."""

from __future__ import annotations

import streamlit as st

from fetal_hc_app import access, case_session, drafts, undo, wording, worklist
from fetal_hc_app.case_session import Notice
from fetal_hc_app.drafts import Draft
from fetal_hc_app.texts import text
from hc18.reviews.models import CaseId, CaseState, Decision, ReviewAction, ReviewCase
from hc18.reviews.state import to_outline

KEEP_KEY, SIGN_KEY, REJECT_KEY = "Y", "G", "X"
_BADGES = {
    Decision.UNREVIEWED: ("gray", ":material/pending:"),
    Decision.ACCEPTED: ("blue", ":material/check:"),
    Decision.CORRECTED: ("orange", ":material/edit:"),
    Decision.REJECTED: ("violet", ":material/block:"),
}


def status_panel(state: CaseState) -> None:
    """Decision and signature of a case, in one line."""
    color, icon = _BADGES[state.decision]
    who = text(" by {name}", name=wording.plain(state.reviewer)) if state.reviewer else ""
    badge = f":{color}-badge[{icon} {text(wording.DECISION_NAMES[state.decision])}]"
    signed = ""
    if state.is_signed and state.signed_at_utc is not None:
        signed = text("Signed again") if state.was_amended else text("Signed")
        by = text(" by {name}", name=wording.plain(state.signed_by))
        signed = f" :green-badge[:material/verified: {signed}]{by}, {wording.plain(wording.utc(state.signed_at_utc))}"
        who = who if state.reviewer != state.signed_by else ""
    st.markdown(f"{badge}{who}{signed}")
    if state.reason:
        st.caption(text("Reason: {reason}", reason=wording.plain(state.reason)))


def notice_panel(case_id: CaseId, notice: Notice | None) -> None:
    """What the last action was answered."""
    if notice is None:
        return
    if not notice.is_error:
        st.success(wording.plain(notice.text), icon=":material/check_circle:")
        return
    st.error(wording.plain(notice.text), icon=":material/sync_problem:" if notice.is_conflict else ":material/error:")
    if notice.is_conflict:
        st.button(
            text("Load their version"),
            key=f"reload-{case_id}",
            icon=":material/refresh:",
            type="primary",
            on_click=case_session.load_theirs,
            args=(case_id,),
        )


def draft_panel(case: ReviewCase, draft: Draft, *, is_locked: bool) -> None:
    """What was restored of an earlier drawing, or is offered because the case has changed since."""
    if draft.restored:
        st.info(wording.plain(draft.restored), icon=":material/history:")
    if draft.offered is None:
        return
    size = to_outline(draft.offered.ellipse_px, case.state.calibration).hc_mm
    value = "" if size is None else f" ({size:.1f} mm)"
    if draft.is_elsewhere:
        hint = "You have drawn another ellipse{value} in another browser and not saved it. It is not on the screen."
    else:
        hint = "You had drawn another ellipse{value} and not saved it; the case has changed. It is not on the screen."
    st.info(text(hint, value=value), icon=":material/draw:")
    left, right = st.columns(2)
    left.button(
        text("Show my drawing"),
        key=f"use-draft-{case.case_id}",
        disabled=is_locked,
        on_click=drafts.use_offered,
        args=(case.case_id,),
        width="stretch",
    )
    right.button(
        text("Forget it"),
        key=f"forget-draft-{case.case_id}",
        on_click=drafts.forget_offered,
        args=(case.case_id,),
        width="stretch",
    )


def decision_panel(case: ReviewCase, draft: Draft, reviewer: str, *, is_stale: bool, is_shown: bool) -> None:
    """The actions that make sense now.

    Args:
        case: as stored.
        draft: what this session draws.
        reviewer: who decides; without a name nothing can be decided.
        is_stale: somebody else has changed the case since this session read it.
        is_shown: whether the browser shows the picture; nothing is accepted, corrected or signed unseen.
    """
    if not reviewer:
        hint = text("Type your name at the top right to accept, correct, reject or sign.")
        st.info(hint, icon=":material/person:")
    is_disabled = not reviewer or is_stale
    if case.state.is_signed:
        _reopen_popover(case, draft, is_disabled or not case_session.may_reopen(case.state))
    elif draft.is_changed:
        _correction_buttons(case, draft, is_disabled or not is_shown)
    else:
        _decision_buttons(case, draft, is_disabled, is_unseen=not is_shown)


def undo_panel() -> None:
    """Undo and redo, over all cases of this session."""
    steps = undo.steps()
    left, right = st.columns(2, gap="small")
    back, again = steps.next_back, steps.next_again
    left.button(
        text("Undo"),
        key="undo-step",
        icon=":material/undo:",
        shortcut="Ctrl+Z",
        disabled=back is None,
        on_click=case_session.undo_step,
        help=None if back is None else undo.describe(back),
        width="stretch",
    )
    right.button(
        text("Redo"),
        key="redo-step",
        icon=":material/redo:",
        shortcut="Ctrl+Shift+Z",
        disabled=again is None,
        on_click=case_session.redo_step,
        help=None if again is None else undo.describe(again),
        width="stretch",
    )


def _decision_buttons(case: ReviewCase, draft: Draft, is_disabled: bool, *, is_unseen: bool) -> None:
    """Accept, reject and sign."""
    is_decided = case.state.decision is not Decision.UNREVIEWED
    columns = st.columns(3, gap="small")
    with columns[0]:
        _accept_button(case, draft, is_disabled or is_unseen)
    with columns[1]:
        st.button(
            text("Reject"),
            key=f"rejecting-{case.case_id}",
            icon=":material/block:",
            shortcut=REJECT_KEY,
            disabled=is_disabled or case.state.decision is Decision.REJECTED,
            on_click=_toggle_reasons,
            args=(case.case_id,),
            width="stretch",
        )
    with columns[2]:
        must_log_in = access.needs_sign_in()
        st.button(
            text("Log in to sign") if must_log_in else text("Sign"),
            key=f"sign-{case.case_id}",
            type="primary" if is_decided else "secondary",
            icon=":material/login:" if must_log_in else ":material/verified:",
            shortcut=SIGN_KEY,
            disabled=is_disabled or is_unseen or not is_decided,
            on_click=access.sign_in_again if must_log_in else case_session.act,
            args=(case.case_id,) if must_log_in else (case.case_id, draft.revision, ReviewAction.SIGN),
            width="stretch",
        )
    if st.session_state.get(_reasons_key(case.case_id)) and not is_disabled:
        _reject_reasons(case, draft)


def _accept_button(case: ReviewCase, draft: Draft, is_disabled: bool) -> None:
    is_possible = case.state.model_outline.ellipse_px is not None and case.state.decision is not Decision.ACCEPTED
    is_primary = case.state.decision is Decision.UNREVIEWED
    goes_on = worklist.takes_one_key()
    label = "Accept, sign, next" if goes_on else "Accept" if is_primary else "Accept model"
    st.button(
        text(label),
        key=f"accept-{case.case_id}",
        type="primary" if is_primary else "secondary",
        icon=":material/check:",
        shortcut=KEEP_KEY,
        disabled=is_disabled or not is_possible,
        on_click=case_session.act_and_go_on if goes_on else case_session.act,
        args=(case.case_id, draft.revision, ReviewAction.ACCEPT),
        width="stretch",
    )


def _correction_buttons(case: ReviewCase, draft: Draft, is_disabled: bool) -> None:
    """For an ellipse that is drawn but not saved."""
    key = f"correct-reason-{case.case_id}"
    label = "Save, sign, next" if worklist.takes_one_key() else "Save correction"
    left, right = st.columns(2)
    left.button(
        text(label),
        key=f"correct-{case.case_id}",
        type="primary",
        icon=":material/save:",
        shortcut=KEEP_KEY,
        disabled=is_disabled,
        on_click=_correct,
        args=(case.case_id, draft, key),
        width="stretch",
    )
    right.button(
        text("Discard changes"),
        key=f"discard-{case.case_id}",
        on_click=drafts.change_ellipse,
        args=(case.case_id, draft.saved_px),
        width="stretch",
    )
    st.text_input(text("Note on the correction (optional)"), key=key, max_chars=500, disabled=is_disabled)
    st.caption(text("The ellipse was changed but not saved yet."))


def _correct(case_id: CaseId, draft: Draft, reason_key: str) -> None:
    """Saves the ellipse on the screen; drawn back onto the model's, it is an acceptance."""
    reason = str(st.session_state.get(reason_key) or "")
    act = case_session.act_and_go_on if worklist.takes_one_key() else case_session.act
    act(case_id, draft.revision, ReviewAction.CORRECT, ellipse_px=draft.ellipse_px, reason=reason)


def _toggle_reasons(case_id: CaseId) -> None:
    st.session_state[_reasons_key(case_id)] = not st.session_state.get(_reasons_key(case_id))


def _reasons_key(case_id: CaseId) -> str:
    return f"reject-open-{case_id}"


def _reject_reasons(case: ReviewCase, draft: Draft) -> None:
    """A button with a key for each reason, and a field for more words."""
    words = f"reject-{case.case_id}-words"
    st.text_input(text("In your own words (optional)"), key=words, max_chars=500)
    st.caption(text("Do not name the patient."))
    for number, reason in enumerate(wording.REJECT_REASONS, start=1):
        st.button(
            text(reason),
            key=f"reject-{case.case_id}-{number}",
            shortcut=str(number),
            on_click=_reject,
            args=(case.case_id, draft.revision, reason, words),
            width="stretch",
        )


def _reject(case_id: CaseId, revision: int, reason: str, words_key: str) -> None:
    """Rejects a case; the reason is recorded in English, so that records of all languages can be counted together."""
    words = str(st.session_state.get(words_key) or "").strip()
    parts = [part for part in (reason, words) if part and not (part == "Other" and words)]
    st.session_state.pop(_reasons_key(case_id), None)
    act = case_session.act_and_go_on if worklist.takes_one_key() else case_session.act
    act(case_id, revision, ReviewAction.REJECT, reason=": ".join(parts))


def _reopen_popover(case: ReviewCase, draft: Draft, is_disabled: bool) -> None:
    """A button that asks for a reason first."""
    key = f"reopen-{case.case_id}"
    with st.popover(text("Reopen"), icon=":material/lock_open:", disabled=is_disabled, width="stretch"):
        st.text_input(text("Why?"), key=f"{key}-words", max_chars=500)
        st.caption(text("Do not name the patient."))
        st.button(
            text("Reopen this case"),
            key=key,
            type="primary",
            on_click=_reopen,
            args=(case.case_id, draft.revision, f"{key}-words"),
        )


def _reopen(case_id: CaseId, revision: int, words_key: str) -> None:
    reason = str(st.session_state.get(words_key) or "").strip()
    case_session.act(case_id, revision, ReviewAction.REOPEN, reason=reason)
