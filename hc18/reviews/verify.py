"""Proof that the record is as it was written: every link of the chain, every derived row, every stored picture."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, inspect, select

from hc18.dicom import pixel_sha256
from hc18.reviews.canonical import GENESIS_HASH, body_sha256, from_body
from hc18.reviews.models import CaseState, ReviewAction, ReviewEvent, ReviewRefused, StoreDamaged, StoreError
from hc18.reviews.pictures import content_sha256, from_png
from hc18.reviews.protection import find_changed_protection
from hc18.reviews.state import next_state
from hc18.reviews.tables import CASES, EVENTS, IMAGES, MASKS, to_case_columns

_AT_ONCE = 200
_MOST_FINDINGS = 20
_TABLES = (CASES, EVENTS, IMAGES, MASKS)
_TOLERANCE = 1e-9  # of millimetres: builds of a numerical library differ in the last digits


class ProblemKind(StrEnum):
    """What is wrong with the record."""

    MISSING = "missing"
    CHANGED = "changed"
    REORDERED = "reordered"
    ILLEGAL = "illegal"
    STATE = "state"
    IMAGE = "image"
    MASK = "mask"
    HEAD = "head"
    TRIGGER = "trigger"
    DATABASE = "database"


@dataclass(frozen=True, slots=True)
class ChainProblem:
    """One finding.

    Attributes:
        kind: what is wrong.
        message: which event or case, what was expected, in one sentence.
        seq: of the event; None if the finding is about no single event.
        case_id: of the case; None if unknown.
    """

    kind: ProblemKind
    message: str
    seq: int | None = None
    case_id: int | None = None

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The end of the record; keep the hash elsewhere to prove later that nothing was cut off.

    Attributes:
        sha256: of the last event; 64 zeros for an empty store.
        n_events: number of events.
        n_cases: number of cases.
        actions: number of events of each action.
    """

    sha256: str
    n_events: int
    n_cases: int
    actions: Mapping[ReviewAction, int]


@dataclass(frozen=True, slots=True)
class Verification:
    """What a check of the whole store found.

    Attributes:
        problems: in the order of the record; empty if it is intact.
        head: the end of the record.
    """

    problems: tuple[ChainProblem, ...]
    head: ChainHead


@dataclass(slots=True)
class _Walk:
    """What is known while walking along the chain."""

    problems: list[ChainProblem] = field(default_factory=list)
    states: dict[int, CaseState] = field(default_factory=dict)
    broken_cases: set[int] = field(default_factory=set)
    masks: dict[tuple[int, int], str] = field(default_factory=dict)
    actions: Counter[ReviewAction] = field(default_factory=Counter)
    hashes: set[str] = field(default_factory=set)
    n_events: int = 0
    last_seq: int = 0
    last_hash: str = GENESIS_HASH

    def report(self, kind: ProblemKind, message: str, row: Row[Any] | None = None) -> None:
        """Notes a finding, about the event of a row if one is given."""
        if row is None:
            self.problems.append(ChainProblem(kind, message))
            return
        self.broken_cases.add(row.case_id)
        where = f"event {row.seq} (case {row.case_id}, revision {row.revision})"
        self.problems.append(ChainProblem(kind, f"{where} {message}", row.seq, row.case_id))


def verify(connection: Connection, *, check_images: bool = True, expected_head: str = "") -> Verification:
    """Checks the whole store.

    Args:
        connection: in a reader's transaction.
        check_images: whether to decode every image and compare its hash, which takes most of the time.
        expected_head: hash of an event that was noted elsewhere; the record must still contain it. Empty for none.

    Raises:
        StoreDamaged: if a table of the record is missing.
    """
    _check_tables(connection)
    walk = _Walk()
    walk.problems += _database_problems(connection)
    for row in connection.execute(select(EVENTS).order_by(EVENTS.c.seq).execution_options(yield_per=_AT_ONCE)):
        _check_event(walk, row)
    if expected_head and expected_head.lower() not in walk.hashes | {GENESIS_HASH}:
        walk.report(
            ProblemKind.HEAD,
            f"no event has the hash {expected_head}: the record was cut off or written again after that hash was noted",
        )
    walk.problems += _case_problems(connection, walk)
    if check_images:
        walk.problems += _image_problems(connection)
    walk.problems += _mask_problems(connection, walk)
    walk.problems += [ChainProblem(ProblemKind.TRIGGER, message) for message in find_changed_protection(connection)]
    head = ChainHead(walk.last_hash, walk.n_events, len(walk.states), dict(walk.actions))
    return Verification(tuple(walk.problems), head)


def _check_tables(connection: Connection) -> None:
    """Returns if the record and its queue have their tables.

    Raises:
        StoreDamaged: naming those that are missing.
    """
    missing = {table.name for table in _TABLES} - set(inspect(connection).get_table_names())
    if missing:
        name = connection.engine.url.render_as_string(hide_password=True)
        raise StoreDamaged(
            f"{name}: is damaged (removed tables: {', '.join(sorted(missing))}); keep this file and restore a copy"
        )


def _database_problems(connection: Connection) -> Iterator[ChainProblem]:
    """What SQLite's own check finds in the pages and indexes of the file; PostgreSQL has no such check built in."""
    if connection.dialect.name != "sqlite":
        return
    for (finding,) in connection.exec_driver_sql(f"PRAGMA integrity_check({_MOST_FINDINGS})"):
        if finding != "ok":
            message = (
                f"the database file is damaged: {' '.join(str(finding).split())}; restore a copy and check the disk"
            )
            yield ChainProblem(ProblemKind.DATABASE, message)


