"""What people note about a case for their work, who has seen it, and whom a second reading was asked of.

None of it is part of the record.

A later change of the schema is a new module next to this one; this one is never edited.
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_AT_ONCE = 500


def upgrade() -> None:
    """Creates the tables and fills the worklist from the record."""
    op.create_table(
        "worklist",
        sa.Column("case_id", _BIG_ID, sa.ForeignKey("cases.id"), primary_key=True, autoincrement=False),
        sa.Column("registered_at_utc", sa.String(32), nullable=False),
        sa.Column("examination", sa.String(80), nullable=False),
        sa.Column("subject", sa.String(80), nullable=False),
        sa.Column("examined_on", sa.String(10), nullable=False),
        sa.Column("assignee", sa.String(200), nullable=False),
        sa.Column("interval_low_mm", sa.Float),
        sa.Column("interval_high_mm", sa.Float),
    )
    op.create_index("ix_worklist_examination", "worklist", ["subject", "examination"])
    op.create_table(
        "case_views",
        sa.Column("case_id", _BIG_ID, sa.ForeignKey("cases.id"), primary_key=True, autoincrement=False),
        sa.Column("reviewer", sa.String(200), primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("seen_at_utc", sa.String(32), nullable=False),
    )
    op.create_table(
        "reading_requests",
        sa.Column("id", _BIG_ID, primary_key=True, autoincrement=True),
        sa.Column("case_id", _BIG_ID, sa.ForeignKey("cases.id"), nullable=False),
        sa.Column("reader", sa.String(200), nullable=False),
        sa.Column("asked_by", sa.String(200), nullable=False),
        sa.Column("asked_at_utc", sa.String(32), nullable=False),
        sa.Column("done_at_utc", sa.String(32), nullable=False),
    )
    op.create_index("ix_reading_requests_open", "reading_requests", ["done_at_utc", "case_id"])
    _fill_worklist(op.get_bind())


def _fill_worklist(connection: sa.Connection) -> None:
    """A row for every case of an earlier version, with the interval that its newest measurement gave."""
    cases = sa.table("cases", sa.column("id"))
    worklist = sa.table("worklist", *map(sa.column, _COLUMNS))
    events = sa.table("review_events", *map(sa.column, ("case_id", "revision", "action", "body")))
    ids = [row.id for row in connection.execute(sa.select(cases.c.id).order_by(cases.c.id))]
    for start in range(0, len(ids), _AT_ONCE):
        chunk = ids[start : start + _AT_ONCE]
        rows: dict[int, dict[str, Any]] = {case_id: _empty_row(case_id) for case_id in chunk}
        query = sa.select(events.c.case_id, events.c.action, events.c.body).where(
            events.c.case_id.in_(chunk), events.c.action.in_(("measured", "calibrate"))
        )
        for event in connection.execute(query.order_by(events.c.case_id, events.c.revision)):
            _follow(rows[event.case_id], event.action, event.body)
        connection.execute(sa.insert(worklist), list(rows.values()))


_COLUMNS = (
    "case_id",
    "registered_at_utc",
    "examination",
    "subject",
    "examined_on",
    "assignee",
    "interval_low_mm",
    "interval_high_mm",
)


def _empty_row(case_id: int) -> dict[str, Any]:
    texts = dict.fromkeys(("registered_at_utc", "examination", "subject", "examined_on", "assignee"), "")
    return {"case_id": case_id, **texts, "interval_low_mm": None, "interval_high_mm": None}


def _follow(row: dict[str, Any], action: str, body: object) -> None:
    """Takes over what an event says; a damaged one says nothing, and a new pixel size leaves the interval unknown."""
    try:
        values = json.loads(body) if isinstance(body, str) else {}
        limits_mm = (values.get("measurement") or {}).get("hc_interval_mm") if action == "measured" else None
        row["registered_at_utc"] = row["registered_at_utc"] or str(values.get("at_utc", ""))[:32]
        row["interval_low_mm"], row["interval_high_mm"] = map(float, limits_mm) if limits_mm else (None, None)
    except (ValueError, TypeError, AttributeError):
        return
