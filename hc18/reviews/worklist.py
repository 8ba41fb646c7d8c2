"""What people note about cases for their work: examination, patient code, reader, who has seen them, second readings.

None of it is part of the record, and all of it can be changed or erased. The functions run inside the caller's
transaction; those that write need a writer's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update

from hc18.reviews.canonical import to_utc_text
from hc18.reviews.models import CaseId, CaseState, Decision, ReviewAction, ReviewRefused
from hc18.reviews.tables import (
    CASES,
    EVENTS,
    LABEL_LENGTH,
    READING_REQUESTS,
    VIEWS,
    WORKLIST,
    to_interval_columns,
)
from hc18.reviews.validation import ReviewRequest, to_single_line

ANYBODY = ""  # reader of a second reading that anyone may do who does not know the case
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_AT_ONCE = 400  # SQLite takes at least 999 values in one statement


@dataclass(frozen=True, slots=True)
class CaseTags:
    """What a person notes about a case so that it is found again. It must not name the patient.

    Attributes:
        examination: code of the examination that the image belongs to; empty if not noted.
        subject: code of the patient, such as a study number; empty if not noted.
        examined_on: day of the examination, YYYY-MM-DD; empty if not noted.
    """

    examination: str = ""
    subject: str = ""
    examined_on: str = ""

    def __post_init__(self) -> None:
        """Puts the codes on one line.

        Raises:
            ReviewRefused: if the day is no date.
        """
        for name in ("examination", "subject"):
            object.__setattr__(self, name, to_single_line(getattr(self, name))[:LABEL_LENGTH].strip())
        if self.examined_on and not (_DATE.fullmatch(self.examined_on) and _is_date(self.examined_on)):
            raise ReviewRefused(f"the day of the examination is '{self.examined_on}'; expected a date as 2026-01-31")


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def add(connection: Connection, case_id: int, state: CaseState) -> None:
    """The row of a new case."""
    tags = {"examination": "", "subject": "", "examined_on": "", "assignee": ""}
    registered = to_utc_text(state.changed_at_utc)
    values = {"case_id": case_id, "registered_at_utc": registered, **tags, **to_interval_columns(state)}
    connection.execute(delete(WORKLIST).where(WORKLIST.c.case_id == case_id))
    connection.execute(insert(WORKLIST).values(values))


def follow(connection: Connection, case_id: int, state: CaseState, request: ReviewRequest) -> None:
    """Brings a row up to date after an action, which its reviewer has seen; a blind reader saw the picture only."""
    row = update(WORKLIST).where(WORKLIST.c.case_id == case_id)
    connection.execute(row.values(to_interval_columns(state)))
    if request.action is ReviewAction.READ:
        _close_reading(connection, case_id, request.reviewer, state.changed_at_utc)
    else:
        note_view(connection, case_id, request.reviewer, state.revision, state.changed_at_utc)


def write_tags(connection: Connection, case_ids: Iterable[int], tags: CaseTags) -> None:
    """Replaces the tags of cases."""
    values = {"examination": tags.examination, "subject": tags.subject, "examined_on": tags.examined_on}
    for chunk in _chunks(case_ids):
        connection.execute(update(WORKLIST).where(WORKLIST.c.case_id.in_(chunk)).values(values))


def read_tags(connection: Connection, case_id: int) -> CaseTags:
    """The tags of a case."""
    row = connection.execute(select(WORKLIST).where(WORKLIST.c.case_id == case_id)).one_or_none()
    return CaseTags() if row is None else CaseTags(row.examination, row.subject, row.examined_on)


def cases_of_examination(connection: Connection, tags: CaseTags) -> list[CaseId]:
    """All cases of one examination, of the same patient code, by number."""
    same = and_(WORKLIST.c.examination == tags.examination, WORKLIST.c.subject == tags.subject)
    query = select(WORKLIST.c.case_id).where(same).order_by(WORKLIST.c.case_id)
    return [CaseId(row.case_id) for row in connection.execute(query)] if tags.examination else []


def cases_of_subject(connection: Connection, subject: str) -> list[tuple[CaseId, CaseTags]]:
    """All cases of one patient code with their tags, by day of the examination."""
    query = select(WORKLIST).where(WORKLIST.c.subject == subject).order_by(WORKLIST.c.examined_on, WORKLIST.c.case_id)
    rows = connection.execute(query) if subject else ()
    return [(CaseId(row.case_id), CaseTags(row.examination, row.subject, row.examined_on)) for row in rows]


def assign(connection: Connection, case_ids: Sequence[int], readers: Sequence[str]) -> None:
    """Gives cases to readers in turn; without a reader nobody has them any more."""
    for number, reader in enumerate(readers or [""]):
        for chunk in _chunks(case_ids[number :: max(1, len(readers))]):
            connection.execute(update(WORKLIST).where(WORKLIST.c.case_id.in_(chunk)).values(assignee=reader))


def people(connection: Connection) -> list[str]:
    """Everybody who has decided, signed or seen a case, or was given one, by name."""
    names: set[str] = set()
    for column in (CASES.c.reviewer, WORKLIST.c.assignee, VIEWS.c.reviewer, READING_REQUESTS.c.reader):
        names.update(connection.execute(select(column).distinct()).scalars())
    return sorted(name for name in names if name)


def note_view(connection: Connection, case_id: int, reviewer: str, revision: int, now: datetime) -> None:
    """Notes that a person had a revision of a case on the screen."""
    own = and_(VIEWS.c.case_id == case_id, VIEWS.c.reviewer == reviewer)
    values = {"revision": revision, "seen_at_utc": to_utc_text(now)}
    if connection.execute(update(VIEWS).where(own).values(values)).rowcount == 0:
        connection.execute(insert(VIEWS).values(case_id=case_id, reviewer=reviewer, **values))


def seen_cases(connection: Connection, case_ids: Iterable[int], reviewer: str) -> dict[CaseId, int]:
    """Those of the cases that a person saw in their present revision, with it."""
    seen: dict[CaseId, int] = {}
    for chunk in _chunks(case_ids):
        same = and_(VIEWS.c.case_id == CASES.c.id, VIEWS.c.revision == CASES.c.revision)
        query = select(CASES.c.id, CASES.c.revision).join(VIEWS, same)
        for row in connection.execute(query.where(VIEWS.c.reviewer == reviewer, CASES.c.id.in_(chunk))):
            seen[CaseId(row.id)] = row.revision
    return seen


def ask_reading(connection: Connection, case_ids: Sequence[int], reader: str, asked_by: str, now: datetime) -> int:
    """Asks for a blind reading of cases, unless the same one is open; how many were added.

    Args:
        connection: in a writer's transaction.
        case_ids: the cases.
        reader: who is to read; `ANYBODY` for anyone who does not know the case.
        asked_by: who asks.
        now: when.
    """
    n_added = 0
    for chunk in _chunks(case_ids):
        is_open = and_(READING_REQUESTS.c.done_at_utc == "", READING_REQUESTS.c.reader == reader)
        query = select(READING_REQUESTS.c.case_id).where(is_open, READING_REQUESTS.c.case_id.in_(chunk))
        known = set(connection.execute(query).scalars())
        base = {"reader": reader, "asked_by": asked_by, "asked_at_utc": to_utc_text(now), "done_at_utc": ""}
        rows = [{"case_id": int(case_id), **base} for case_id in chunk if case_id not in known]
        if rows:
            connection.execute(insert(READING_REQUESTS), rows)
        n_added += len(rows)
    return n_added


def open_readings(connection: Connection, reader: str) -> list[CaseId]:
    """Cases that wait for a blind reading by a person, oldest request first.

    A request to anybody is not for those who decided on the case, read it or had it on the screen.
    """
    own = READING_REQUESTS.alias()
    has_read = and_(own.c.case_id == CASES.c.id, own.c.reader == reader, own.c.done_at_utc != "")
    knows = or_(
        CASES.c.reviewer == reader,
        select(own.c.id).where(has_read).exists(),
        select(VIEWS.c.case_id).where(VIEWS.c.case_id == CASES.c.id, VIEWS.c.reviewer == reader).exists(),
    )
    is_for = or_(READING_REQUESTS.c.reader == reader, and_(READING_REQUESTS.c.reader == ANYBODY, ~knows))
    query = (
        select(READING_REQUESTS.c.case_id)
        .join(CASES, CASES.c.id == READING_REQUESTS.c.case_id)
        .where(READING_REQUESTS.c.done_at_utc == "", is_for)
        .group_by(READING_REQUESTS.c.case_id)
        .order_by(func.min(READING_REQUESTS.c.id))
    )
    return [CaseId(case_id) for case_id in connection.execute(query).scalars()]


def _close_reading(connection: Connection, case_id: int, reader: str, now: datetime) -> None:
    """Marks the request that a reading answers: the reader's own one before one to anybody."""
    is_open = and_(READING_REQUESTS.c.case_id == case_id, READING_REQUESTS.c.done_at_utc == "")
    for name in (reader, ANYBODY):
        query = select(func.min(READING_REQUESTS.c.id)).where(is_open, READING_REQUESTS.c.reader == name)
        request = connection.execute(query).scalar_one_or_none()
        if request is not None:
            done = update(READING_REQUESTS).where(READING_REQUESTS.c.id == request)
            connection.execute(done.values(reader=reader, done_at_utc=to_utc_text(now)))
            return


