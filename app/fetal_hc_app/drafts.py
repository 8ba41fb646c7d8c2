"""The ellipse that one reviewer is drawing, and how it survives a conflict, a reload or a crash.

A draft lives in the session. With a name it is also kept in the review store, outside the record. It is applied again
only while the case is as the reviewer saw it; after that it is offered, and the reviewer decides.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import streamlit as st

from fetal_hc.errors import MeasurementError
from fetal_hc_app import access, wording
from fetal_hc_app.editor import read_edit
from fetal_hc_app.resources import store
from hc18.geometry.ellipse import Ellipse
from hc18.reviews.drafts import KeptDraft
from hc18.reviews.models import CaseId, CaseState, ReviewCase, StoreError
from hc18.reviews.validation import ellipse_problem

FIELD_NAMES = ("center_x", "center_y", "semi_axis_a", "semi_axis_b", "angle_deg")
_SESSION_KEY = "editor_session"


@dataclass(slots=True)
class Draft:
    """The ellipse on the screen of one session.

    Attributes:
        ellipse_px: as drawn last; None without one.
        saved_px: as the store has it, in the revision that the reviewer has seen.
        seq: number of the browser's last edit that it includes.
        revision: of the state the reviewer has seen.
        reviewer: whose kept drawing was looked up; empty before a name is known.
        offered: an earlier drawing of this reviewer that was not applied, because the case has changed since.
        restored: what was restored, as a sentence; empty if nothing was.
    """

    ellipse_px: Ellipse | None
    saved_px: Ellipse | None
    seq: int
    revision: int
    reviewer: str = ""
    offered: KeptDraft | None = None
    restored: str = ""

    @property
    def is_changed(self) -> bool:
        """Whether something was drawn that is not saved."""
        return self.ellipse_px != self.saved_px


def editor_key(case_id: CaseId) -> str:
    """Key of the editor's state in the session."""
    return f"editor-{case_id}"


def editor_session() -> str:
    """A name of this session for the browser, which sends unsaved work again when it meets another one."""
    return str(st.session_state.setdefault(_SESSION_KEY, uuid.uuid4().hex))


def saved_ellipse(state: CaseState) -> Ellipse | None:
    """The ellipse that a case is shown with: the one that counts, after a rejection the model's."""
    return state.outline.ellipse_px or state.model_outline.ellipse_px


def open_draft(case: ReviewCase) -> Draft:
    """The draft of a case, with what was drawn in the browser since the last run."""
    draft = _find(case.case_id)
    if draft is None:
        draft = Draft(saved_ellipse(case.state), saved_ellipse(case.state), 0, case.state.revision)
        st.session_state[_draft_key(case.case_id)] = draft
    if draft.reviewer != access.reviewer():
        draft.reviewer = access.reviewer()
        _restore(case, draft)
    edit = read_edit(editor_key(case.case_id))
    if edit is not None and edit.session == editor_session() and edit.seq > draft.seq:
        draft.seq = edit.seq
        if not case.state.is_signed and edit.ellipse != draft.ellipse_px:
            draft.ellipse_px = edit.ellipse
            draft.restored = _sentence_on_reconnect() if edit.is_resent else ""
            _keep(case.case_id, draft)
    return draft


def change_ellipse(case_id: CaseId, ellipse_px: Ellipse | None) -> None:
    """Replaces the drawn ellipse, for reset and discard."""
    draft = _find(case_id)
    if draft is not None:
        draft.ellipse_px = ellipse_px
        draft.restored = ""
        _keep(case_id, draft)


def change_field(
    case_id: CaseId, name: str, field_key: str, image_hw: tuple[int, int], tell_error: Callable[[CaseId, str], None]
) -> None:
    """Takes one number field over into the drawn ellipse.

    Args:
        case_id: the case.
        name: one of `FIELD_NAMES`.
        field_key: key of the field.
        image_hw: height and width of the image in px.
        tell_error: gets a sentence if the number makes no ellipse in this image; the drawing then stays as it is.
    """
    draft = _find(case_id)
    value = st.session_state.get(field_key)
    if draft is None or draft.ellipse_px is None or value is None:
        return
    if name.startswith("semi_axis") and value <= 0.0:
        tell_error(case_id, f"A semi-axis of {value:g} px is not possible. Type a length above 0.")
        return
    numbers = {**field_values(draft.ellipse_px), name: float(value)}
    try:
        changed = Ellipse.from_axes(
            numbers["center_x"],
            numbers["center_y"],
            numbers["semi_axis_a"],
            numbers["semi_axis_b"],
            math.radians(numbers["angle_deg"]),
        )
        problem = ellipse_problem(changed, image_hw)
    except MeasurementError as error:
        problem = str(error)
    if problem:
        tell_error(case_id, wording.sentence(problem))
        return
    draft.ellipse_px = changed
    draft.restored = ""
    _keep(case_id, draft)


