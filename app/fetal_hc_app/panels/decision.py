"""Accept, correct, reject, sign, reopen."""

from __future__ import annotations

import streamlit as st

from fetal_hc_app import case_session, drafts, wording
from fetal_hc_app.case_session import Notice
from fetal_hc_app.drafts import Draft
from hc18.reviews.models import CaseId, CaseState, Decision, ReviewAction, ReviewCase
from hc18.reviews.state import to_outline

_BADGES = {
    Decision.UNREVIEWED: ("gray", ":material/pending:"),
    Decision.ACCEPTED: ("blue", ":material/check:"),
    Decision.CORRECTED: ("orange", ":material/edit:"),
    Decision.REJECTED: ("violet", ":material/block:"),
}


def status_panel(state: CaseState) -> None:
    """Decision and signature of a case, in one line."""
    color, icon = _BADGES[state.decision]
    who = f" by {wording.plain(state.reviewer)}" if state.reviewer else ""
    badge = f":{color}-badge[{icon} {wording.DECISION_NAMES[state.decision]}]"
    signed = ""
    if state.is_signed and state.signed_at_utc is not None:
        again = " again" if state.was_amended else ""
        signed = (
            f" :green-badge[:material/verified: Signed{again}] by {wording.plain(state.signed_by)}, "
            f"{wording.plain(wording.utc(state.signed_at_utc))}"
        )
        who = who if state.reviewer != state.signed_by else ""
    st.markdown(f"{badge}{who}{signed}")
    if state.reason:
        st.caption(f"Reason: {wording.plain(state.reason)}")


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
            "Load their version",
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
    st.info(
        f"You had drawn another ellipse{value} and not saved it; the case was changed since. It is not on the screen.",
        icon=":material/draw:",
    )
    left, right = st.columns(2)
    left.button(
        "Show my drawing",
        key=f"use-draft-{case.case_id}",
        disabled=is_locked,
        on_click=drafts.use_offered,
        args=(case.case_id,),
        width="stretch",
    )
    right.button(
        "Forget it",
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
        st.info("Type your name at the top right to accept, correct, reject or sign.", icon=":material/person:")
    is_disabled = not reviewer or is_stale
    if case.state.is_signed:
        _reason_popover(case, draft, ReviewAction.REOPEN, is_disabled)
        return
    if draft.is_changed:
        _correction_buttons(case, draft, is_disabled or not is_shown)
        return
    columns = st.columns(3, gap="small")
    with columns[0]:
        _accept_button(case, draft, is_disabled or not is_shown)
    with columns[1]:
        _reason_popover(case, draft, ReviewAction.REJECT, is_disabled)
    with columns[2]:
        is_decided = case.state.decision is not Decision.UNREVIEWED
        is_locked = is_disabled or not is_shown or not is_decided
        _button("Sign", "sign", case, draft, ReviewAction.SIGN, is_locked, is_primary=is_decided)


def _accept_button(case: ReviewCase, draft: Draft, is_disabled: bool) -> None:
    is_possible = case.state.model_outline.ellipse_px is not None and case.state.decision is not Decision.ACCEPTED
    is_primary = case.state.decision is Decision.UNREVIEWED
    label = "Accept" if is_primary else "Accept model"
    _button(label, "accept", case, draft, ReviewAction.ACCEPT, is_disabled or not is_possible, is_primary=is_primary)


def _correction_buttons(case: ReviewCase, draft: Draft, is_disabled: bool) -> None:
    """For an ellipse that is drawn but not saved."""
    key = f"correct-reason-{case.case_id}"
    st.text_input("Note on the correction (optional)", key=key, max_chars=500, disabled=is_disabled)
    left, right = st.columns(2)
    left.button(
        "Save correction",
        key=f"correct-{case.case_id}",
        type="primary",
        icon=":material/save:",
        disabled=is_disabled,
        on_click=_correct,
        args=(case.case_id, draft, key),
        width="stretch",
    )
    right.button(
        "Discard changes",
        key=f"discard-{case.case_id}",
        on_click=drafts.change_ellipse,
        args=(case.case_id, draft.saved_px),
        width="stretch",
    )
    st.caption("The ellipse was changed but not saved yet.")


def _correct(case_id: CaseId, draft: Draft, reason_key: str) -> None:
    """Saves the ellipse on the screen; drawn back onto the model's, it is an acceptance."""
    reason = str(st.session_state.get(reason_key) or "")
    case_session.act(case_id, draft.revision, ReviewAction.CORRECT, ellipse_px=draft.ellipse_px, reason=reason)


def _reason_popover(case: ReviewCase, draft: Draft, action: ReviewAction, is_disabled: bool) -> None:
    """A button that asks for a reason first."""
    is_reject = action is ReviewAction.REJECT
    title = "Reject" if is_reject else "Reopen"
    icon = ":material/block:" if is_reject else ":material/lock_open:"
    key = f"{action.value}-{case.case_id}"
    is_done = is_reject and case.state.decision is Decision.REJECTED
    with st.popover(title, icon=icon, disabled=is_disabled or is_done, width="stretch"):
        if is_reject:
            st.selectbox("Why?", wording.REJECT_REASONS, key=f"{key}-choice")
        st.text_input("In your own words" if is_reject else "Why?", key=f"{key}-words", max_chars=500)
        st.caption("Do not name the patient.")
        st.button(
            f"{title} this case",
            key=key,
            type="primary",
            on_click=_act_with_reason,
            args=(case.case_id, draft.revision, action, key),
        )


def _act_with_reason(case_id: CaseId, revision: int, action: ReviewAction, key: str) -> None:
    choice = str(st.session_state.get(f"{key}-choice") or "")
    words = str(st.session_state.get(f"{key}-words") or "").strip()
    parts = [part for part in (choice, words) if part and not (part == "Other" and words)]
    case_session.act(case_id, revision, action, reason=": ".join(parts))


def _button(
    label: str, name: str, case: ReviewCase, draft: Draft, action: ReviewAction, is_disabled: bool, *, is_primary: bool
) -> None:
    st.button(
        label,
        key=f"{name}-{case.case_id}",
        type="primary" if is_primary else "secondary",
        icon=":material/check:" if action is ReviewAction.ACCEPT else ":material/verified:",
        disabled=is_disabled,
        on_click=case_session.act,
        args=(case.case_id, draft.revision, action),
        width="stretch",
    )
