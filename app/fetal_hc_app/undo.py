"""Undo and redo over ellipses, pixel sizes and decisions of this session.

An ellipse on the screen is put back. What was recorded stays in the record, and a further event takes it back: the
decision or the pixel size from before, `withdraw` where nobody had decided, `reopen` for a signature.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import streamlit as st

from fetal_hc_app.texts import text
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration
from hc18.reviews.models import CaseId, CaseState, Decision, ReviewAction

_KEY = "undo"
_MOST_STEPS = 500


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person decided about a case, as far as it can be taken back."""

    decision: Decision
    ellipse_px: Ellipse | None
    reason: str
    is_signed: bool


Content = Ellipse | Calibration | Verdict | None


@dataclass(frozen=True, slots=True)
class Step:
    """One change that can be undone.

    Attributes:
        case_id: of the case that was changed.
        before: what there was: an ellipse or None, a pixel size, or a verdict.
        after: what there was then, of the same kind.
        group: steps of one key have the same number and are undone together.
    """

    case_id: CaseId
    before: Content
    after: Content
    group: int


@dataclass(slots=True)
class Steps:
    """The changes of a session, and how many of them are in force.

    Attributes:
        steps: oldest first.
        n_done: the others were undone.
        group: of the key that is being worked on.
    """

    steps: list[Step] = field(default_factory=list)
    n_done: int = 0
    group: int = 0

    def add(self, case_id: CaseId, before: Content, after: Content) -> None:
        """Notes a change; what was undone before it cannot be redone any more."""
        if before == after:
            return
        del self.steps[self.n_done :]
        self.steps = [*self.steps, Step(case_id, before, after, self.group)][-_MOST_STEPS:]
        self.n_done = len(self.steps)

    def take_back(self) -> list[Step]:
        """The steps that undo takes back now, newest first."""
        taken: list[Step] = []
        while self.n_done and (not taken or self.steps[self.n_done - 1].group == taken[0].group):
            self.n_done -= 1
            taken.append(self.steps[self.n_done])
        return taken

    def take_again(self) -> list[Step]:
        """The steps that redo makes again now, oldest first."""
        taken: list[Step] = []
        while self.n_done < len(self.steps) and (not taken or self.steps[self.n_done].group == taken[0].group):
            taken.append(self.steps[self.n_done])
            self.n_done += 1
        return taken

    def drop(self, lost: Iterable[Step]) -> None:
        """Forgets steps that were refused, and all that belong to their cases: somebody else has changed those."""
        cases = {step.case_id for step in lost}
        kept = [(step, number < self.n_done) for number, step in enumerate(self.steps) if step.case_id not in cases]
        self.steps, self.n_done = [step for step, _ in kept], sum(is_done for _, is_done in kept)

    @property
    def next_back(self) -> Step | None:
        """What undo takes back first."""
        return self.steps[self.n_done - 1] if self.n_done else None

    @property
    def next_again(self) -> Step | None:
        """What redo makes again first."""
        return self.steps[self.n_done] if self.n_done < len(self.steps) else None


def steps() -> Steps:
    """The changes of this session."""
    found = st.session_state.get(_KEY)
    if not isinstance(found, Steps):
        found = st.session_state[_KEY] = Steps()
    return found


def begin() -> None:
    """Says that the changes that follow belong to one key or click."""
    steps().group += 1


def verdict(state: CaseState) -> Verdict:
    """What was decided about a case so far."""
    is_drawn = state.decision is Decision.CORRECTED
    return Verdict(state.decision, state.outline.ellipse_px if is_drawn else None, state.reason, state.is_signed)


def way_to(wanted: Verdict, state: CaseState) -> Iterable[tuple[ReviewAction, Ellipse | None, str]]:
    """The actions that bring a case to a verdict, with the ellipse and the reason of each."""
    now = verdict(state)
    if now.is_signed and now != wanted:
        yield ReviewAction.REOPEN, None, "Undone by the reviewer."
    if (now.decision, now.ellipse_px, now.reason) != (wanted.decision, wanted.ellipse_px, wanted.reason):
        action = {
            Decision.UNREVIEWED: ReviewAction.WITHDRAW,
            Decision.ACCEPTED: ReviewAction.ACCEPT,
            Decision.CORRECTED: ReviewAction.CORRECT,
            Decision.REJECTED: ReviewAction.REJECT,
        }[wanted.decision]
        reason = "" if action is ReviewAction.WITHDRAW else wanted.reason
        yield action, wanted.ellipse_px, reason
    if wanted.is_signed and not (now.is_signed and now == wanted):
        yield ReviewAction.SIGN, None, ""


def describe(step: Step) -> str:
    """What a step changed, for a tooltip."""
    content = step.after if step.after is not None else step.before
    kind = (
        "decision" if isinstance(content, Verdict) else "pixel size" if isinstance(content, Calibration) else "ellipse"
    )
    return text("{kind} of case {case}", kind=text(kind), case=step.case_id)
