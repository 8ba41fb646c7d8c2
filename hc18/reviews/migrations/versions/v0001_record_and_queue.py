"""The record (append-only, chained), the images, and the table behind the queue.

A later change of the schema is a new module next to this one; this one is never edited.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_APPEND_ONLY = ("review_events", "case_images", "case_masks")
_REFUSAL = "the record is append-only"

# Which new rows of a table are refused: those that don't continue the chain, and those that would replace another
# (SQLite's INSERT OR REPLACE deletes without asking the delete trigger).
_REFUSED_ROWS = {
    "review_events": """
        NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM review_events)
        OR NEW.prev_hash <> coalesce((SELECT hash FROM review_events ORDER BY seq DESC LIMIT 1), '{zeros}')
        OR NEW.revision <> (SELECT coalesce(max(revision), 0) + 1 FROM review_events WHERE case_id = NEW.case_id)
        OR EXISTS (SELECT 1 FROM review_events WHERE hash = NEW.hash)
    """.format(zeros="0" * 64),
    "case_images": "EXISTS (SELECT 1 FROM case_images WHERE case_id = NEW.case_id)",
    "case_masks": "EXISTS (SELECT 1 FROM case_masks WHERE case_id = NEW.case_id AND revision = NEW.revision)",
}


def upgrade() -> None:
    """Creates tables, indexes and triggers."""
    _create_cases()
    _create_record()
    if op.get_context().dialect.name == "sqlite":
        _create_sqlite_triggers()
    else:
        _create_postgresql_triggers()


def _create_cases() -> None:
    op.create_table(
        "cases",
        sa.Column("id", _BIG_ID, primary_key=True, autoincrement=True),
        sa.Column("image_sha256", sa.String(64), nullable=False, unique=True),
        sa.Column("label", sa.String(80), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("is_signed", sa.Boolean, nullable=False),
        sa.Column("n_signatures", sa.Integer, nullable=False),
        sa.Column("is_flagged", sa.Boolean, nullable=False),
        sa.Column("flags", sa.Text, nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("confidence", sa.Float),
        sa.Column("model_sha256", sa.Text, nullable=False),
        sa.Column("model_hc_mm", sa.Float),
        sa.Column("hc_mm", sa.Float),
        sa.Column("reviewer", sa.Text, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.Column("changed_at_utc", sa.String(32), nullable=False),
    )
    op.create_index("ix_cases_decision", "cases", ["decision", "is_signed", "id"])
    op.create_index("ix_cases_flagged", "cases", ["is_flagged", "id"])


def _create_record() -> None:
    op.create_table(
        "review_events",
        sa.Column("seq", _BIG_ID, primary_key=True, autoincrement=False),
        sa.Column("case_id", _BIG_ID, sa.ForeignKey("cases.id"), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("prev_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False, unique=True),
        sa.UniqueConstraint("case_id", "revision", name="uq_review_events_revision"),
    )
    op.create_table(
        "case_images",
        sa.Column("case_id", _BIG_ID, sa.ForeignKey("cases.id"), primary_key=True, autoincrement=False),
        sa.Column("png", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "case_masks",
        sa.Column("case_id", _BIG_ID, sa.ForeignKey("cases.id"), primary_key=True, autoincrement=False),
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )


def sqlite_triggers() -> dict[str, str]:
    """The statement that creates each trigger on SQLite, by its name."""
    triggers = {}
    for table in _APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            triggers[f"{table}_no_{verb.lower()}"] = (
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}: {verb} on {table} is refused'); END"
            )
        triggers[f"{table}_insert"] = (
            f"CREATE TRIGGER {table}_insert BEFORE INSERT ON {table} WHEN {_REFUSED_ROWS[table]} "
            f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}: the row does not continue {table}'); END"
        )
    return triggers


def postgresql_functions() -> dict[str, str]:
    """The body of each trigger function on PostgreSQL, by its name."""
    functions = {
        "refuse_change": " BEGIN "
        f"RAISE EXCEPTION '{_REFUSAL}: % on % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; "
        "END "
    }
    for table in _APPEND_ONLY:
        functions[f"check_{table}"] = (
            f" BEGIN IF {_REFUSED_ROWS[table]} THEN "
            f"RAISE EXCEPTION '{_REFUSAL}: the row does not continue {table}' USING ERRCODE = 'restrict_violation'; "
            "END IF; RETURN NEW; END "
        )
    return functions


def postgresql_triggers() -> dict[str, str]:
    """The statement that creates each trigger on PostgreSQL, by its name."""
    definitions = {
        "no_update": "BEFORE UPDATE ON {0} FOR EACH ROW EXECUTE FUNCTION refuse_change()",
        "no_delete": "BEFORE DELETE ON {0} FOR EACH ROW EXECUTE FUNCTION refuse_change()",
        "no_truncate": "BEFORE TRUNCATE ON {0} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
        "insert": "BEFORE INSERT ON {0} FOR EACH ROW EXECUTE FUNCTION check_{0}()",
    }
    return {
        f"{table}_{name}": f"CREATE TRIGGER {table}_{name} {definition.format(table)}"
        for table in _APPEND_ONLY
        for name, definition in definitions.items()
    }


def _create_sqlite_triggers() -> None:
    for statement in sqlite_triggers().values():
        op.execute(statement)


def _create_postgresql_triggers() -> None:
    for name, body in postgresql_functions().items():
        op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
    for name, statement in postgresql_triggers().items():
        table = next(table for table in _APPEND_ONLY if name.startswith(table))
        op.execute(statement)
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")
