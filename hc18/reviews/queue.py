"""The work queue: which cases need whom, by pages, and how far the work is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, UnaryExpression, and_, case, func, or_, select
from sqlalchemy.sql import operators

from hc18.reviews.canonical import from_utc_text
from hc18.reviews.models import CaseId, Decision
from hc18.reviews.tables import CASES, WORKLIST

PAGE_SIZE = 50
ROWS_PER_READ = 1000
_BEYOND = 1e300  # sorts behind every number
_JOINED = CASES.outerjoin(WORKLIST, WORKLIST.c.case_id == CASES.c.id)


class QueueOrder(StrEnum):
    """What cases are sorted by; equal ones by their number."""

    CASE = "case"
    LABEL = "label"
    HC = "hc"
    INTERVAL = "interval"
    CONFIDENCE = "confidence"
    FLAGS = "flags"
    EXAMINATION = "examination"
    READER = "reader"
    CHANGED = "changed"


class QueueFilter(StrEnum):
    """Which cases are listed."""

    ALL = "all"
    UNREVIEWED = "unreviewed"
    FLAGGED = "flagged"
    ACCEPTED = "accepted"
    CORRECTED = "corrected"
    REJECTED = "rejected"
    TO_SIGN = "to_sign"
    SIGNED = "signed"


@dataclass(frozen=True, slots=True)
class QueueView:
    """Which cases a person works through, and in which order.

    Attributes:
        queue_filter: their state.
        search: part of the label, the examination or the patient code, upper or lower case; empty for all.
        order: what they are sorted by.
        is_descending: whether the largest comes first; cases without a value are always last.
        assignee: to whom they were given; None for all, empty for nobody.
    """

    queue_filter: QueueFilter = QueueFilter.ALL
    search: str = ""
    order: QueueOrder = QueueOrder.CASE
    is_descending: bool = False
    assignee: str | None = None


ALL_CASES = QueueView()


@dataclass(frozen=True, slots=True)
class Neighbours:
    """A case among those of a view.

    Attributes:
        previous: the case before, from the end again before the first; None if there is no other case.
        following: the case behind, from the beginning again behind the last; None if there is no other case.
        position: how many cases of the view come before, plus 1; also for a case that has just left the view.
        n_rows: number of cases in the view.
    """

    previous: CaseId | None
    following: CaseId | None
    position: int
    n_rows: int


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A case in the queue.

    Attributes:
        case_id: its number.
        label: its neutral name.
        revision: number of events.
        decision: of the last reviewer.
        is_signed: signed off and not reopened since.
        n_signatures: how often it was signed off.
        is_flagged: a quality flag, no ellipse of the model, or no millimetres.
        flags: what to look at.
        status: of the measurement.
        confidence: of the model, 0 to 1; None without a detection.
        model_hc_mm: of the model's ellipse; None if there is none.
        hc_mm: of the ellipse that counts; None if there is none.
        reviewer: who decided; empty while unreviewed.
        changed_by: who made the last event.
        changed_at_utc: when that was.
        interval_mm: lower and upper end of the interval of the model's circumference; None if there is none.
        registered_at_utc: when the case came into the store.
        examination: code of the examination; empty if not noted.
        subject: code of the patient; empty if not noted.
        assignee: to whom the case was given; empty for nobody.
    """

    case_id: CaseId
    label: str
    revision: int
    decision: Decision
    is_signed: bool
    n_signatures: int
    is_flagged: bool
    flags: tuple[str, ...]
    status: str
    confidence: float | None
    model_hc_mm: float | None
    hc_mm: float | None
    reviewer: str
    changed_by: str
    changed_at_utc: datetime
    interval_mm: tuple[float, float] | None
    registered_at_utc: datetime | None
    examination: str
    subject: str
    assignee: str


