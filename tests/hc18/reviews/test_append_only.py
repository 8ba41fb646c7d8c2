import sqlite3
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.exc import DBAPIError

from hc18.reviews.models import ReviewAction, SoftMask
from hc18.reviews.store import ReviewStore
from tests.hc18.reviews.cases import new_case
from tests.hc18.reviews.raw import execute


def _fill(store_url: str) -> None:
    """One accepted case that has a mask."""
    with ReviewStore(store_url) as store:
        mask = SoftMask(np.zeros(4, np.float32), np.ones((2, 2), np.float32))
        case_id = store.register_case(new_case(1, soft_mask=mask), "ann").case_id
        store.append(case_id, 1, ReviewAction.ACCEPT, "ann")


@pytest.fixture
def filled_url(store_url: str) -> str:
    """Address of a store with one accepted case that has a mask."""
    _fill(store_url)
    return store_url


@pytest.mark.parametrize("table", ["review_events", "case_images", "case_masks"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET case_id = case_id", "DELETE FROM {}"])
def test_change_of_the_record_is_refused(filled_url: str, table: str, statement: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"):
        execute(filled_url, statement.format(table))
    with ReviewStore(filled_url) as store:
        assert store.verify().problems == ()
        assert store.verify().head.n_events == 2


def test_case_with_events_cannot_be_deleted(filled_url: str) -> None:
    with pytest.raises(DBAPIError):
        execute(filled_url, "DELETE FROM cases")


def test_truncate_is_refused(postgres_url: str) -> None:
    _fill(postgres_url)
    with pytest.raises(DBAPIError, match="append-only"):
        execute(
            postgres_url,
            "TRUNCATE cases, review_events CASCADE",
        )


def test_replication_role_does_not_switch_the_protection_off(postgres_url: str) -> None:
    _fill(postgres_url)
    with pytest.raises(DBAPIError, match="append-only"):
        execute(postgres_url, "SET LOCAL session_replication_role = replica", "DELETE FROM review_events")


@pytest.mark.parametrize(
    ("seq", "revision", "prev_hash", "new_hash"),
    [
        (5, 3, "(SELECT hash FROM review_events WHERE seq = 2)", "'new'"),  # a gap
        (3, 9, "(SELECT hash FROM review_events WHERE seq = 2)", "'new'"),  # a revision left out
        (3, 3, "(SELECT hash FROM review_events WHERE seq = 1)", "'new'"),  # does not continue the last event
        (2, 2, "(SELECT hash FROM review_events WHERE seq = 1)", "'new'"),  # the place of another event
        (3, 3, "(SELECT hash FROM review_events WHERE seq = 2)", "prev_hash"),  # the hash of another event
    ],
)
def test_event_that_does_not_continue_the_chain_is_refused(
    filled_url: str, seq: int, revision: int, prev_hash: str, new_hash: str
) -> None:
    new_hash = new_hash.replace("prev_hash", prev_hash)
    insert = "INSERT INTO review_events (seq, case_id, revision, action, body, prev_hash, hash) SELECT"
    with pytest.raises(DBAPIError, match="append-only"):
        execute(filled_url, f"{insert} {seq}, 1, {revision}, 'sign', '{{}}', {prev_hash}, {new_hash}")


@pytest.mark.parametrize("table", ["review_events", "case_images", "case_masks"])
def test_replace_by_a_foreign_program_is_refused(sqlite_store: ReviewStore, tmp_path: Path, table: str) -> None:
    # without recursive_triggers SQLite deletes the replaced row without asking the delete trigger
    mask = SoftMask(np.zeros(4, np.float32), np.ones((2, 2), np.float32))
    sqlite_store.register_case(new_case(1, soft_mask=mask), "ann")
    connection = sqlite3.connect(tmp_path / "reviews.db")
    try:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(f"REPLACE INTO {table} SELECT * FROM {table}")
    finally:
        connection.close()