def field_values(ellipse_px: Ellipse) -> dict[str, float]:
    """The five numbers of an ellipse as the fields show them, the angle in degrees."""
    lengths = {name: float(getattr(ellipse_px, name)) for name in FIELD_NAMES[:-1]}
    return {**lengths, FIELD_NAMES[-1]: math.degrees(ellipse_px.angle_rad)}


def load_saved(case_id: CaseId) -> None:
    """Shows a case as the store has it now; what this reviewer had drawn is offered and not applied."""
    draft = _find(case_id)
    if draft is None:
        return
    state = store().state(case_id)
    if draft.is_changed and draft.ellipse_px is not None:
        draft.offered = KeptDraft(draft.ellipse_px, draft.revision, datetime.now(UTC))
    draft.ellipse_px = draft.saved_px = saved_ellipse(state)
    draft.revision, draft.restored = state.revision, ""
    if draft.offered is not None and draft.offered.ellipse_px == draft.ellipse_px:
        draft.offered = None
    edit = read_edit(editor_key(case_id))
    if edit is not None and edit.session == editor_session():
        draft.seq = max(draft.seq, edit.seq)


def use_offered(case_id: CaseId) -> None:
    """Puts the offered drawing on the screen; it is not saved yet."""
    draft = _find(case_id)
    if draft is not None and draft.offered is not None:
        draft.ellipse_px, draft.offered = draft.offered.ellipse_px, None
        _keep(case_id, draft)


def forget_offered(case_id: CaseId) -> None:
    """Drops the offered drawing."""
    draft = _find(case_id)
    if draft is not None:
        draft.offered = None
        _keep(case_id, draft)


def follow_action(case_id: CaseId, state: CaseState, *, keeps_drawing: bool) -> None:
    """Brings the draft up to what an action has stored.

    Args:
        case_id: the case.
        state: after the action.
        keeps_drawing: whether the action leaves what is drawn as it is.
    """
    draft = _find(case_id)
    if draft is None:
        return
    draft.revision, draft.saved_px = state.revision, saved_ellipse(state)
    if not keeps_drawing:
        draft.ellipse_px, draft.restored = draft.saved_px, ""
    _keep(case_id, draft)


def _restore(case: ReviewCase, draft: Draft) -> None:
    """Takes up what the reviewer had drawn in an earlier session; offers it if the case has changed since."""
    if not draft.reviewer or draft.is_changed:
        return
    kept = store().draft(case.case_id, draft.reviewer)
    if kept is None or kept.ellipse_px == draft.saved_px:
        return
    if case.state.is_signed or kept.revision != case.state.revision:
        draft.offered = kept
        return
    draft.ellipse_px = kept.ellipse_px
    draft.restored = (
        f"Restored: the ellipse that you drew at {wording.utc(kept.saved_at_utc)} and did not save. Save it as a "
        "correction, or discard the changes."
    )


def _sentence_on_reconnect() -> str:
    return (
        "The app was restarted while you were drawing. Your ellipse was restored and is not saved yet: save it as a "
        "correction, or discard the changes."
    )


def _keep(case_id: CaseId, draft: Draft) -> None:
    """Keeps an unsaved drawing in the store, or forgets it once there is none; only for a reviewer with a name."""
    reviewer = access.reviewer()
    if not reviewer:
        return
    try:
        if draft.is_changed and draft.ellipse_px is not None:
            store().keep_draft(case_id, reviewer, draft.revision, draft.ellipse_px)
        elif draft.offered is None:
            store().drop_draft(case_id, reviewer)
    except StoreError as error:
        st.toast(f"The drawing is on the screen but was not kept: {error}", icon=":material/warning:")


def _find(case_id: CaseId) -> Draft | None:
    draft = st.session_state.get(_draft_key(case_id))
    return draft if isinstance(draft, Draft) else None


def _draft_key(case_id: CaseId) -> str:
    return f"draft-{case_id}"
