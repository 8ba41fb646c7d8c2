"""The tables of the store. What creates them are the migrations; a test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData()
SHA256_LENGTH = 64
LABEL_LENGTH = 80
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

APPEND_ONLY = ("review_events", "case_images", "case_masks")