@dataclass(frozen=True, slots=True)
class QueuePage:
    """One page of the queue.

    Attributes:
        rows: its cases, in the order of the view.
        page: its number, from 1.
        n_pages: number of pages, at least 1.
        n_rows: number of cases on all pages.
    """

    rows: tuple[QueueRow, ...]
    page: int
    n_pages: int
    n_rows: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How many cases are in which state. `flagged` counts those that nobody has decided on yet, like its filter.

    Attributes:
        n_cases: all of them.
        unreviewed: without a decision.
        flagged: without a decision and in need of attention.
        accepted: decision, signed or not.
        corrected: decision, signed or not.
        rejected: decision, signed or not.
        to_sign: decided but not signed.
        signed: signed off.
    """

    n_cases: int
    unreviewed: int
    flagged: int
    accepted: int
    corrected: int
    rejected: int
    to_sign: int
    signed: int


def read_page(connection: Connection, view: QueueView, page: int, page_size: int = PAGE_SIZE) -> QueuePage:
    """One page; a number beyond the last page gives the last one.

    Args:
        connection: in a reader's transaction.
        view: which cases in which order.
        page: from 1.
        page_size: cases per page.
    """
    n_rows = _count(connection, _condition(view))
    n_pages = max(1, -(-n_rows // page_size))
    page = min(max(page, 1), n_pages)
    query = _select_rows().where(_condition(view)).order_by(*_ordering(view))
    found = connection.execute(query.limit(page_size).offset((page - 1) * page_size))
    return QueuePage(tuple(_to_queue_row(row) for row in found), page, n_pages, n_rows)


def read_rows(connection: Connection, view: QueueView, rows_per_read: int = ROWS_PER_READ) -> Iterator[QueueRow]:
    """All rows of a view, `rows_per_read` at a time."""
    query = _select_rows().where(_condition(view)).order_by(*_ordering(view)).execution_options(yield_per=rows_per_read)
    yield from (_to_queue_row(row) for row in connection.execute(query))


def read_ids(connection: Connection, view: QueueView) -> list[CaseId]:
    """The numbers of all cases of a view, in its order."""
    query = select(CASES.c.id).select_from(_JOINED).where(_condition(view)).order_by(*_ordering(view))
    return [CaseId(case_id) for case_id in connection.execute(query).scalars()]


def is_listed(connection: Connection, view: QueueView, case_id: int) -> bool:
    """Whether a case is in a view."""
    return _count(connection, and_(_condition(view), CASES.c.id == case_id)) > 0


def find_neighbours(connection: Connection, view: QueueView, case_id: int) -> Neighbours:
    """The cases before and behind a case in a view, whether or not the case itself is in it.

    A case that no store has (such as 0) comes before all others.
    """
    condition, key = _condition(view), _sort_key(view)
    value = connection.execute(select(key).select_from(_JOINED).where(CASES.c.id == case_id)).scalar_one_or_none()
    if value is None:
        first = _first(connection, view, condition, is_reversed=False)
        return Neighbours(None, first, 1, _count(connection, condition))
    beyond = key < value if view.is_descending else key > value
    is_behind = or_(beyond, and_(key == value, CASES.c.id > case_id))
    is_before = and_(~is_behind, CASES.c.id != case_id)
    others = and_(condition, CASES.c.id != case_id)
    following = _first(connection, view, and_(condition, is_behind), is_reversed=False)
    previous = _first(connection, view, and_(condition, is_before), is_reversed=True)
    return Neighbours(
        previous if previous is not None else _first(connection, view, others, is_reversed=True),
        following if following is not None else _first(connection, view, others, is_reversed=False),
        _count(connection, and_(condition, is_before)) + 1,
        _count(connection, condition),
    )


def _count(connection: Connection, condition: ColumnElement[bool]) -> int:
    query = select(func.count()).select_from(_JOINED).where(condition)
    return int(connection.execute(query).scalar_one())


def _first(
    connection: Connection, view: QueueView, condition: ColumnElement[bool], *, is_reversed: bool
) -> CaseId | None:
    """The first of the cases that fulfil a condition, or the last one."""
    order = [_reversed(column) if is_reversed else column for column in _ordering(view)]
    query = select(CASES.c.id).select_from(_JOINED).where(condition).order_by(*order).limit(1)
    found = connection.execute(query).scalar_one_or_none()
    return None if found is None else CaseId(found)


def _reversed(column: UnaryExpression[Any]) -> UnaryExpression[Any]:
    """The same order backwards."""
    return column.element.asc() if column.modifier is operators.desc_op else column.element.desc()


def _select_rows() -> Select[Any]:
    return select(CASES, *(column for column in WORKLIST.c if column.name != "case_id")).select_from(_JOINED)


def _ordering(view: QueueView) -> list[UnaryExpression[Any]]:
    key = _sort_key(view)
    return [key.desc() if view.is_descending else key.asc(), CASES.c.id.asc()]


def _sort_key(view: QueueView) -> ColumnElement[Any]:
    """What a view is sorted by; a case without a number comes last in both directions."""
    number = {
        QueueOrder.HC: func.coalesce(CASES.c.hc_mm, CASES.c.model_hc_mm),
        QueueOrder.INTERVAL: WORKLIST.c.interval_high_mm - WORKLIST.c.interval_low_mm,
        QueueOrder.CONFIDENCE: CASES.c.confidence,
    }.get(view.order)
    if number is not None:
        return func.coalesce(number, -_BEYOND if view.is_descending else _BEYOND)
    text = {
        QueueOrder.LABEL: func.lower(CASES.c.label),
        QueueOrder.FLAGS: CASES.c.flags,
        QueueOrder.EXAMINATION: func.coalesce(WORKLIST.c.examination, ""),
        QueueOrder.READER: func.coalesce(func.nullif(CASES.c.reviewer, ""), WORKLIST.c.assignee, ""),
        QueueOrder.CHANGED: CASES.c.changed_at_utc,
    }.get(view.order)
    return CASES.c.id if text is None else text


def read_progress(connection: Connection) -> Progress:
    """How many cases are in which state."""
    counted = {
        "unreviewed": QueueFilter.UNREVIEWED,
        "flagged": QueueFilter.FLAGGED,
        "accepted": QueueFilter.ACCEPTED,
        "corrected": QueueFilter.CORRECTED,
        "rejected": QueueFilter.REJECTED,
        "to_sign": QueueFilter.TO_SIGN,
        "signed": QueueFilter.SIGNED,
    }
    sums = [func.coalesce(func.sum(case((_is_in(kind), 1), else_=0)), 0) for kind in counted.values()]
    n_cases, *counts = connection.execute(select(func.count(), *sums).select_from(CASES)).one()
    return Progress(n_cases, **dict(zip(counted, (int(count) for count in counts), strict=True)))


def _condition(view: QueueView) -> ColumnElement[bool]:
    """What a row must fulfil to be listed."""
    conditions = [_is_in(view.queue_filter)]
    if view.assignee is not None:
        conditions.append(func.coalesce(WORKLIST.c.assignee, "") == view.assignee)
    words = view.search.strip().lower()
    if words:
        texts = (CASES.c.label, WORKLIST.c.examination, WORKLIST.c.subject)
        conditions.append(or_(*(func.lower(text).contains(words, autoescape=True) for text in texts)))
    return and_(*conditions)


def _is_in(queue_filter: QueueFilter) -> ColumnElement[bool]:
    """Whether a row is in the state that a filter lists."""
    is_unreviewed = CASES.c.decision == Decision.UNREVIEWED.value
    conditions: dict[QueueFilter, ColumnElement[bool]] = {
        QueueFilter.ALL: CASES.c.id > 0,
        QueueFilter.UNREVIEWED: is_unreviewed,
        QueueFilter.FLAGGED: and_(is_unreviewed, CASES.c.is_flagged),
        QueueFilter.ACCEPTED: CASES.c.decision == Decision.ACCEPTED.value,
        QueueFilter.CORRECTED: CASES.c.decision == Decision.CORRECTED.value,
        QueueFilter.REJECTED: CASES.c.decision == Decision.REJECTED.value,
        QueueFilter.TO_SIGN: and_(~is_unreviewed, ~CASES.c.is_signed),
        QueueFilter.SIGNED: CASES.c.is_signed,
    }
    return conditions[queue_filter]


def _to_queue_row(row: Row[Any]) -> QueueRow:
    return QueueRow(
        case_id=CaseId(row.id),
        label=row.label,
        revision=row.revision,
        decision=Decision(row.decision),
        is_signed=row.is_signed,
        n_signatures=row.n_signatures,
        is_flagged=row.is_flagged,
        flags=tuple(row.flags.split(";")) if row.flags else (),
        status=row.status,
        confidence=row.confidence,
        model_hc_mm=row.model_hc_mm,
        hc_mm=row.hc_mm,
        reviewer=row.reviewer,
        changed_by=row.changed_by,
        changed_at_utc=from_utc_text(row.changed_at_utc),
        interval_mm=None if row.interval_low_mm is None else (row.interval_low_mm, row.interval_high_mm),
        registered_at_utc=from_utc_text(row.registered_at_utc) if row.registered_at_utc else None,
        examination=row.examination or "",
        subject=row.subject or "",
        assignee=row.assignee or "",
    )
