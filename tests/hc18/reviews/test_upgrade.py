import sqlite3
import threading
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, event

from hc18.reviews.database import BUSY_TIMEOUT_MS, connect, reading, to_url, writing
from hc18.reviews.models import StoreError
from hc18.reviews.store import ReviewStore
from hc18.reviews.tables import METADATA
from tests.hc18.reviews.cases import new_case
from tests.hc18.reviews.raw import execute


def test_migrations_make_the_tables_that_the_code_expects(store_url: str) -> None:
    ReviewStore(store_url).close()
    engine = connect(to_url(store_url))
    with reading(engine) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_store_of_a_newer_version_is_refused(store_url: str) -> None:
    ReviewStore(store_url).close()
    execute(store_url, "UPDATE alembic_version SET version_num = '9999'")
    for create in (True, False):
        with pytest.raises(
            StoreError, match=r"newer version of this program \(schema 9999; this one knows up to 0003\)"
        ):
            ReviewStore(store_url, create=create)


def test_tables_of_another_program_are_left_alone(store_url: str) -> None:
    execute(store_url, "CREATE TABLE recipes (id INTEGER PRIMARY KEY)")
    with pytest.raises(StoreError, match="tables of another program"):
        ReviewStore(store_url)


def test_empty_database_is_not_filled_by_a_check(store_url: str, tmp_path: Path) -> None:
    if store_url.startswith("sqlite"):
        (tmp_path / "reviews.db").touch()
    with pytest.raises(StoreError, match="is empty; expected a review store"):
        ReviewStore(store_url, create=False)


def test_missing_file_is_not_created_by_a_check(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        ReviewStore(str(tmp_path / "typo.db"), create=False)
    assert list(tmp_path.iterdir()) == []


def test_opening_again_changes_nothing(store_url: str) -> None:
    for _ in range(2):
        with ReviewStore(store_url) as store:
            assert store.verify().problems == ()


def test_interrupted_creation_leaves_an_empty_database(store_url: str) -> None:
    event.listen(Engine, "before_cursor_execute", _fail_at_an_index)
    try:
        with pytest.raises(RuntimeError, match="power cut"):
            ReviewStore(store_url)
    finally:
        event.remove(Engine, "before_cursor_execute", _fail_at_an_index)
    with ReviewStore(store_url) as store:
        assert store.verify().problems == ()


def _fail_at_an_index(_connection: object, _cursor: object, statement: str, *_others: object) -> None:
    if statement.lstrip().startswith("CREATE INDEX"):
        raise RuntimeError("power cut")


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to look at" * 50, b"\x89PNG\r\n\x1a\n" + bytes(2000)]
)
def test_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "reviews.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"reviews\.db: is not an SQLite database"):
        ReviewStore(str(path))
    assert path.read_bytes() == content


def test_folder_that_cannot_hold_a_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be created"):
        ReviewStore(str(tmp_path / "file" / "reviews.db"))


def test_server_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(StoreError, match="the database refused") as caught:
        ReviewStore("postgresql://ann:secret@127.0.0.1:1/reviews")
    assert "secret" not in str(caught.value)


def test_settings_of_sqlite_are_the_safe_ones(sqlite_store: ReviewStore, tmp_path: Path) -> None:
    engine = connect(to_url(str(tmp_path / "reviews.db")))
    with reading(engine) as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "recursive_triggers")
        }
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5000,
        "recursive_triggers": 1,
    }
    engine.dispose()
    foreign = sqlite3.connect(tmp_path / "reviews.db")
    assert foreign.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    foreign.close()


def test_opening_does_not_wait_for_a_writer(store_url: str) -> None:
    with ReviewStore(store_url) as store:
        store.register_case(new_case(1), "ann")
    engine = connect(to_url(store_url))
    with writing(engine):  # a large batch is being imported
        began = time.monotonic()
        with ReviewStore(store_url) as store:
            assert store.progress().n_cases == 1
        assert time.monotonic() - began < 0.9 * BUSY_TIMEOUT_MS / 1000.0
    engine.dispose()


def test_opening_a_new_store_waits_until_the_writer_is_done(store_url: str) -> None:
    engine = connect(to_url(store_url))
    with writing(engine):
        opening = threading.Thread(target=lambda: ReviewStore(store_url, busy_timeout_ms=100).close())
        opening.start()
        opening.join(1.0)
        assert opening.is_alive()
    opening.join(60.0)
    engine.dispose()
    with ReviewStore(store_url, create=False) as store:
        assert store.verify().problems == ()
