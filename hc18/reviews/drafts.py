"""Ellipses that a reviewer has drawn but not saved, kept so that a crash of the server or the browser loses none.

A draft belongs to one reviewer and one case. It is not part of the record, and it is replaced or removed freely.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select

from fetal_hc.errors import MeasurementError
from hc18.geometry.ellipse import Ellipse
from hc18.reviews.canonical import from_utc_text, to_utc_text
from hc18.reviews.tables import DRAFTS


@dataclass(frozen=True, slots=True)
class KeptDraft:
    """An ellipse that was drawn but not saved.

    Attributes:
        ellipse_px: in px of the stored image, pixel centres at integers.
        revision: of the case when the ellipse was drawn.
        saved_at_utc: when it was drawn.
    """

    ellipse_px: Ellipse
    revision: int
    saved_at_utc: datetime


def read_draft(connection: Connection, case_id: int, reviewer: str) -> KeptDraft | None:
    """The draft of a reviewer; None if there is none, or its numbers are damaged."""
    row = connection.execute(select(DRAFTS).where(_belongs(case_id, reviewer))).one_or_none()
    if row is None:
        return None
    try:
        ellipse = Ellipse(row.center_x, row.center_y, row.semi_axis_a, row.semi_axis_b, row.angle_rad)
        return KeptDraft(ellipse, row.revision, from_utc_text(row.saved_at_utc))
    except (MeasurementError, ValueError, TypeError):
        return None


def write_draft(connection: Connection, case_id: int, reviewer: str, draft: KeptDraft) -> None:
    """Keeps a draft in place of an earlier one.

    Args:
        connection: in a writer's transaction.
        case_id: an existing case.
        reviewer: who has drawn the ellipse.
        draft: what was drawn.
    """
    remove_draft(connection, case_id, reviewer)
    values = {"revision": draft.revision, "saved_at_utc": to_utc_text(draft.saved_at_utc), **asdict(draft.ellipse_px)}
    connection.execute(insert(DRAFTS).values(case_id=case_id, reviewer=reviewer, **values))


def remove_draft(connection: Connection, case_id: int, reviewer: str) -> None:
    """Forgets the draft of a reviewer."""
    connection.execute(delete(DRAFTS).where(_belongs(case_id, reviewer)))


def _belongs(case_id: int, reviewer: str) -> ColumnElement[bool]:
    return and_(DRAFTS.c.case_id == case_id, DRAFTS.c.reviewer == reviewer)