def signed_revisions(connection: Connection, case_ids: Iterable[int]) -> dict[CaseId, int]:
    """Those of the cases that are signed, with their present revision; a number that no case has is left out."""
    found: dict[CaseId, int] = {}
    for chunk in _chunks(case_ids):
        query = select(CASES.c.id, CASES.c.revision).where(CASES.c.is_signed, CASES.c.id.in_(chunk))
        found |= {CaseId(row.id): row.revision for row in connection.execute(query)}
    return found


@dataclass(frozen=True, slots=True)
class CaseStage:
    """How far a case is.

    Attributes:
        case_id: the case.
        label: of the case.
        revision: its present one.
        decision: in force.
        is_signed: whether that is signed.
        hc_mm: the circumference in force; None without millimetres.
    """

    case_id: CaseId
    label: str
    revision: int
    decision: Decision
    is_signed: bool
    hc_mm: float | None


def read_stages(connection: Connection, case_ids: Iterable[int]) -> dict[CaseId, CaseStage]:
    """How far cases are; a number that no case has is left out."""
    found: dict[CaseId, CaseStage] = {}
    columns = (CASES.c.id, CASES.c.label, CASES.c.revision, CASES.c.decision, CASES.c.is_signed, CASES.c.hc_mm)
    for chunk in _chunks(case_ids):
        for row in connection.execute(select(*columns).where(CASES.c.id.in_(chunk))):
            case_id = CaseId(row.id)
            decision = Decision(row.decision)
            found[case_id] = CaseStage(case_id, row.label, row.revision, decision, row.is_signed, row.hc_mm)
    return found


