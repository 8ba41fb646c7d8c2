import pytest
from sqlalchemy import Engine

from hc18.geometry.pixel_size import uncalibrated
from hc18.reviews.database import reading
from hc18.reviews.models import Decision, ReviewAction
from hc18.reviews.queue import QueueFilter, QueueOrder, QueueView, read_rows
from hc18.reviews.store import ReviewStore
from tests.hc18.reviews.cases import CORRECTED, new_case
from tests.hc18.reviews.cases import measurement as measured


@pytest.fixture
def mixed(store: ReviewStore) -> ReviewStore:
    """Cases 1 plain, 2 flagged, 3 without a head, 4 accepted, 5 corrected and signed, 6 rejected, 7 without mm."""
    found = {2: measured(flags=("low_score",)), 3: measured(None)}
    labels = {1: "Twin A", 2: "twin b", 3: "100%_sure"}
    cases = [new_case(number, found=found.get(number), label=labels.get(number, "")) for number in range(1, 7)]
    store.register_cases([*cases, new_case(7, calibration=uncalibrated("no table"))], "ann")
    store.append(4, 1, ReviewAction.ACCEPT, "ann")
    store.append(5, 1, ReviewAction.CORRECT, "bob", ellipse_px=CORRECTED)
    store.append(5, 2, ReviewAction.SIGN, "bob")
    store.append(6, 1, ReviewAction.REJECT, "bob", reason="no skull")
    return store


@pytest.mark.parametrize(
    ("queue_filter", "expected"),
    [
        (QueueFilter.ALL, [1, 2, 3, 4, 5, 6, 7]),
        (QueueFilter.UNREVIEWED, [1, 2, 3, 7]),
        (QueueFilter.FLAGGED, [2, 3, 7]),
        (QueueFilter.ACCEPTED, [4]),
        (QueueFilter.CORRECTED, [5]),
        (QueueFilter.REJECTED, [6]),
        (QueueFilter.TO_SIGN, [4, 6]),
        (QueueFilter.SIGNED, [5]),
    ],
)
def test_filter_lists_its_cases_in_order(mixed: ReviewStore, queue_filter: QueueFilter, expected: list[int]) -> None:
    assert [row.case_id for row in mixed.queue(QueueView(queue_filter)).rows] == expected
    assert [row.case_id for row in mixed.rows(QueueView(queue_filter))] == expected


def test_progress_counts_what_the_filters_list(mixed: ReviewStore) -> None:
    progress = mixed.progress()
    assert progress.n_cases == 7
    for queue_filter in QueueFilter:
        if queue_filter is not QueueFilter.ALL:
            assert getattr(progress, queue_filter.value) == mixed.queue(QueueView(queue_filter)).n_rows


def test_progress_of_an_empty_store_is_zero(store: ReviewStore) -> None:
    assert store.progress().n_cases == 0
    assert store.progress().unreviewed == 0
    page = store.queue()
    assert (page.rows, page.page, page.n_pages, page.n_rows) == ((), 1, 1, 0)


def test_row_shows_the_state(mixed: ReviewStore) -> None:
    row = mixed.queue(QueueView(QueueFilter.SIGNED)).rows[0]
    state = mixed.state(5)
    assert (row.decision, row.is_signed, row.revision) == (Decision.CORRECTED, True, 3)
    assert (row.hc_mm, row.model_hc_mm) == (state.outline.hc_mm, state.model_outline.hc_mm)
    assert (row.reviewer, row.changed_by, row.changed_at_utc) == ("bob", "bob", state.changed_at_utc)


@pytest.mark.parametrize(
    ("search", "expected"),
    [("TWIN", [1, 2]), (" twin a ", [1]), ("%", [3]), ("_", [3]), ("case 4", [4]), ("zebra", [])],
)
def test_search_finds_parts_of_labels_literally(mixed: ReviewStore, search: str, expected: list[int]) -> None:
    assert [row.case_id for row in mixed.queue(QueueView(search=search)).rows] == expected


def test_pages_cover_every_case_once(mixed: ReviewStore) -> None:
    pages = [mixed.queue(page=page, page_size=3) for page in (1, 2, 3)]
    assert [[row.case_id for row in page.rows] for page in pages] == [[1, 2, 3], [4, 5, 6], [7]]
    assert {(page.n_pages, page.n_rows) for page in pages} == {(3, 7)}


@pytest.mark.parametrize(("page", "shown"), [(-3, 1), (0, 1), (99, 3)])
def test_page_out_of_range_is_the_nearest_one(mixed: ReviewStore, page: int, shown: int) -> None:
    assert mixed.queue(page=page, page_size=3).page == shown


@pytest.mark.parametrize(("after", "expected"), [(0, 1), (1, 2), (3, 7), (7, 1), (5, 7)])
def test_next_case_goes_on_and_begins_anew(mixed: ReviewStore, after: int, expected: int) -> None:
    assert mixed.neighbours(QueueView(QueueFilter.UNREVIEWED), after).following == expected


def test_there_is_no_next_case_behind_the_only_one(mixed: ReviewStore) -> None:
    assert mixed.neighbours(QueueView(QueueFilter.SIGNED), 5).following is None
    assert mixed.neighbours(QueueView(search="zebra")).following is None


def test_rows_beyond_one_read_are_all_given(mixed: ReviewStore, engine: Engine) -> None:
    with reading(engine) as connection:
        rows = list(read_rows(connection, QueueView(), rows_per_read=2))
    assert [row.case_id for row in rows] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (QueueOrder.HC, [1, 2, 4, 6, 5, 3, 7]),
        (QueueOrder.LABEL, [3, 4, 5, 6, 7, 1, 2]),
        (QueueOrder.READER, [1, 2, 3, 7, 4, 5, 6]),
    ],
)
def test_cases_without_a_value_are_last_and_neighbours_follow_the_order(
    mixed: ReviewStore, order: QueueOrder, expected: list[int]
) -> None:
    view = QueueView(order=order)
    assert [row.case_id for row in mixed.queue(view).rows] == expected
    around = [mixed.neighbours(view, case_id) for case_id in expected]
    assert [found.following for found in around] == [*expected[1:], expected[0]]
    assert [found.previous for found in around] == [expected[-1], *expected[:-1]]
    assert [found.position for found in around] == [1, 2, 3, 4, 5, 6, 7]


def test_descending_order_keeps_cases_without_a_value_last(mixed: ReviewStore) -> None:
    view = QueueView(order=QueueOrder.HC, is_descending=True)
    assert [row.case_id for row in mixed.queue(view).rows] == [5, 1, 2, 4, 6, 3, 7]
    assert mixed.neighbours(view, 6).following == 3


def test_next_of_a_case_that_left_its_filter_is_the_one_behind_it(mixed: ReviewStore) -> None:
    mixed.append(2, 1, ReviewAction.ACCEPT, "ann")
    around = mixed.neighbours(QueueView(QueueFilter.UNREVIEWED), 2)
    assert (around.previous, around.following, around.position, around.n_rows) == (1, 3, 2, 3)
