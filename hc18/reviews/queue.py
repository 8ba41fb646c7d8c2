"""The work queue: which cases need whom, by pages, and how far the work is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, case, func, select

from hc18.reviews.canonical import from_utc_text
from hc18.reviews.models import CaseId, Decision
from hc18.reviews.tables import CASES

PAGE_SIZE = 50
ROWS_PER_READ = 1000


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


@dataclass(frozen=True, slots=True)
class QueuePage:
    """One page of the queue.

    Attributes:
        rows: its cases, in the order in which they were registered.
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


def read_page(
    connection: Connection, queue_filter: QueueFilter, search: str, page: int, page_size: int = PAGE_SIZE
) -> QueuePage:
    """One page; a number beyond the last page gives the last one.

    Args:
        connection: in a reader's transaction.
        queue_filter: which cases.
        search: part of the label, upper or lower case; empty for all.
        page: from 1.
        page_size: cases per page.
    """
    condition = _condition(queue_filter, search)
    n_rows = connection.execute(select(func.count()).select_from(CASES).where(condition)).scalar_one()
    n_pages = max(1, -(-n_rows // page_size))
    page = min(max(page, 1), n_pages)
    query = select(CASES).where(condition).order_by(CASES.c.id).limit(page_size).offset((page - 1) * page_size)
    rows = tuple(_to_queue_row(row) for row in connection.execute(query))
    return QueuePage(rows, page, n_pages, n_rows)


def read_rows(
    connection: Connection, queue_filter: QueueFilter, search: str, rows_per_read: int = ROWS_PER_READ
) -> Iterator[QueueRow]:
    """All rows of a filter, `rows_per_read` at a time."""
    last_id = 0
    while True:
        query: Select[Any] = select(CASES).where(_condition(queue_filter, search), CASES.c.id > last_id)
        rows = connection.execute(query.order_by(CASES.c.id).limit(rows_per_read)).all()
        yield from (_to_queue_row(row) for row in rows)
        if len(rows) < rows_per_read:
            return
        last_id = rows[-1].id


def find_next(connection: Connection, queue_filter: QueueFilter, search: str, after: int) -> CaseId | None:
    """The first case of a filter behind case number `after`, from the beginning again after the last; None if none."""
    ids = select(CASES.c.id).where(_condition(queue_filter, search), CASES.c.id != after)
    is_before = case((CASES.c.id > after, 0), else_=1)
    found = connection.execute(ids.order_by(is_before, CASES.c.id).limit(1)).scalar_one_or_none()
    return None if found is None else CaseId(found)


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
    sums = [func.coalesce(func.sum(case((_condition(kind, ""), 1), else_=0)), 0) for kind in counted.values()]
    n_cases, *counts = connection.execute(select(func.count(), *sums).select_from(CASES)).one()
    return Progress(n_cases, **dict(zip(counted, (int(count) for count in counts), strict=True)))


def _condition(queue_filter: QueueFilter, search: str) -> ColumnElement[bool]:
    """What a row must fulfil to be listed."""
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
    condition = conditions[queue_filter]
    if not search.strip():
        return condition
    return and_(condition, func.lower(CASES.c.label).contains(search.strip().lower(), autoescape=True))


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
    )
