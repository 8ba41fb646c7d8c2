import sqlite3
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import insert, select

from hc18.dicom import pixel_sha256
from hc18.reviews.canonical import GENESIS_HASH, body_sha256, from_body
from hc18.reviews.database import connect, reading, to_url
from hc18.reviews.models import ReviewAction, SoftMask, StoreDamaged, StoreError
from hc18.reviews.pictures import to_png
from hc18.reviews.store import ReviewStore
from hc18.reviews.tables import EVENTS, IMAGES
from hc18.reviews.verify import ChainProblem, ProblemKind
from tests.hc18.reviews.cases import CORRECTED, image_of, new_case
from tests.hc18.reviews.raw import execute, execute_unprotected

_COLUMNS = "case_id, revision, action, body, prev_hash, hash"


@pytest.fixture
def filled_url(store_url: str) -> str:
    """Address of a store with two cases and six events: 1 measured (case 1), 2 measured (case 2), 3 to 6 alternate."""
    with ReviewStore(store_url) as store:
        mask = SoftMask(np.zeros(4, np.float32), np.ones((2, 2), np.float32))
        store.register_cases([new_case(1, soft_mask=mask), new_case(2)], "ann")
        store.append(1, 1, ReviewAction.CORRECT, "ann", ellipse_px=CORRECTED)
        store.append(2, 1, ReviewAction.ACCEPT, "bob")
        store.append(1, 2, ReviewAction.SIGN, "ann")
        store.append(2, 2, ReviewAction.SIGN, "bob")
    return store_url


def _problems(store_url: str, **options: object) -> tuple[ChainProblem, ...]:
    with ReviewStore(store_url, create=False) as store:
        return store.verify(**options).problems  # type: ignore[arg-type]


def _messages(store_url: str) -> str:
    return "\n".join(str(problem) for problem in _problems(store_url))


def test_intact_store_has_no_problem_and_a_head(filled_url: str) -> None:
    with ReviewStore(filled_url) as store:
        verification = store.verify()
    assert verification.problems == ()
    assert (verification.head.n_events, verification.head.n_cases) == (6, 2)
    assert verification.head.actions == {"measured": 2, "correct": 1, "accept": 1, "sign": 2}


def test_chain_can_be_followed_without_this_program(filled_url: str) -> None:
    engine = connect(to_url(filled_url))
    with reading(engine) as connection:
        rows = connection.execute(select(EVENTS).order_by(EVENTS.c.seq)).all()
    engine.dispose()
    assert [row.hash for row in rows] == [body_sha256(row.body) for row in rows]
    assert [row.prev_hash for row in rows] == [GENESIS_HASH, *(row.hash for row in rows[:-1])]
    assert all(f'"prev_hash":"{row.prev_hash}"' in row.body for row in rows)


def test_empty_store_is_intact(store: ReviewStore) -> None:
    verification = store.verify()
    assert verification.problems == ()
    assert (verification.head.sha256, verification.head.n_events) == (GENESIS_HASH, 0)


def test_changed_content_is_named(filled_url: str) -> None:
    execute_unprotected(filled_url, "UPDATE review_events SET body = replace(body, 'bob', 'eve') WHERE seq = 4")
    problems = _problems(filled_url)
    assert [(problem.kind, problem.seq) for problem in problems] == [(ProblemKind.CHANGED, 4)]
    assert "event 4 (case 2, revision 2) was changed" in str(problems[0])


def test_changed_content_with_its_own_hash_renewed_is_named(filled_url: str) -> None:
    engine = connect(to_url(filled_url))
    with reading(engine) as connection:
        body = connection.execute(select(EVENTS.c.body).where(EVENTS.c.seq == 4)).scalar_one()
    engine.dispose()
    digest = body_sha256(body.replace("bob", "eve"))
    change = f"UPDATE review_events SET body = replace(body, 'bob', 'eve'), hash = '{digest}' WHERE seq = 4"
    execute_unprotected(filled_url, change)
    assert "event 5 (case 1, revision 3) does not continue event 4" in _messages(filled_url)


@pytest.mark.parametrize(
    ("seqs", "expected"),
    [
        ("4", "event 4 is missing"),
        ("3, 4", "events 3 to 4 are missing"),
        ("1, 3, 5", "event 1 is missing"),
        ("6", "case 2 had 3 events, the record contains 2"),
        ("2, 4, 6", "case 2 has no event"),
    ],
)
def test_missing_event_is_named(filled_url: str, seqs: str, expected: str) -> None:
    execute_unprotected(filled_url, f"DELETE FROM review_events WHERE seq IN ({seqs})")
    assert expected in _messages(filled_url)
    assert ProblemKind.MISSING in {problem.kind for problem in _problems(filled_url)}