def first_event_hash(connection: Connection) -> str:
    """The hash of the first event of the record, by which one store is told from another; empty for an empty store."""
    query = select(EVENTS.c.hash).where(EVENTS.c.seq == 1)
    return connection.execute(query).scalar_one_or_none() or ""


def drop_requests(connection: Connection, case_ids: Iterable[int]) -> None:
    """Takes back all open requests for a reading of cases."""
    for chunk in _chunks(case_ids):
        is_open = and_(READING_REQUESTS.c.done_at_utc == "", READING_REQUESTS.c.case_id.in_(chunk))
        connection.execute(delete(READING_REQUESTS).where(is_open))


def read_cases(connection: Connection) -> list[CaseId]:
    """All cases with a blind reading, by number."""
    query = select(EVENTS.c.case_id).where(EVENTS.c.action == ReviewAction.READ.value).distinct()
    return [CaseId(case_id) for case_id in sorted(connection.execute(query).scalars())]


def to_sign(connection: Connection, case_ids: Iterable[int], reviewer: str) -> dict[CaseId, int]:
    """Those of the cases that a person may sign at once: decided, not signed, and seen by that person as they are."""
    seen = seen_cases(connection, case_ids, reviewer)
    found: dict[CaseId, int] = {}
    for chunk in _chunks(seen):
        waits = and_(CASES.c.decision != Decision.UNREVIEWED.value, ~CASES.c.is_signed)
        for row in connection.execute(select(CASES.c.id).where(waits, CASES.c.id.in_(chunk)).order_by(CASES.c.id)):
            found[CaseId(row.id)] = seen[CaseId(row.id)]
    return found


def _chunks(case_ids: Iterable[int]) -> Iterable[list[int]]:
    """The numbers in groups that one statement takes."""
    wanted = [int(case_id) for case_id in case_ids]
    return (wanted[start : start + _AT_ONCE] for start in range(0, len(wanted), _AT_ONCE))
