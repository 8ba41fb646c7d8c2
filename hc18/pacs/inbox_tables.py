"""The tables of the inbox and the values that it takes and returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, MetaData, String, Table, Text

from fetal_hc.errors import FetalHCError
from hc18.dicom import SourceReference
from hc18.dicom.identifiers import Identifiers
from hc18.pacs.spool import Arrival
from hc18.reviews.models import CaseId

METADATA = MetaData()
INSTANCES = Table(
    "instances",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("key", String(80), nullable=False, unique=True),
    Column("uid", String(40), nullable=False, index=True),
    Column("sender", Text, nullable=False),
    Column("received_at_utc", String(32), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("reference", LargeBinary, nullable=False),
)
LINKS = Table(
    "links",
    METADATA,
    Column("instance_id", ForeignKey("instances.id"), primary_key=True),
    Column("case_id", BigInteger, primary_key=True, autoincrement=False, index=True),
    Column("frame_number", Integer, nullable=False),  # 0 for an object with one frame
)
RETURNS = Table(
    "returns",
    METADATA,
    Column("case_id", BigInteger, primary_key=True, autoincrement=False),
    Column("revision", Integer, nullable=False),
    Column("reason", Text, nullable=False),
)

STORES = Table("stores", METADATA, Column("first_event_hash", String(64), primary_key=True))


class InboxError(FetalHCError):
    """An object that cannot belong to a case. No message names a patient."""


class InstanceState(StrEnum):
    """Where an object is on its way to a case."""

    RECEIVED = "received"
    MEASURED = "measured"
    WAITS = "waits"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """An object that arrived.

    Attributes:
        key: by which it is known here; says nothing of its UID.
        sender: AE title or archive that it came from.
        received_at: when.
        state: where it is.
        attempts: to measure it, so far.
        reason: why it waits for a person or failed; empty otherwise.
        case_ids: the cases that it became.
        has_reference: whether a report can go back for it.
    """

    key: str
    sender: str
    received_at: datetime
    state: InstanceState
    attempts: int
    reason: str
    case_ids: tuple[CaseId, ...]
    has_reference: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of an object.

    Attributes:
        arrival: the object.
        state: where it is now.
        reason: why it waits or failed.
        frames: the frame of each case, from 1; None for an object with one frame.
    """

    arrival: Arrival
    state: InstanceState
    reason: str = ""
    frames: Mapping[CaseId, int | None] = field(default_factory=dict)

    @property
    def is_kept(self) -> bool:
        """Whether its content is still needed: no case has its pixels."""
        return self.state != InstanceState.MEASURED and not self.frames


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a case comes from: the image in its archive, and its patient where the site keeps that."""

    reference: SourceReference
    identifiers: Identifiers


@dataclass(frozen=True, slots=True)
class Begun:
    """What is to be done with objects of the spool.

    Attributes:
        due: to be measured, with the number of the attempt.
        keep: keys of those that wait for a person.
        remove: keys of those that are finished.
    """

    due: tuple[tuple[Arrival, int], ...]
    keep: tuple[str, ...]
    remove: tuple[str, ...]