def test_reordered_events_are_named(filled_url: str) -> None:
    execute_unprotected(
        filled_url,
        "UPDATE review_events SET seq = 99 WHERE seq = 3",
        "UPDATE review_events SET seq = 3 WHERE seq = 4",
        "UPDATE review_events SET seq = 4 WHERE seq = 99",
    )
    problems = _problems(filled_url)
    assert [(problem.kind, problem.seq) for problem in problems[:2]] == [
        (ProblemKind.REORDERED, 3),
        (ProblemKind.REORDERED, 4),
    ]


def test_event_given_to_another_case_is_named(filled_url: str) -> None:
    execute_unprotected(filled_url, "UPDATE review_events SET case_id = 1, revision = 4 WHERE seq = 6")
    assert "event 6 (case 1, revision 4)" in _messages(filled_url)


def test_changed_queue_row_is_named(filled_url: str) -> None:
    execute(filled_url, "UPDATE cases SET hc_mm = hc_mm + 0.001, reviewer = 'eve' WHERE id = 1")
    (problem,) = _problems(filled_url)
    assert (problem.kind, problem.case_id) == (ProblemKind.STATE, 1)
    assert "case 1 shows hc_mm, reviewer other than its events give" in str(problem)


def test_removed_queue_row_is_named(filled_url: str) -> None:
    statements = [
        f"DELETE FROM {table} WHERE case_id = 2"
        for table in ("case_images", "case_masks", "worklist", "case_views", "reading_requests")
    ]
    if filled_url.startswith("postgresql"):
        statements.insert(0, "ALTER TABLE review_events DROP CONSTRAINT review_events_case_id_fkey")
    execute_unprotected(filled_url, *statements, "DELETE FROM cases WHERE id = 2")
    assert _messages(filled_url) == "case 2 has events but no row in the queue: the row was removed"


def test_new_label_is_no_problem(filled_url: str) -> None:
    execute(filled_url, "UPDATE cases SET label = 'twin A' WHERE id = 1")
    assert _problems(filled_url) == ()


def test_exchanged_image_is_named(filled_url: str) -> None:
    execute_unprotected(filled_url, "DELETE FROM case_images WHERE case_id = 2")
    engine = connect(to_url(filled_url))
    with engine.begin() as connection:
        connection.execute(insert(IMAGES).values(case_id=2, png=to_png(image_of(1))))
    engine.dispose()
    assert _messages(filled_url) == "case 2 shows other pixels than those that were registered"
    assert _problems(filled_url, check_images=False) == ()


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DELETE FROM case_images WHERE case_id = 1", "case 1 has no image"),
        ("UPDATE case_images SET png = 'torn' WHERE case_id = 1", "case 1 shows other pixels"),
        ("DELETE FROM case_masks", "case 1, revision 1: the recorded mask is missing"),
        ("UPDATE case_masks SET content = 'other'", "case 1, revision 1: the stored mask is not the one"),
        ("UPDATE case_masks SET case_id = 2", "case 2, revision 1: the stored mask is not the one"),
    ],
)
def test_damaged_picture_is_named(filled_url: str, statement: str, expected: str) -> None:
    execute_unprotected(filled_url, statement)
    assert expected in _messages(filled_url)


def test_removed_protection_is_named(filled_url: str) -> None:
    on_table = " ON review_events" if filled_url.startswith("postgresql") else ""
    execute(filled_url, f"DROP TRIGGER review_events_no_delete{on_table}")
    assert "trigger review_events_no_delete was removed" in _messages(filled_url)


def test_chain_written_anew_is_found_by_a_head_kept_elsewhere(store_url: str) -> None:
    with ReviewStore(store_url) as store:
        store.register_case(new_case(1), "ann")
        head = store.verify().head.sha256
        store.append(1, 1, ReviewAction.ACCEPT, "ann")
        assert store.verify(expected_head=head.upper()).problems == ()
    tables = ("review_events", "case_images", "worklist", "case_views", "reading_requests", "cases")
    execute_unprotected(store_url, *(f"DELETE FROM {table}" for table in tables))
    with ReviewStore(store_url) as store:
        store.register_case(new_case(1), "eve")
        (problem,) = store.verify(expected_head=head).problems
    assert problem.kind is ProblemKind.HEAD
    assert head in str(problem)


def test_event_that_the_rules_forbid_is_named_although_the_chain_is_whole(filled_url: str) -> None:
    engine = connect(to_url(filled_url))
    with engine.begin() as connection:
        last = connection.execute(select(EVENTS).where(EVENTS.c.seq == 6)).one()
        body = last.body.replace('"revision":3', '"revision":4').replace('"seq":6', '"seq":7')
        body = body.replace(last.prev_hash, last.hash)
        assert from_body(body).action is ReviewAction.SIGN
        values = {"seq": 7, "case_id": 2, "revision": 4, "action": "sign", "body": body, "prev_hash": last.hash}
        connection.execute(insert(EVENTS).values(**values, hash=body_sha256(body)))
    engine.dispose()
    (problem,) = _problems(filled_url)
    assert (problem.kind, problem.seq) == (ProblemKind.ILLEGAL, 7)
    assert "signed by bob" in str(problem)


