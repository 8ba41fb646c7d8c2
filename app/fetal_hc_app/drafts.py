"""The ellipse that one reviewer is drawing, and how it survives a conflict, a reload or a crash.

A draft lives in the session. With a name it is also kept in the review store, outside the record. It is applied again
only while the case is as the reviewer saw it; after that it is offered, and the reviewer decides.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import streamlit as st

from fetal_hc.errors import MeasurementError
from fetal_hc_app import access, undo, wording
from fetal_hc_app.editor import read_edit
from fetal_hc_app.resources import store
from fetal_hc_app.texts import text
from hc18.geometry.ellipse import Ellipse
from hc18.reviews.drafts import KeptDraft
from hc18.reviews.models import CaseId, CaseState, ReviewCase, StoreError
from hc18.reviews.validation import ellipse_problem

FIELD_NAMES = ("center_x", "center_y", "semi_axis_a", "semi_axis_b", "angle_deg")
_LATE_S = 5.0  # until the browser has surely drawn what it was told
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
        kept_at_utc: when this session kept the drawing last, or read the one that it shows; None if it has not.
        is_elsewhere: whether the offered drawing comes from another browser of the same reviewer.
        former_px: what was on the screen before `ellipse_px`.
        changed_at: when that changed, on the clock of `time.monotonic`.
    """

    ellipse_px: Ellipse | None
    saved_px: Ellipse | None
    seq: int
    revision: int
    reviewer: str = ""
    offered: KeptDraft | None = None
    restored: str = ""
    kept_at_utc: datetime | None = None
    is_elsewhere: bool = False
    former_px: Ellipse | None = None
    changed_at: float = 0.0

    def show(self, ellipse_px: Ellipse | None) -> None:
        """Puts another ellipse on the screen."""
        if ellipse_px != self.ellipse_px:
            self.former_px, self.ellipse_px, self.changed_at = self.ellipse_px, ellipse_px, time.monotonic()

    def is_former(self, name: str, value: float) -> bool:
        """Whether a number field shows what it did just before: the browser has not drawn the new ellipse yet."""
        if self.former_px is None or time.monotonic() - self.changed_at > _LATE_S:
            return False
        return math.isclose(field_values(self.former_px)[name], value, abs_tol=1e-9)

    @property
    def is_changed(self) -> bool:
        """Whether something was drawn that is not saved."""
        return self.ellipse_px != self.saved_px


def editor_case(case_id: CaseId) -> str:
    """Name of a case in the editor."""
    return f"case-{case_id}"


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
    elif draft.reviewer:
        _look_elsewhere(case, draft)
    take_edit()
    return draft


def take_edit() -> None:
    """Takes over what was drawn in the browser since the last run, into the draft of the case it was drawn in."""
    edit = read_edit()
    if edit is None or edit.session != editor_session() or not edit.case.startswith("case-"):
        return
    case_id = CaseId(int(edit.case.removeprefix("case-")))
    draft = _find(case_id)
    if draft is None or edit.seq <= draft.seq:
        return
    draft.seq = edit.seq
    if edit.ellipse == draft.ellipse_px or store().state(case_id).is_signed:
        return
    _put(case_id, draft, edit.ellipse)
    draft.restored = _sentence_on_reconnect() if edit.is_resent else ""
    _keep(case_id, draft)


def change_ellipse(case_id: CaseId, ellipse_px: Ellipse | None, *, can_be_undone: bool = True) -> None:
    """Replaces the drawn ellipse, for reset and discard, and for undo, which is not undone itself."""
    draft = _find(case_id)
    if draft is not None:
        if can_be_undone:
            _put(case_id, draft, ellipse_px)
        draft.show(ellipse_px)
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
    if draft is None or draft.ellipse_px is None or value is None or draft.is_former(name, float(value)):
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
    _put(case_id, draft, changed)
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
        draft.offered, draft.is_elsewhere = KeptDraft(draft.ellipse_px, draft.revision, datetime.now(UTC)), False
    draft.saved_px = saved_ellipse(state)
    draft.show(draft.saved_px)
    draft.revision, draft.restored = state.revision, ""
    if draft.offered is not None and draft.offered.ellipse_px == draft.ellipse_px:
        draft.offered = None
    edit = read_edit()
    if edit is not None and edit.session == editor_session() and edit.case == editor_case(case_id):
        draft.seq = max(draft.seq, edit.seq)


def use_offered(case_id: CaseId) -> None:
    """Puts the offered drawing on the screen; it is not saved yet."""
    draft = _find(case_id)
    if draft is not None and draft.offered is not None:
        _put(case_id, draft, draft.offered.ellipse_px)
        draft.offered = None
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
        draft.show(draft.saved_px)
        draft.restored = ""
    _keep(case_id, draft)


def revision_of(case_id: CaseId) -> int:
    """The revision of a case that this session has seen; that of the store if it has seen none."""
    draft = _find(case_id)
    return store().state(case_id).revision if draft is None else draft.revision


def _put(case_id: CaseId, draft: Draft, ellipse_px: Ellipse | None) -> None:
    """Changes the drawn ellipse so that the change can be undone."""
    undo.begin()
    undo.steps().add(case_id, draft.ellipse_px, ellipse_px)
    draft.show(ellipse_px)


def _look_elsewhere(case: ReviewCase, draft: Draft) -> None:
    """Offers what the same reviewer has drawn in another browser since, and says so."""
    kept = store().draft(case.case_id, draft.reviewer)
    is_own = kept is None or kept.saved_at_utc == draft.kept_at_utc
    if kept is None or is_own or kept.ellipse_px in (draft.ellipse_px, draft.saved_px) or case.state.is_signed:
        return
    draft.offered, draft.is_elsewhere, draft.kept_at_utc = kept, True, kept.saved_at_utc


def _restore(case: ReviewCase, draft: Draft) -> None:
    """Takes up what the reviewer had drawn in an earlier session; offers it if the case has changed since."""
    if not draft.reviewer or draft.is_changed:
        return
    kept = store().draft(case.case_id, draft.reviewer)
    if kept is None or kept.ellipse_px == draft.saved_px:
        return
    if case.state.is_signed or kept.revision != case.state.revision:
        draft.offered, draft.kept_at_utc = kept, kept.saved_at_utc
        return
    draft.ellipse_px, draft.kept_at_utc = kept.ellipse_px, kept.saved_at_utc
    draft.restored = text(
        "Restored: the ellipse that you drew at {when} and did not save. Save it as a correction, or discard the "
        "changes.",
        when=wording.utc(kept.saved_at_utc),
    )


def _sentence_on_reconnect() -> str:
    return text(
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
            kept = store().keep_draft(case_id, reviewer, draft.revision, draft.ellipse_px)
            draft.kept_at_utc = kept.saved_at_utc
        elif draft.offered is None:
            store().drop_draft(case_id, reviewer)
    except StoreError as error:
        st.toast(text("The drawing is on the screen but was not kept: {why}", why=error), icon=":material/warning:")


def _find(case_id: CaseId) -> Draft | None:
    draft = st.session_state.get(_draft_key(case_id))
    return draft if isinstance(draft, Draft) else None


def _draft_key(case_id: CaseId) -> str:
    return f"draft-{case_id}"