def _check_event(walk: _Walk, row: Row[Any]) -> None:
    """Checks one event against itself, the one before, and its case's history."""
    has_gap = row.seq != walk.last_seq + 1
    if has_gap:
        walk.report(ProblemKind.MISSING, _gap_message(walk.last_seq, row.seq))
    prev_hash, walk.last_seq, walk.last_hash = walk.last_hash, row.seq, row.hash
    walk.n_events += 1
    if not isinstance(row.body, str) or body_sha256(row.body) != row.hash:
        walk.report(ProblemKind.CHANGED, "was changed after it was written: its content no longer gives its hash", row)
        return
    try:
        event = from_body(row.body)
    except ValueError as error:
        walk.report(ProblemKind.CHANGED, f"was changed: its content {error}", row)
        return
    walk.hashes.add(row.hash)
    walk.actions[event.action] += 1
    wrong = _wrong_columns(row, event)
    if wrong:
        walk.report(ProblemKind.REORDERED, f"was moved or changed: its columns {wrong} differ from its content", row)
    elif event.prev_hash != prev_hash and not has_gap:
        walk.report(
            ProblemKind.REORDERED,
            f"does not continue event {row.seq - 1}: that one was replaced, or this one was moved",
            row,
        )
    _replay(walk, row, event)


def _gap_message(last_seq: int, seq: int) -> str:
    first, last = last_seq + 1, seq - 1
    if last < first:
        return f"event {seq} follows event {last_seq}; expected {first}"
    return f"event {first} is missing" if first == last else f"events {first} to {last} are missing"


def _wrong_columns(row: Row[Any], event: ReviewEvent) -> str:
    """Names of the columns that differ from the event's content."""
    content = (event.seq, event.revision, event.action.value, event.prev_hash)
    found = (row.seq, row.revision, row.action, row.prev_hash)
    names = ("seq", "revision", "action", "prev_hash")
    return ", ".join(name for name, column, value in zip(names, found, content, strict=True) if column != value)


def _replay(walk: _Walk, row: Row[Any], event: ReviewEvent) -> None:
    """Takes the case one step on; a case with a broken event is not followed any further."""
    if event.mask_sha256:
        walk.masks[row.case_id, row.revision] = event.mask_sha256
    if row.case_id in walk.broken_cases:
        return
    try:
        walk.states[row.case_id] = next_state(walk.states.get(row.case_id), event)
    except (ReviewRefused, StoreError) as error:
        walk.report(ProblemKind.ILLEGAL, f"does not fit its case: {error}", row)


def _case_problems(connection: Connection, walk: _Walk) -> Iterator[ChainProblem]:
    """Rows of the queue that are not what the events give."""
    seen = set()
    for row in connection.execute(select(CASES).order_by(CASES.c.id).execution_options(yield_per=_AT_ONCE)):
        seen.add(row.id)
        if row.id in walk.broken_cases:
            continue
        state = walk.states.get(row.id)
        if state is None:
            message = f"case {row.id} has no event; expected its measurement: events were removed"
            yield ChainProblem(ProblemKind.MISSING, message, case_id=row.id)
            continue
        wrong = [name for name, value in to_case_columns(state).items() if not _is_same(row._mapping[name], value)]
        if "revision" in wrong:
            message = (
                f"case {row.id} had {row.revision} events, the record contains {state.revision}: events were removed"
            )
            yield ChainProblem(ProblemKind.MISSING, message, case_id=row.id)
        elif wrong:
            message = f"case {row.id} shows {', '.join(wrong)} other than its events give: its row was changed"
            yield ChainProblem(ProblemKind.STATE, message, case_id=row.id)
    for case_id in sorted((walk.states.keys() | walk.broken_cases) - seen):
        message = f"case {case_id} has events but no row in the queue: the row was removed"
        yield ChainProblem(ProblemKind.STATE, message, case_id=case_id)


def _image_problems(connection: Connection) -> Iterator[ChainProblem]:
    """Images that are missing or are not those that were registered."""
    query = select(CASES.c.id, CASES.c.image_sha256, IMAGES.c.png).select_from(CASES).outerjoin(IMAGES)
    for row in connection.execute(query.order_by(CASES.c.id).execution_options(yield_per=_AT_ONCE)):
        try:
            found = "" if row.png is None else pixel_sha256(from_png(row.png))
        except StoreError:
            found = "damaged"
        if found != row.image_sha256:
            what = "has no image" if row.png is None else "shows other pixels than those that were registered"
            yield ChainProblem(ProblemKind.IMAGE, f"case {row.id} {what}", case_id=row.id)


def _mask_problems(connection: Connection, walk: _Walk) -> Iterator[ChainProblem]:
    """Masks that are missing, added or changed."""
    expected = dict(walk.masks)
    for row in connection.execute(select(MASKS).execution_options(yield_per=_AT_ONCE)):
        sha256 = expected.pop((row.case_id, row.revision), "none")
        if sha256 != content_sha256(row.content) and row.case_id not in walk.broken_cases:
            message = f"case {row.case_id}, revision {row.revision}: the stored mask is not the one that was recorded"
            yield ChainProblem(ProblemKind.MASK, message, case_id=row.case_id)
    for case_id, revision in expected:
        message = f"case {case_id}, revision {revision}: the recorded mask is missing"
        yield ChainProblem(ProblemKind.MASK, message, case_id=case_id)


def _is_same(found: object, wanted: object) -> bool:
    if isinstance(found, float) and isinstance(wanted, float):
        return math.isclose(found, wanted, rel_tol=_TOLERANCE)
    return found == wanted