def test_reading_a_changed_case_is_refused(filled_url: str) -> None:
    execute_unprotected(filled_url, "UPDATE review_events SET body = replace(body, 'bob', 'eve') WHERE seq = 4")
    with ReviewStore(filled_url) as store, pytest.raises(StoreError, match=r"event 4 .* was changed"):
        store.state(2)


def test_image_hash_is_the_key_of_the_case(filled_url: str) -> None:
    with ReviewStore(filled_url) as store:
        assert {event.image_sha256 for event in store.events(1)} == {pixel_sha256(image_of(1))}


def _replace_trigger(store_url: str, name: str, table: str, moment: str) -> None:
    """Puts a trigger that does nothing in the place of one of the record."""
    if store_url.startswith("postgresql"):
        execute(
            store_url,
            "CREATE FUNCTION allow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
            f"DROP TRIGGER {name} ON {table}",
            f"CREATE TRIGGER {name} {moment} ON {table} FOR EACH ROW EXECUTE FUNCTION allow()",
            f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}",
        )
        return
    execute(store_url, f"DROP TRIGGER {name}", f"CREATE TRIGGER {name} {moment} ON {table} BEGIN SELECT 1; END")


@pytest.mark.parametrize(
    ("name", "table", "moment"),
    [
        ("review_events_no_update", "review_events", "BEFORE UPDATE"),
        ("case_images_no_delete", "case_images", "BEFORE DELETE"),
        ("review_events_insert", "review_events", "BEFORE INSERT"),
    ],
)
def test_trigger_of_the_same_name_that_does_nothing_is_named(
    filled_url: str, name: str, table: str, moment: str
) -> None:
    _replace_trigger(filled_url, name, table, moment)
    (problem,) = _problems(filled_url)
    assert problem.kind is ProblemKind.TRIGGER
    assert f"the trigger {name} was replaced" in str(problem)


def test_trigger_that_does_not_belong_to_the_store_is_named(filled_url: str) -> None:
    if filled_url.startswith("postgresql"):
        execute(
            filled_url,
            "CREATE FUNCTION drop_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
            "CREATE TRIGGER extra BEFORE INSERT ON review_events FOR EACH ROW EXECUTE FUNCTION drop_row()",
            "ALTER TABLE review_events ENABLE ALWAYS TRIGGER extra",
        )
    else:
        execute(filled_url, "CREATE TRIGGER extra BEFORE INSERT ON review_events BEGIN SELECT RAISE(IGNORE); END")
    (problem,) = _problems(filled_url)
    assert "the trigger extra does not belong to this store" in str(problem)


def test_trigger_function_that_was_emptied_is_named(postgres_url: str) -> None:
    ReviewStore(postgres_url).close()
    body = "$$ BEGIN RETURN NEW; END $$"
    execute(postgres_url, f"CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS {body}")
    (problem,) = _problems(postgres_url)
    assert "the function refuse_change of the triggers was removed or changed" in str(problem)


@pytest.mark.parametrize("table", ["review_events", "case_images", "case_masks", "cases", "alembic_version"])
def test_removed_table_is_damage(filled_url: str, table: str) -> None:
    if filled_url.startswith("postgresql"):
        execute(filled_url, f"DROP TABLE {table} CASCADE")
    else:
        connection = sqlite3.connect(to_url(filled_url).database or "")
        connection.execute(f"DROP TABLE {table}")
        connection.close()
    with pytest.raises(StoreDamaged, match=rf"is damaged \(.*{table}.*restore a copy"):
        _problems(filled_url)


def _edit_schema(store_url: str, statement: str) -> None:
    """Changes SQLite's own table of the schema, as a broken disk could."""
    connection = sqlite3.connect(to_url(store_url).database or "", isolation_level=None)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("text", ["'CREATE TABEL review_events (x'", "CAST(X'435245415445FFFE20' AS TEXT)"])
def test_damaged_schema_is_damage(tmp_path: Path, text: str) -> None:
    path = str(tmp_path / "reviews.db")
    with ReviewStore(path) as store:
        store.register_case(new_case(1), "ann")
    _edit_schema(path, f"UPDATE sqlite_master SET sql = {text} WHERE name = 'review_events'")
    with pytest.raises(StoreDamaged, match="is damaged"):
        _problems(path)


def test_corrupt_index_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "reviews.db")
    with ReviewStore(path) as store:
        store.register_cases([new_case(1), new_case(2)], "ann")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = DELETE")
    page, size = (
        connection.execute(query).fetchone()[0]
        for query in (
            "SELECT rootpage FROM sqlite_master WHERE name = 'ix_cases_flagged'",
            "PRAGMA page_size",
        )
    )
    connection.close()
    with Path(path).open("r+b") as stream:
        stream.seek((page - 1) * size + 3)
        stream.write(b"\x00\x00")  # the index says that it is empty
    problems = _problems(path)
    assert {problem.kind for problem in problems} == {ProblemKind.DATABASE}
    assert "ix_cases_flagged" in "\n".join(map(str, problems))
