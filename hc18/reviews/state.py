"""The state of a case, derived from its events alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration
from hc18.measurement.flags import Flag
from hc18.measurement.interval_model import Interval
from hc18.measurement.measurement import apply_pixel_size, to_mm
from hc18.reviews.adapters import to_outline_px
from hc18.reviews.models import (
    CaseState,
    Decision,
    ModelMeasurement,
    Outline,
    Reading,
    ReviewAction,
    ReviewEvent,
    ReviewRefused,
)
from hc18.reviews.validation import ReviewRequest, check_request

_DECISIONS = {
    ReviewAction.ACCEPT: Decision.ACCEPTED,
    ReviewAction.CORRECT: Decision.CORRECTED,
    ReviewAction.REJECT: Decision.REJECTED,
}


def to_outline(ellipse_px: Ellipse | None, calibration: Calibration) -> Outline:
    """An ellipse with its circumference in mm, which needs a calibration.

    Raises:
        MeasurementError: if the pixel size is not positive.
    """
    ellipse_mm = to_mm(ellipse_px, calibration)
    return Outline(ellipse_px, None if ellipse_mm is None else ellipse_mm.circumference())


def outline_after(state: CaseState, request: ReviewRequest) -> Outline:
    """The outline that counts after a request that `check_request` let pass."""
    match request.action:
        case ReviewAction.ACCEPT | ReviewAction.WITHDRAW:
            return state.model_outline
        case ReviewAction.CORRECT | ReviewAction.ADJUDICATE:
            return to_outline(request.ellipse_px, state.calibration)
        case ReviewAction.REJECT:
            return Outline()
        case ReviewAction.CALIBRATE:
            return to_outline(state.outline.ellipse_px, request.calibration or state.calibration)
        case ReviewAction.MEASURED:
            measurement = request.measurement or state.measurement
            return to_outline(measurement.ellipse_px, state.calibration)
        case _:
            return state.outline


def reading_of(state: CaseState, request: ReviewRequest) -> Outline | None:
    """What a blind reading records; None for every other action."""
    return to_outline(request.ellipse_px, state.calibration) if request.action is ReviewAction.READ else None


def derive_state(events: Iterable[ReviewEvent]) -> CaseState:
    """The state that a case's events leave it in.

    Args:
        events: all of one case, by revision.

    Raises:
        ReviewRefused: if an event was not allowed, or does not fit the one before.
    """
    state: CaseState | None = None
    for event in events:
        state = next_state(state, event)
    if state is None:
        raise ReviewRefused("the case has no event; expected its measurement as the first one")
    return state


def next_state(state: CaseState | None, event: ReviewEvent) -> CaseState:
    """The state after one more event.

    Raises:
        ReviewRefused: if the event was not allowed in `state`, or does not continue it.
    """
    if state is None:
        return _first_state(event)
    request = ReviewRequest(
        event.action,
        event.reviewer,
        event.reason,
        ellipse_px=_ellipse_of(event),
        calibration=event.calibration if event.action is ReviewAction.CALIBRATE else None,
        measurement=event.measurement,
        age=event.age if event.action is ReviewAction.SET_AGE else None,
    )
    check_request(state, request)
    _check_continues(state, request, event)
    return _changed(state, event)


def _ellipse_of(event: ReviewEvent) -> Ellipse | None:
    """The ellipse that the person behind an event had drawn."""
    if event.action is ReviewAction.READ:
        return None if event.reading is None else event.reading.ellipse_px
    return event.after.ellipse_px if event.action in (ReviewAction.CORRECT, ReviewAction.ADJUDICATE) else None


def _first_state(event: ReviewEvent) -> CaseState:
    """The state after the measurement that begins every case."""
    measurement = event.measurement
    if event.action is not ReviewAction.MEASURED or measurement is None or event.revision != 1:
        raise ReviewRefused(
            f"the case begins with '{event.action}' as revision {event.revision}; expected 'measured' as revision 1"
        )
    outline = to_outline(measurement.ellipse_px, event.calibration)
    model_values = _model_values(measurement, event.calibration, measurement.interval)
    agrees = event.before == Outline() and _is_same_outline(event.after, outline)
    if not agrees or event.model != measurement.model:
        raise ReviewRefused("the first event's outlines or model do not agree with its measurement")
    return CaseState(
        image_sha256=event.image_sha256,
        image_hw=event.image_hw,
        revision=1,
        decision=Decision.UNREVIEWED,
        is_signed=False,
        n_signatures=0,
        measurement=measurement,
        calibration=event.calibration,
        age=event.age,
        model_outline=outline,
        interval=model_values.interval,
        outline=outline,
        flags=model_values.flags,
        reviewer="",
        reason="",
        signed_by="",
        signed_at_utc=None,
        measured_at_utc=event.at_utc,
        changed_by=event.reviewer,
        changed_at_utc=event.at_utc,
    )


def _changed(state: CaseState, event: ReviewEvent) -> CaseState:
    """`state` with the changes of an event that was checked."""
    pixel_size = state.calibration.pixel_size_xy_mm
    state = replace(
        state,
        revision=event.revision,
        outline=event.after,
        calibration=event.calibration,
        age=event.age,
        changed_by=event.reviewer,
        changed_at_utc=event.at_utc,
    )
    match event.action:
        case ReviewAction.ACCEPT | ReviewAction.CORRECT | ReviewAction.REJECT:
            decision = _DECISIONS[event.action]
            return replace(state, decision=decision, reviewer=event.reviewer, reason=event.reason, is_adjudicated=False)
        case ReviewAction.WITHDRAW:
            return replace(state, decision=Decision.UNREVIEWED, reviewer="", reason="", is_adjudicated=False)
        case ReviewAction.ADJUDICATE:
            is_models = event.after.ellipse_px == state.model_outline.ellipse_px
            decision = Decision.ACCEPTED if is_models else Decision.CORRECTED
            return replace(state, decision=decision, reviewer=event.reviewer, reason=event.reason, is_adjudicated=True)
        case ReviewAction.READ:
            reading = Reading(event.reviewer, _ellipse_of(event), event.reason, event.at_utc)
            return replace(state, readings=(*state.readings, reading), is_adjudicated=False)
        case ReviewAction.SIGN:
            return replace(
                state,
                is_signed=True,
                n_signatures=state.n_signatures + 1,
                signed_by=event.reviewer,
                signed_at_utc=event.at_utc,
            )
        case ReviewAction.REOPEN:
            return replace(state, is_signed=False, signed_by="", signed_at_utc=None)
        case ReviewAction.SET_AGE:
            return state
        case ReviewAction.CALIBRATE:
            is_same_size = event.calibration.pixel_size_xy_mm == pixel_size
            return _with_model_values(state, state.measurement, state.interval if is_same_size else None)
        case ReviewAction.MEASURED:
            measurement = event.measurement or state.measurement
            state = replace(state, measured_at_utc=event.at_utc)
            return _with_model_values(state, measurement, measurement.interval)


def _with_model_values(state: CaseState, measurement: ModelMeasurement, recorded: Interval | None) -> CaseState:
    """`state` with what a measurement gives under the calibration in force; `recorded` as in `_model_values`."""
    values = _model_values(measurement, state.calibration, recorded)
    return replace(
        state,
        measurement=measurement,
        model_outline=to_outline(measurement.ellipse_px, state.calibration),
        interval=values.interval,
        flags=values.flags,
    )


@dataclass(frozen=True, slots=True)
class _ModelValues:
    """What a measurement says of itself under one calibration: interval and flags."""

    interval: Interval | None
    flags: tuple[str, ...]


def _model_values(measurement: ModelMeasurement, calibration: Calibration, recorded: Interval | None) -> _ModelValues:
    """Interval and flags of a measurement under a calibration, whenever that became known.

    Args:
        measurement: as recorded.
        calibration: in force.
        recorded: the interval to keep where the record lacks its interval model; None if the pixel size has changed.
    """
    found = apply_pixel_size(to_outline_px(measurement), calibration, measurement.interval_model)
    if measurement.interval_model is not None:
        unknown = [flag for flag in measurement.flags if flag not in {known.value for known in Flag}]
        return _ModelValues(found.interval, (*(flag.value for flag in found.flags), *unknown))
    # Records of earlier versions keep their own flags in their own order: stored states depend on it.
    judged_again = (Flag.PIXEL_SIZES_DISAGREE, Flag.IMPLAUSIBLE_HC)
    kept = [flag for flag in measurement.flags if flag not in judged_again]
    return _ModelValues(recorded, (*kept, *(flag.value for flag in found.flags if flag in judged_again)))


def _check_continues(state: CaseState, request: ReviewRequest, event: ReviewEvent) -> None:
    """Returns if a recorded event has the values that its request gives in `state`.

    Raises:
        ReviewRefused: naming what does not fit.
    """
    model = (request.measurement or state.measurement).model
    calibration = request.calibration or state.calibration
    expected = {
        "image_sha256": (event.image_sha256, state.image_sha256),
        "image_hw": (event.image_hw, state.image_hw),
        "revision": (event.revision, state.revision + 1),
        "model": (event.model, model),
        "calibration": (event.calibration, calibration),
        "age": (event.age, request.age or state.age),
    }
    wrong = [name for name, (found, wanted) in expected.items() if found != wanted]
    outlines = {
        "before": (event.before, state.outline),
        "after": (event.after, outline_after(state, request)),
        "reading": (event.reading or Outline(), reading_of(state, request) or Outline()),
    }
    wrong += [name for name, (found, wanted) in outlines.items() if not _is_same_outline(found, wanted)]
    if wrong:
        raise ReviewRefused(f"'{event.action}' does not continue the case: {', '.join(wrong)} differ from its history")


def _is_same_outline(found: Outline, wanted: Outline) -> bool:
    """Whether two outlines are one, but for the last digits in which builds of a numerical library differ."""
    if found.ellipse_px != wanted.ellipse_px or found.hc_mm is None or wanted.hc_mm is None:
        return found == wanted
    return math.isclose(found.hc_mm, wanted.hc_mm, rel_tol=1e-9)
