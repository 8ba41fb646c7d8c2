"""Which action is allowed when; then random histories, which may never break what the rules promise."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import from_table, from_user, uncalibrated
from hc18.obstetrics.gestational_age import LONGEST_PREGNANCY_DAYS, IndependentAge
from hc18.reviews.canonical import GENESIS_HASH
from hc18.reviews.models import CaseState, Decision, Outline, ReviewAction, ReviewEvent, ReviewRefused
from hc18.reviews.state import derive_state, next_state, outline_after, to_outline
from hc18.reviews.store import ReviewStore
from hc18.reviews.validation import ReviewRequest, check_request
from tests.hc18.reviews.cases import CORRECTED, IMAGE_HW, MODEL, MODEL_ELLIPSE, PIXEL_SIZE_MM, measurement, new_case

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)


def _first_event(**values: object) -> ReviewEvent:
    found = measurement(**values)  # type: ignore[arg-type]
    return ReviewEvent(
        seq=1,
        image_sha256="0f" * 32,
        image_hw=IMAGE_HW,
        revision=1,
        action=ReviewAction.MEASURED,
        at_utc=AT,
        reviewer="ann",
        reason="",
        measurement=found,
        model=MODEL,
        calibration=from_table(PIXEL_SIZE_MM),
        age=None,
        before=Outline(),
        after=to_outline(found.ellipse_px, from_table(PIXEL_SIZE_MM)),
        mask_sha256="",
        app_version="0",
        prev_hash=GENESIS_HASH,
    )


def _event(state: CaseState, request: ReviewRequest) -> ReviewEvent:
    return replace(
        _first_event(),
        revision=state.revision + 1,
        action=request.action,
        reviewer=request.reviewer,
        reason=request.reason,
        measurement=request.measurement,
        model=(request.measurement or state.measurement).model,
        calibration=request.calibration or state.calibration,
        age=request.age or state.age,
        before=state.outline,
        after=outline_after(state, request),
    )


def _request(action: ReviewAction, **values: object) -> ReviewRequest:
    needed: dict[ReviewAction, dict[str, object]] = {
        ReviewAction.CORRECT: {"ellipse_px": CORRECTED},
        ReviewAction.CALIBRATE: {"calibration": from_user(2.0)},
        ReviewAction.MEASURED: {"measurement": measurement(CORRECTED)},
        ReviewAction.SET_AGE: {"age": IndependentAge(150.0, "dates")},
    }
    return ReviewRequest(action, "ann", **{"reason": "why", **needed.get(action, {}), **values})  # type: ignore[arg-type]


def _after(*actions: ReviewAction, ellipse_px: Ellipse | None = MODEL_ELLIPSE) -> CaseState:
    """The state of a measured case after some actions."""
    state = next_state(None, _first_event(ellipse_px=ellipse_px))
    for action in actions:
        request = _request(action)
        check_request(state, request)
        state = next_state(state, _event(state, request))
    return state


A = ReviewAction


@pytest.mark.parametrize(
    ("history", "action", "sentence"),
    [
        ([], A.SIGN, "nobody has decided on this case yet; accept, correct or reject it before you sign"),
        ([], A.REOPEN, "not signed, so there is nothing to reopen"),
        ([A.ACCEPT], A.ACCEPT, "already accepted by ann"),
        ([A.REJECT], A.REJECT, "already rejected by ann"),
        ([A.CORRECT], A.CORRECT, "the ellipse is the one already saved"),
        ([A.ACCEPT], A.MEASURED, "already accepted by ann; a new measurement would undo that"),
        ([A.ACCEPT, A.SIGN], A.SIGN, "signed by ann; reopen it with a reason"),
        ([A.ACCEPT, A.SIGN], A.CORRECT, "signed by ann; reopen it"),
        ([A.ACCEPT, A.SIGN], A.REJECT, "signed by ann; reopen it"),
        ([A.ACCEPT, A.SIGN], A.CALIBRATE, "signed by ann; reopen it"),
        ([A.ACCEPT, A.SIGN], A.SET_AGE, "signed by ann; reopen it"),
        ([A.ACCEPT, A.SIGN], A.MEASURED, "signed by ann; reopen it"),
        ([A.CALIBRATE], A.CALIBRATE, "the calibration is the one in force"),
        ([A.SET_AGE], A.SET_AGE, "the gestational age is the one already recorded"),
    ],
)
def test_action_out_of_order_is_refused_with_a_sentence(
    history: list[ReviewAction], action: ReviewAction, sentence: str
) -> None:
    with pytest.raises(ReviewRefused, match=sentence):
        check_request(_after(*history), _request(action))


@pytest.mark.parametrize(
    ("history", "action"),
    [
        ([], A.ACCEPT),
        ([], A.CORRECT),
        ([], A.REJECT),
        ([], A.CALIBRATE),
        ([], A.SET_AGE),
        ([], A.MEASURED),
        ([A.CORRECT], A.ACCEPT),
        ([A.REJECT], A.CORRECT),
        ([A.ACCEPT], A.REJECT),
        ([A.ACCEPT], A.CALIBRATE),
        ([A.REJECT], A.SIGN),
        ([A.ACCEPT, A.SIGN], A.REOPEN),
        ([A.ACCEPT, A.SIGN, A.REOPEN], A.SIGN),
        ([A.ACCEPT, A.SIGN, A.REOPEN], A.REJECT),
    ],
)
def test_action_in_order_is_allowed(history: list[ReviewAction], action: ReviewAction) -> None:
    check_request(_after(*history), _request(action))


@pytest.mark.parametrize("action", [A.REJECT, A.REOPEN])
def test_rejecting_and_reopening_need_a_reason(action: ReviewAction) -> None:
    history = [A.ACCEPT, A.SIGN] if action is A.REOPEN else []
    with pytest.raises(ReviewRefused, match=f"say in a few words why you {action} this case"):
        check_request(_after(*history), _request(action, reason=" \n"))


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (ReviewRequest(A.CORRECT, "ann"), "'correct' came without an ellipse"),
        (ReviewRequest(A.ACCEPT, "ann", ellipse_px=CORRECTED), "'accept' came with an ellipse"),
        (ReviewRequest(A.CALIBRATE, "ann"), "'calibrate' came without a calibration"),
        (ReviewRequest(A.SIGN, "ann", calibration=from_user(1.0)), "'sign' came with a calibration"),
        (ReviewRequest(A.MEASURED, "ann"), "'measured' came without a measurement"),
        (ReviewRequest(A.SET_AGE, "ann"), "'set_age' came without a gestational age"),
        (ReviewRequest(A.ACCEPT, "  "), "no reviewer is named"),
    ],
)
def test_incomplete_request_is_refused(request_: ReviewRequest, sentence: str) -> None:
    with pytest.raises(ReviewRefused, match=sentence):
        check_request(_after(), request_)


def test_model_without_ellipse_cannot_be_accepted_but_drawn() -> None:
    state = _after(ellipse_px=None)
    with pytest.raises(ReviewRefused, match="found no ellipse that could be accepted; draw one or reject"):
        check_request(state, _request(A.ACCEPT))
    check_request(state, _request(A.CORRECT))
    assert state.is_flagged


def test_models_own_ellipse_is_no_correction() -> None:
    with pytest.raises(ReviewRefused, match="accept it instead"):
        check_request(_after(), _request(A.CORRECT, ellipse_px=MODEL_ELLIPSE))


@pytest.mark.parametrize("center", [(-1.0, 10.0), (80.0, 10.0), (10.0, -0.6), (10.0, 64.0)])
def test_ellipse_beside_the_image_is_no_correction(center: tuple[float, float]) -> None:
    with pytest.raises(ReviewRefused, match="lies outside the image of 80 x 64 px"):
        check_request(_after(), _request(A.CORRECT, ellipse_px=Ellipse(*center, 9.0, 8.0, 0.0)))


@pytest.mark.parametrize("days", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_age_is_refused(days: float) -> None:
    with pytest.raises(ReviewRefused, match="expected a number above 0"):
        check_request(_after(), _request(A.SET_AGE, age=IndependentAge(days, "dates")))


def test_age_beyond_the_longest_pregnancy_is_refused_when_it_is_entered(sqlite_store: ReviewStore) -> None:
    sqlite_store.register_case(new_case(1), "ann")
    longest = IndependentAge(float(LONGEST_PREGNANCY_DAYS), "dates")
    assert sqlite_store.append(1, 1, A.SET_AGE, "ann", age=longest).age == longest
    with pytest.raises(ReviewRefused, match="309 days; expected 1 to 308"):
        sqlite_store.append(1, 2, A.SET_AGE, "ann", age=IndependentAge(309.0, "dates"))


def test_recorded_age_stays_legal_when_the_limit_changes() -> None:
    check_request(_after(), _request(A.SET_AGE, age=IndependentAge(LONGEST_PREGNANCY_DAYS + 7.0, "dates")))


def test_accepting_after_a_correction_goes_back_to_the_models_ellipse() -> None:
    state = _after(A.CORRECT, A.ACCEPT)
    assert (state.decision, state.outline) == (Decision.ACCEPTED, state.model_outline)


def test_rejected_case_has_no_value() -> None:
    assert _after(A.CORRECT, A.REJECT).outline == Outline()


@pytest.mark.parametrize(
    "change",
    [
        {"before": Outline()},
        {"after": Outline(CORRECTED, 1.0)},
        {"revision": 5},
        {"calibration": uncalibrated("gone")},
        {"image_sha256": "11" * 32},
        {"age": IndependentAge(150.0, "dates")},
        {"model": replace(MODEL, version="2")},
    ],
)
def test_event_that_contradicts_its_history_is_refused(change: dict[str, object]) -> None:
    state = _after()
    event = replace(_event(state, _request(A.ACCEPT)), **change)  # type: ignore[arg-type]
    with pytest.raises(ReviewRefused, match="does not continue the case: " + next(iter(change))):
        next_state(state, event)


@pytest.mark.parametrize(
    "change",
    [
        {"action": A.ACCEPT},
        {"revision": 2},
        {"measurement": None},
        {"after": Outline()},
        {"before": Outline(CORRECTED)},
        {"model": replace(MODEL, version="2")},
    ],
)
def test_first_event_must_be_the_measurement(change: dict[str, object]) -> None:
    with pytest.raises(ReviewRefused, match=r"begins with|do not agree"):
        next_state(None, replace(_first_event(), **change))  # type: ignore[arg-type]


def test_case_without_events_has_no_state() -> None:
    with pytest.raises(ReviewRefused, match="no event"):
        derive_state([])


def test_last_digit_of_another_computer_is_no_contradiction() -> None:
    event = _first_event()
    assert event.after.hc_mm is not None
    rounded = replace(event.after, hc_mm=event.after.hc_mm * (1.0 + 1e-12))
    assert next_state(None, replace(event, after=rounded)).revision == 1


_ELLIPSES = st.builds(
    Ellipse.from_axes, st.floats(0, 79), st.floats(0, 59), st.floats(1, 60), st.floats(1, 60), st.floats(-7, 7)
)
_REQUESTS = st.one_of(
    st.builds(_request, st.sampled_from([A.ACCEPT, A.REJECT, A.SIGN, A.REOPEN]), reason=st.text(max_size=3)),
    st.builds(_request, st.just(A.CORRECT), ellipse_px=_ELLIPSES),
    st.builds(_request, st.just(A.CALIBRATE), calibration=st.builds(from_user, st.floats(0.02, 2.0))),
    st.builds(_request, st.just(A.CALIBRATE), calibration=st.just(uncalibrated("none"))),
    st.builds(_request, st.just(A.SET_AGE), age=st.builds(IndependentAge, st.floats(1, 300), st.just("dates"))),
    st.builds(_request, st.just(A.MEASURED), measurement=st.builds(measurement, st.one_of(st.none(), _ELLIPSES))),
)


@settings(deadline=None, max_examples=150)
@given(requests=st.lists(_REQUESTS, max_size=12), found=st.one_of(st.none(), _ELLIPSES))
def test_random_histories_keep_the_promises(requests: list[ReviewRequest], found: Ellipse | None) -> None:
    events = [_first_event(ellipse_px=found)]
    state = next_state(None, events[0])
    for request in requests:
        before = state
        try:
            check_request(state, request)
        except ReviewRefused:
            continue
        events.append(_event(state, request))
        state = next_state(state, events[-1])
        if before.is_signed:
            assert request.action is A.REOPEN
            assert replace(before, **_who_and_when(state), is_signed=False) == state
        assert events[-1].before == before.outline
    assert state.revision == len(events)
    assert derive_state(events) == state
    assert state.n_signatures == sum(event.action is A.SIGN for event in events)
    assert not (state.is_signed and state.decision is Decision.UNREVIEWED)
    assert (state.outline.ellipse_px is None) <= (state.decision in (Decision.REJECTED, Decision.UNREVIEWED))
    assert (state.outline.hc_mm is None) == (
        state.outline.ellipse_px is None or state.calibration.pixel_size_xy_mm is None
    )
    assert state.outline == to_outline(state.outline.ellipse_px, state.calibration)


def _who_and_when(state: CaseState) -> dict[str, object]:
    return {
        name: getattr(state, name)
        for name in ("revision", "changed_by", "changed_at_utc", "signed_by", "signed_at_utc")
    }
