"""Codes, readers, views and requests for second readings; and what a blind reading does to a case."""

from datetime import UTC, datetime

import pytest

from hc18.reports.agreement import reader_pairs
from hc18.reviews import worklist
from hc18.reviews.models import Decision, ReviewAction, ReviewRefused
from hc18.reviews.queue import QueueView
from hc18.reviews.store import ReviewStore
from hc18.reviews.worklist import CaseTags
from tests.hc18.reviews.cases import CORRECTED, MODEL_ELLIPSE, PIXEL_SIZE_MM, new_case

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


@pytest.fixture
def three(store: ReviewStore) -> ReviewStore:
    """Three cases that nobody has decided on."""
    store.register_cases([new_case(number) for number in (1, 2, 3)], "ann")
    return store


def test_cases_are_found_by_their_codes(three: ReviewStore) -> None:
    with three.writer() as connection:
        worklist.write_tags(connection, [1, 3], CaseTags("E-17", "P-3", "2026-01-31"))
    assert [row.case_id for row in three.queue(QueueView(search="e-17")).rows] == [1, 3]
    assert [row.subject for row in three.queue(QueueView(search="p-3")).rows] == ["P-3", "P-3"]


def test_day_that_is_no_date_is_refused() -> None:
    with pytest.raises(ReviewRefused, match="expected a date as 2026-01-31"):
        CaseTags(examined_on="31.1.2026")


def test_readers_get_cases_in_turn(three: ReviewStore) -> None:
    with three.writer() as connection:
        worklist.assign(connection, [1, 2, 3], ["ann", "bob"])
    assert [row.assignee for row in three.queue().rows] == ["ann", "bob", "ann"]
    assert [row.case_id for row in three.queue(QueueView(assignee="bob")).rows] == [2]


def test_only_cases_that_were_seen_as_they_are_can_be_signed_together(three: ReviewStore) -> None:
    three.append(1, 1, ReviewAction.ACCEPT, "ann")
    three.append(2, 1, ReviewAction.ACCEPT, "bob")
    with three.writer() as connection:
        worklist.note_view(connection, 2, "ann", 1, NOW)  # before bob's decision
        worklist.note_view(connection, 3, "ann", 1, NOW)  # nobody has decided
    with three.reader() as connection:
        ready = worklist.to_sign(connection, [1, 2, 3], "ann")
    assert ready == {1: 2}
    assert three.sign_cases({**ready, 2: 1}, "ann").keys() == {2}
    assert (three.state(1).is_signed, three.state(2).is_signed) == (True, False)
    assert three.verify().problems == ()


def test_reading_is_for_people_who_do_not_know_the_case(three: ReviewStore) -> None:
    three.append(1, 1, ReviewAction.ACCEPT, "ann")
    with three.writer() as connection:
        assert worklist.ask_reading(connection, [1], worklist.ANYBODY, "lead", NOW) == 1
        assert worklist.ask_reading(connection, [1], worklist.ANYBODY, "lead", NOW) == 0
        assert worklist.open_readings(connection, "ann") == []
        assert worklist.open_readings(connection, "bob") == [1]
    three.append(1, 2, ReviewAction.READ, "bob", ellipse_px=CORRECTED)
    with three.reader() as connection:
        assert worklist.open_readings(connection, "bob") == []
        assert worklist.read_cases(connection) == [1]


def test_reading_changes_no_decision_and_is_settled_by_a_third_person(three: ReviewStore) -> None:
    three.append(1, 1, ReviewAction.ACCEPT, "ann")
    state = three.append(1, 2, ReviewAction.READ, "bob", ellipse_px=CORRECTED)
    assert (state.decision, state.outline.ellipse_px, state.reviewer) == (Decision.ACCEPTED, MODEL_ELLIPSE, "ann")
    between, within = reader_pairs(three.case(1), three.events(1))
    assert within is None
    assert between is not None
    assert (between.first_reader, between.second_reader) == ("ann", "bob")
    assert between.second_mm == pytest.approx(PIXEL_SIZE_MM * CORRECTED.circumference())
    state = three.append(1, 3, ReviewAction.ADJUDICATE, "lead", ellipse_px=CORRECTED, reason="outer edge")
    assert (state.decision, state.is_adjudicated, state.reviewer) == (Decision.CORRECTED, True, "lead")
    assert three.verify().problems == ()


def test_same_person_twice_is_a_pair_within_a_reader(three: ReviewStore) -> None:
    three.append(1, 1, ReviewAction.ACCEPT, "ann")
    three.append(1, 2, ReviewAction.READ, "ann", ellipse_px=CORRECTED)
    between, within = reader_pairs(three.case(1), three.events(1))
    assert between is None
    assert within is not None
    assert (within.first_reader, within.second_reader) == ("ann", "ann")


def test_withdrawn_decision_leaves_the_models_ellipse(three: ReviewStore) -> None:
    three.append(1, 1, ReviewAction.CORRECT, "ann", ellipse_px=CORRECTED)
    state = three.append(1, 2, ReviewAction.WITHDRAW, "ann")
    assert (state.decision, state.outline.ellipse_px, state.reviewer) == (Decision.UNREVIEWED, MODEL_ELLIPSE, "")
    with pytest.raises(ReviewRefused, match="nothing to withdraw"):
        three.append(1, 3, ReviewAction.WITHDRAW, "ann")
    assert three.verify().problems == ()


def test_settling_needs_a_second_reading(three: ReviewStore) -> None:
    with pytest.raises(ReviewRefused, match="nothing to settle"):
        three.append(1, 1, ReviewAction.ADJUDICATE, "lead", ellipse_px=CORRECTED, reason="edge")
