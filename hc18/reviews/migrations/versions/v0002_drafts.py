"""Ellipses that a reviewer has drawn but not saved. They are not part of the record.

A later change of the schema is a new module next to this one; this one is never edited.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Creates the table of drafts."""
    op.create_table(
        "drafts",
        sa.Column("case_id", _BIG_ID, sa.ForeignKey("cases.id"), primary_key=True, autoincrement=False),
        sa.Column("reviewer", sa.String(200), primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("center_x", sa.Float, nullable=False),
        sa.Column("center_y", sa.Float, nullable=False),
        sa.Column("semi_axis_a", sa.Float, nullable=False),
        sa.Column("semi_axis_b", sa.Float, nullable=False),
        sa.Column("angle_rad", sa.Float, nullable=False),
        sa.Column("saved_at_utc", sa.String(32), nullable=False),
    )
