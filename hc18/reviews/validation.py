"""What the store accepts: which action in which state of a case, and text as it is kept."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration
from hc18.obstetrics.gestational_age import LONGEST_PREGNANCY_DAYS, IndependentAge
from hc18.reviews.models import CaseState, Decision, ModelMeasurement, ReviewAction, ReviewRefused
from hc18.reviews.tables import LABEL_LENGTH, REVIEWER_LENGTH

_PATH = re.compile(r"\S*[/\\]\S*")
MAX_REASON_LENGTH = 2000
LARGEST_SEMI_AXIS = 2.0  # in longer sides of the image; editor.js has the same limit
_NEEDS_REASON = frozenset({ReviewAction.REJECT, ReviewAction.REOPEN, ReviewAction.ADJUDICATE})
_DRAWS = frozenset({ReviewAction.CORRECT, ReviewAction.ADJUDICATE})


@dataclass(frozen=True, slots=True)
class ReviewRequest:
    """What a reviewer asks for.

    Attributes:
        action: what to do.
        reviewer: who asks.
        reason: why; needed to reject and to reopen.
        ellipse_px: the drawn ellipse, for `correct`, `adjudicate` and `read`.
        calibration: the new calibration, for `calibrate` only.
        measurement: a new measurement by the model, for `measured` only.
        age: independent gestational age, for `set_age` only.
    """

    action: ReviewAction
    reviewer: str
    reason: str = ""
    ellipse_px: Ellipse | None = None
    calibration: Calibration | None = None
    measurement: ModelMeasurement | None = None
    age: IndependentAge | None = None


def check_request(state: CaseState, request: ReviewRequest) -> None:
    """Returns if the action is allowed now and complete; holds for new requests and for recorded ones alike.

    Raises:
        ReviewRefused: with one sentence that says why it isn't and what to do.
    """
    problem = _request_problem(request) or _order_problem(state, request.action) or _content_problem(state, request)
    if problem:
        raise ReviewRefused(problem)


def check_limits(state: CaseState, request: ReviewRequest) -> None:
    """Returns if the entered values are plausible.

    For new requests only: a limit that changes between versions must not make recorded events illegal.

    Raises:
        ReviewRefused: with one sentence that names the value, the limit and what to do.
    """
    problem = "" if request.ellipse_px is None else ellipse_problem(request.ellipse_px, state.image_hw)
    if problem:
        raise ReviewRefused(problem)
    age = request.age
    if age is not None and age.days > LONGEST_PREGNANCY_DAYS:
        raise ReviewRefused(
            f"the gestational age is {age.days:g} days; expected 1 to {LONGEST_PREGNANCY_DAYS}; check the entry"
        )


def _request_problem(request: ReviewRequest) -> str:
    """What the request itself lacks or has too much; empty if nothing."""
    action = request.action
    has_ellipse = request.ellipse_px is not None
    if action is not ReviewAction.READ and has_ellipse != (action in _DRAWS):
        return f"'{action}' came {'with' if has_ellipse else 'without'} an ellipse; only 'correct' has one"
    if action is ReviewAction.READ and not has_ellipse and not request.reason.strip():
        return "the reading has neither an ellipse nor a reason; draw one, or say why nothing can be measured"
    belongs = {
        ReviewAction.CALIBRATE: ("a calibration", request.calibration),
        ReviewAction.MEASURED: ("a measurement", request.measurement),
        ReviewAction.SET_AGE: ("a gestational age", request.age),
    }
    for owner, (name, value) in belongs.items():
        if (value is not None) != (action is owner):
            return f"'{action}' came {'without' if action is owner else 'with'} {name}; only '{owner}' has one"
    if not request.reviewer.strip():
        return "no reviewer is named; enter your name first"
    if action in _NEEDS_REASON and not request.reason.strip():
        return f"no reason is given; say in a few words why you {action} this case"
    return ""


def _order_problem(state: CaseState, action: ReviewAction) -> str:
    """Why the action cannot follow what was done so far; empty if it can."""
    if state.is_signed:
        if action in (ReviewAction.REOPEN, ReviewAction.READ):
            return ""
        return f"the case is signed by {state.signed_by}; reopen it with a reason before you change it"
    if action is ReviewAction.REOPEN:
        return "the case is not signed, so there is nothing to reopen; change it directly"
    if action is ReviewAction.SIGN and state.decision is Decision.UNREVIEWED:
        return "nobody has decided on this case yet; accept, correct or reject it before you sign"
    if action is ReviewAction.WITHDRAW and state.decision is Decision.UNREVIEWED:
        return "nobody has decided on this case, so there is nothing to withdraw"
    if action is ReviewAction.ADJUDICATE and not state.readings:
        return "nobody has read this case a second time, so there is nothing to settle; correct it instead"
    if action is ReviewAction.MEASURED and state.decision is not Decision.UNREVIEWED:
        return f"the case is already {state.decision} by {state.reviewer}; a new measurement would undo that"
    return ""


def _content_problem(state: CaseState, request: ReviewRequest) -> str:
    """Why the action makes no sense for this case; empty if it does."""
    match request.action:
        case ReviewAction.ACCEPT if state.model_outline.ellipse_px is None:
            return "the model found no ellipse that could be accepted; draw one or reject the case"
        case ReviewAction.ACCEPT if state.decision is Decision.ACCEPTED:
            return f"the case is already accepted by {state.reviewer}; sign it or correct it"
        case ReviewAction.REJECT if state.decision is Decision.REJECTED:
            return f"the case is already rejected by {state.reviewer}; sign it, accept it or correct it"
        case ReviewAction.CORRECT if request.ellipse_px is not None:
            return _correction_problem(state, request.ellipse_px)
        case ReviewAction.READ | ReviewAction.ADJUDICATE if request.ellipse_px is not None:
            return _center_problem(request.ellipse_px, state.image_hw)
        case ReviewAction.CALIBRATE if request.calibration == state.calibration:
            return "the calibration is the one in force; enter another one or keep it"
        case ReviewAction.SET_AGE if request.age is not None:
            return _age_problem(state, request.age)
        case _:
            return ""


def _age_problem(state: CaseState, age: IndependentAge) -> str:
    """Why an independent gestational age cannot be recorded; empty if it can."""
    if age == state.age:
        return "the gestational age is the one already recorded; enter another one or keep it"
    if not (math.isfinite(age.days) and age.days > 0.0):
        return f"the gestational age is {age.days:g} days; expected a number above 0; check the entry"
    return ""


def _correction_problem(state: CaseState, ellipse_px: Ellipse) -> str:
    """Why an ellipse does not correct this case; empty if it does."""
    if ellipse_px == state.model_outline.ellipse_px:
        return "the ellipse is the model's own; accept it instead of correcting it"
    if ellipse_px == state.outline.ellipse_px:
        return "the ellipse is the one already saved; change it or sign the case"
    return _center_problem(ellipse_px, state.image_hw)


def ellipse_problem(ellipse_px: Ellipse, image_hw: tuple[int, int]) -> str:
    """Why a drawn ellipse cannot outline a head in an image of this height and width; empty if it can."""
    longest = LARGEST_SEMI_AXIS * max(image_hw)
    if ellipse_px.semi_axis_a > longest:
        return (
            f"the semi-axis of {ellipse_px.semi_axis_a:.0f} px is too long for the image; type at most {longest:.0f} px"
        )
    return _center_problem(ellipse_px, image_hw)


def _center_problem(ellipse_px: Ellipse, image_hw: tuple[int, int]) -> str:
    """Why the centre of an ellipse cannot be where it is; empty if it can."""
    height, width = image_hw
    if not (-0.5 <= ellipse_px.center_x <= width - 0.5 and -0.5 <= ellipse_px.center_y <= height - 0.5):
        return (
            f"the ellipse's centre ({ellipse_px.center_x:.1f}, {ellipse_px.center_y:.1f}) lies outside the image of "
            f"{width} x {height} px; move it onto the head"
        )
    return ""


def to_label(label: str, case_id: int) -> str:
    """A label on one line, shortened to the column; `Case N` for an empty one."""
    return to_single_line(label)[:LABEL_LENGTH].strip() or f"Case {case_id}"


def to_reviewer(reviewer: str) -> str:
    """A reviewer's name on one line.

    Raises:
        ReviewRefused: if there is none, or it is too long for the record.
    """
    name = to_single_line(reviewer)
    if not name:
        raise ReviewRefused("no reviewer is named; enter your name first")
    if len(name) > REVIEWER_LENGTH:
        raise ReviewRefused(
            f"the reviewer's name has {len(name)} characters; expected at most {REVIEWER_LENGTH}; shorten it"
        )
    return name


def to_reason(reason: str) -> str:
    """A reason without surrounding space.

    Raises:
        ReviewRefused: if it is too long for the record.
    """
    text = reason.strip()
    if len(text) > MAX_REASON_LENGTH:
        raise ReviewRefused(
            f"the reason has {len(text)} characters; expected at most {MAX_REASON_LENGTH}; say it in fewer words"
        )
    return text


def without_paths(text: str) -> str:
    """A reason of the program without paths and file names' folders, which may carry a patient's name."""
    return _PATH.sub("(a file)", text)


def to_single_line(text: str) -> str:
    """`text` without line breaks and other control characters, which become single spaces."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
