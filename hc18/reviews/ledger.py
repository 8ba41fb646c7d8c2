"""The one place that writes to the record. Every function runs inside the caller's writing transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from hc18.dicom import pixel_sha256
from hc18.reviews import worklist
from hc18.reviews.canonical import GENESIS_HASH, to_utc_text
from hc18.reviews.models import (
    CaseId,
    CaseState,
    NewCase,
    Outline,
    Registration,
    ReviewAction,
    ReviewConflict,
    ReviewEvent,
    SoftMask,
    StoreError,
)
from hc18.reviews.pictures import content_sha256, to_mask_content, to_png
from hc18.reviews.state import derive_state, next_state, outline_after, reading_of, to_outline
from hc18.reviews.tables import CASES, EVENTS, IMAGES, MASKS, read_events_of, to_case_columns, to_event_columns
from hc18.reviews.validation import ReviewRequest, check_limits, check_request, to_label, without_paths


@dataclass(frozen=True, slots=True)
class Stamp:
    """When something is written and by which version of this program."""

    at_utc: datetime
    app_version: str


@dataclass(frozen=True, slots=True)
class EncodedCase:
    """A new case with its pixels as they are stored, made before the transaction begins."""

    case: NewCase
    image_sha256: str
    png: bytes
    mask: bytes | None


def encode(case: NewCase) -> EncodedCase:
    """A new case ready to be written.

    Raises:
        StoreError: if its image cannot be stored.
    """
    measurement = replace(case.measurement, reason=without_paths(case.measurement.reason))
    mask = None if case.soft_mask is None else to_mask_content(case.soft_mask)
    return EncodedCase(
        replace(case, measurement=measurement), pixel_sha256(case.image_rgb), to_png(case.image_rgb), mask
    )


def register(connection: Connection, new: EncodedCase, reviewer: str, stamp: Stamp) -> Registration:
    """Adds a case with its measurement as the first event, or finds the one with the same pixels.

    Args:
        connection: in a writer's transaction.
        new: what to add.
        reviewer: who adds it.
        stamp: when.
    """
    query = select(CASES.c.id).where(CASES.c.image_sha256 == new.image_sha256)
    known = connection.execute(query).scalar_one_or_none()
    if known is not None:
        return Registration(CaseId(known), is_new=False)
    event = _first_event(connection, new, reviewer, stamp)
    added = insert(CASES).values(label="", **to_case_columns(next_state(None, event))).returning(CASES.c.id)
    case_id = int(connection.execute(added).scalar_one())
    label = to_label(new.case.label, case_id)
    connection.execute(update(CASES).where(CASES.c.id == case_id).values(label=label))
    connection.execute(insert(IMAGES).values(case_id=case_id, png=new.png))
    _write_event(connection, case_id, event, new.mask)
    worklist.add(connection, case_id, next_state(None, event))
    return Registration(CaseId(case_id), is_new=True)


def append(
    connection: Connection,
    case_id: int,
    expected_revision: int,
    request: ReviewRequest,
    soft_mask: SoftMask | None,
    stamp: Stamp,
) -> CaseState:
    """Adds one event to a case and brings its row in the queue up to date.

    Args:
        connection: in a writer's transaction.
        case_id: the case.
        expected_revision: revision that the reviewer saw.
        request: what the reviewer asks for.
        soft_mask: of a new measurement.
        stamp: when.

    Returns:
        The state after the event.

    Raises:
        ReviewConflict: if the case has another revision by now.
        ReviewRefused: if the request is not allowed in the case's state.
        StoreError: if there is no such case, or its record was tampered with.
    """
    events = existing_events(connection, case_id)
    _check_revision(events, expected_revision)
    state = derive_state(events)
    check_request(state, request)
    check_limits(state, request)
    if request.measurement is not None:
        reason = without_paths(request.measurement.reason)
        request = replace(request, measurement=replace(request.measurement, reason=reason))
    mask = None if soft_mask is None else to_mask_content(soft_mask)
    event = _next_event(connection, state, request, mask, stamp)
    _write_event(connection, case_id, event, mask)
    state = next_state(state, event)
    connection.execute(update(CASES).where(CASES.c.id == case_id).values(to_case_columns(state)))
    worklist.follow(connection, case_id, state, request)
    return state


def _first_event(connection: Connection, new: EncodedCase, reviewer: str, stamp: Stamp) -> ReviewEvent:
    """The measurement that begins a case."""
    measurement = new.case.measurement
    seq, prev_hash = _next_link(connection)
    return ReviewEvent(
        seq=seq,
        image_sha256=new.image_sha256,
        image_hw=(int(new.case.image_rgb.shape[0]), int(new.case.image_rgb.shape[1])),
        revision=1,
        action=ReviewAction.MEASURED,
        at_utc=stamp.at_utc,
        reviewer=reviewer,
        reason="",
        measurement=measurement,
        model=measurement.model,
        calibration=new.case.calibration,
        age=None,
        before=Outline(),
        after=to_outline(measurement.ellipse_px, new.case.calibration),
        mask_sha256="" if new.mask is None else content_sha256(new.mask),
        app_version=stamp.app_version,
        prev_hash=prev_hash,
    )


def _next_event(
    connection: Connection, state: CaseState, request: ReviewRequest, mask: bytes | None, stamp: Stamp
) -> ReviewEvent:
    """The event that a checked request becomes."""
    seq, prev_hash = _next_link(connection)
    return ReviewEvent(
        seq=seq,
        image_sha256=state.image_sha256,
        image_hw=state.image_hw,
        revision=state.revision + 1,
        action=request.action,
        at_utc=stamp.at_utc,
        reviewer=request.reviewer,
        reason=request.reason,
        measurement=request.measurement,
        model=(request.measurement or state.measurement).model,
        calibration=request.calibration or state.calibration,
        age=request.age or state.age,
        before=state.outline,
        after=outline_after(state, request),
        mask_sha256="" if mask is None else content_sha256(mask),
        app_version=stamp.app_version,
        prev_hash=prev_hash,
        reading=reading_of(state, request),
    )


def existing_events(connection: Connection, case_id: int) -> list[ReviewEvent]:
    """All events of a case, by revision.

    Raises:
        StoreError: if there is no such case, or its record was tampered with.
    """
    return existing_events_of(connection, [case_id])[case_id]


def existing_events_of(connection: Connection, case_ids: Sequence[int]) -> dict[int, list[ReviewEvent]]:
    """All events of several cases, each by revision.

    Raises:
        StoreError: if there is no such case, or its record was tampered with.
    """
    events = read_events_of(connection, case_ids)
    for case_id in case_ids:
        if case_id not in events:
            raise no_case(case_id)
    return events


def no_case(case_id: int) -> StoreError:
    """The error for a number that no case has."""
    return StoreError(f"there is no case {case_id} in this store; choose one from the queue")


def _next_link(connection: Connection) -> tuple[int, str]:
    """Position and `prev_hash` of the next event."""
    last = connection.execute(select(EVENTS.c.seq, EVENTS.c.hash).order_by(EVENTS.c.seq.desc()).limit(1)).one_or_none()
    return (1, GENESIS_HASH) if last is None else (last.seq + 1, last.hash)


def _write_event(connection: Connection, case_id: int, event: ReviewEvent, mask: bytes | None) -> None:
    connection.execute(insert(EVENTS).values(to_event_columns(case_id, event)))
    if mask is not None:
        connection.execute(insert(MASKS).values(case_id=case_id, revision=event.revision, content=mask))


def _check_revision(events: Sequence[ReviewEvent], expected_revision: int) -> None:
    """Returns if nobody wrote since `expected_revision`.

    Raises:
        ReviewConflict: naming who wrote what and when.
    """
    if events[-1].revision == expected_revision:
        return
    since = [event for event in events if event.revision > expected_revision]
    if not since:
        raise ReviewConflict(
            f"the case has {len(events)} revisions, not {expected_revision}; load it again and repeat your step"
        )
    written = "; ".join(f"{event.reviewer}: {event.action} at {to_utc_text(event.at_utc)[:19]} UTC" for event in since)
    raise ReviewConflict(
        f"somebody changed this case since you opened it ({written}); your step was not saved: look at the new state "
        "and repeat it if it is still right"
    )
