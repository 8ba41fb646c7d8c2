"""Rows of the tables as records, and back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, select

from hc18.reviews.canonical import body_sha256, from_body, to_body, to_utc_text
from hc18.reviews.errors import StoreError
from hc18.reviews.records import CaseState, ReviewEvent
from hc18.reviews.schema import EVENTS


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
            "tools/verify_reviews.py and restore the store from a copy"
        )
    try:
        return from_body(row.body)
    except ValueError as error:
        raise StoreError(f"event {row.seq} (case {row.case_id}) {error}; run tools/verify_reviews.py") from error
