"""The tables of the store, and their rows from and to records. Migrations create the tables; a test compares both."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    select,
)

from hc18.reviews.canonical import body_sha256, from_body, to_body, to_utc_text
from hc18.reviews.models import CaseState, ReviewEvent, StoreError

METADATA = MetaData()
SHA256_LENGTH = 64
LABEL_LENGTH = 80
REVIEWER_LENGTH = 200
BIG_ID = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows itself only for INTEGER

# One row per case: its label, and its state as its events leave it, written in the transaction of the event.
CASES = Table(
    "cases",
    METADATA,
    Column("id", BIG_ID, primary_key=True, autoincrement=True),
    Column("image_sha256", String(SHA256_LENGTH), nullable=False, unique=True),
    Column("label", String(LABEL_LENGTH), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("decision", String(16), nullable=False),
    Column("is_signed", Boolean, nullable=False),
    Column("n_signatures", Integer, nullable=False),
    Column("is_flagged", Boolean, nullable=False),
    Column("flags", Text, nullable=False),
    Column("status", String(32), nullable=False),
    Column("confidence", Float),
    Column("model_sha256", Text, nullable=False),
    Column("model_hc_mm", Float),
    Column("hc_mm", Float),
    Column("reviewer", Text, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("changed_at_utc", String(32), nullable=False),
    Index("ix_cases_decision", "decision", "is_signed", "id"),
    Index("ix_cases_flagged", "is_flagged", "id"),
)

# The record. Rows are only ever added, in one chain over all cases.
EVENTS = Table(
    "review_events",
    METADATA,
    Column("seq", BIG_ID, primary_key=True, autoincrement=False),
    Column("case_id", BIG_ID, ForeignKey("cases.id"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("action", String(16), nullable=False),
    Column("body", Text, nullable=False),
    Column("prev_hash", String(SHA256_LENGTH), nullable=False),
    Column("hash", String(SHA256_LENGTH), nullable=False, unique=True),
    UniqueConstraint("case_id", "revision", name="uq_review_events_revision"),
)

# Pixels, apart from the rows that the queue reads. Rows are only ever added.
IMAGES = Table(
    "case_images",
    METADATA,
    Column("case_id", BIG_ID, ForeignKey("cases.id"), primary_key=True, autoincrement=False),
    Column("png", LargeBinary, nullable=False),
)

# The soft mask of a measurement, for display. Rows are only ever added.
MASKS = Table(
    "case_masks",
    METADATA,
    Column("case_id", BIG_ID, ForeignKey("cases.id"), primary_key=True, autoincrement=False),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
)

# Ellipses that were drawn but not saved, one per case and reviewer. They can be changed and are not in the record.
DRAFTS = Table(
    "drafts",
    METADATA,
    Column("case_id", BIG_ID, ForeignKey("cases.id"), primary_key=True, autoincrement=False),
    Column("reviewer", String(REVIEWER_LENGTH), primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("center_x", Float, nullable=False),
    Column("center_y", Float, nullable=False),
    Column("semi_axis_a", Float, nullable=False),
    Column("semi_axis_b", Float, nullable=False),
    Column("angle_rad", Float, nullable=False),
    Column("saved_at_utc", String(32), nullable=False),
)

# What people note about a case for their work, and what the queue sorts by. Not in the record: all of it can be erased.
WORKLIST = Table(
    "worklist",
    METADATA,
    Column("case_id", BIG_ID, ForeignKey("cases.id"), primary_key=True, autoincrement=False),
    Column("registered_at_utc", String(32), nullable=False),
    Column("examination", String(LABEL_LENGTH), nullable=False),
    Column("subject", String(LABEL_LENGTH), nullable=False),
    Column("examined_on", String(10), nullable=False),
    Column("assignee", String(REVIEWER_LENGTH), nullable=False),
    Column("interval_low_mm", Float),
    Column("interval_high_mm", Float),
    Index("ix_worklist_examination", "subject", "examination"),
)

# Which revision of a case each person has had on the screen last.
VIEWS = Table(
    "case_views",
    METADATA,
    Column("case_id", BIG_ID, ForeignKey("cases.id"), primary_key=True, autoincrement=False),
    Column("reviewer", String(REVIEWER_LENGTH), primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("seen_at_utc", String(32), nullable=False),
)

# Of whom a blind reading was asked; an empty reader is anybody but those who know the case.
READING_REQUESTS = Table(
    "reading_requests",
    METADATA,
    Column("id", BIG_ID, primary_key=True, autoincrement=True),
    Column("case_id", BIG_ID, ForeignKey("cases.id"), nullable=False),
    Column("reader", String(REVIEWER_LENGTH), nullable=False),
    Column("asked_by", String(REVIEWER_LENGTH), nullable=False),
    Column("asked_at_utc", String(32), nullable=False),
    Column("done_at_utc", String(32), nullable=False),
    Index("ix_reading_requests_open", "done_at_utc", "case_id"),
)

APPEND_ONLY = ("review_events", "case_images", "case_masks")


def to_case_columns(state: CaseState) -> dict[str, Any]:
    """The columns of `cases` that follow from the state."""
    return {
        "image_sha256": state.image_sha256,
        "revision": state.revision,
        "decision": state.decision.value,
        "is_signed": state.is_signed,
        "n_signatures": state.n_signatures,
        "is_flagged": state.is_flagged,
        "flags": ";".join(state.flags),
        "status": str(state.measurement.status),
        "confidence": state.measurement.confidence,
        "model_sha256": state.measurement.model.sha256,
        "model_hc_mm": state.model_outline.hc_mm,
        "hc_mm": state.outline.hc_mm,
        "reviewer": state.reviewer,
        "changed_by": state.changed_by,
        "changed_at_utc": to_utc_text(state.changed_at_utc),
    }


def to_interval_columns(state: CaseState) -> dict[str, Any]:
    """The columns of `worklist` that follow from the state."""
    interval = state.interval
    return {
        "interval_low_mm": None if interval is None else interval.low_mm,
        "interval_high_mm": None if interval is None else interval.high_mm,
    }


def to_event_columns(case_id: int, event: ReviewEvent) -> dict[str, Any]:
    """The columns of `review_events`."""
    body = to_body(event)
    return {
        "seq": event.seq,
        "case_id": case_id,
        "revision": event.revision,
        "action": event.action.value,
        "body": body,
        "prev_hash": event.prev_hash,
        "hash": body_sha256(body),
    }


def read_events_of(connection: Connection, case_ids: Sequence[int]) -> dict[int, list[ReviewEvent]]:
    """All events of several cases, each by revision; a number that no case has is left out.

    Raises:
        StoreError: if one of them was changed behind the program's back.
    """
    query = select(EVENTS).where(EVENTS.c.case_id.in_(case_ids)).order_by(EVENTS.c.case_id, EVENTS.c.revision)
    rows = connection.execute(query)
    return {case_id: [_to_event(row) for row in own] for case_id, own in groupby(rows, lambda row: row.case_id)}


def _to_event(row: Row[Any]) -> ReviewEvent:
    """The event of a row, if its text is the one that was hashed.

    Raises:
        StoreError: if it isn't.
    """
    if body_sha256(row.body) != row.hash:
        raise StoreError(
            f"event {row.seq} (case {row.case_id}, revision {row.revision}) was changed after it was written; run "
            "fetal-hc verify and restore the store from a copy"
        )
    try:
        return from_body(row.body)
    except ValueError as error:
        raise StoreError(f"event {row.seq} (case {row.case_id}) {error}; run fetal-hc verify") from error
