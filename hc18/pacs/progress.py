"""How far everything is that arrived or goes back: from the object that came to the report that an archive has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from hc18.pacs.inbox import Inbox
from hc18.pacs.inbox_tables import InstanceRow, InstanceState
from hc18.pacs.outbox import Outbox, OutboxRow, OutboxState
from hc18.reviews.models import CaseId, Decision
from hc18.reviews.store import ReviewStore
from hc18.reviews.worklist import CaseStage, read_stages


class Stage(StrEnum):
    """Where an image is on its way."""

    ARRIVED = "arrived"  # and is not measured yet
    WAITS = "waits"  # for a person who prepares it
    UNREADABLE = "unreadable"
    MEASURED = "measured"  # and nobody has decided
    DECIDED = "decided"  # and nobody has signed
    SIGNED = "signed"  # and nothing goes back, or not yet
    SENDING = "sending"
    SENT = "sent"
    NOT_SENT = "not sent"  # tried for too long


FAILED = (Stage.UNREADABLE, Stage.NOT_SENT)


@dataclass(frozen=True, slots=True)
class WorkItem:
    """An image on its way.

    Attributes:
        stage: where it is.
        received_at: when it came; None for a case of no archive.
        sender: that it came from.
        key: of the object in the inbox; empty for a case of no archive.
        case: that it became; None while there is none.
        reason: why it waits or failed; empty otherwise.
        reports: what goes back for it.
    """

    stage: Stage
    received_at: datetime | None
    sender: str
    key: str
    case: CaseStage | None
    reason: str = ""
    reports: tuple[OutboxRow, ...] = ()

    @property
    def failed_reports(self) -> tuple[int, ...]:
        """The reports that are tried again only when a person says so."""
        return tuple(row.id for row in self.reports if row.state is OutboxState.FAILED)

    @property
    def can_be_tried_again(self) -> bool:
        """Whether a person can have it tried again."""
        return bool(self.failed_reports) or self.stage in (Stage.UNREADABLE, Stage.WAITS)


def list_work(inbox: Inbox, outbox: Outbox, store: ReviewStore) -> list[WorkItem]:
    """Everything that arrived, one item for each case of an object, the newest first; then other cases with reports.

    Raises:
        StoreError: if a database cannot be read.
    """
    instances, reports, returned = inbox.rows(), _by_case(outbox.rows()), inbox.returned()
    linked = [case_id for row in instances for case_id in row.case_ids]
    with store.reader() as connection:
        cases = read_stages(connection, sorted({*linked, *reports}))
    known = _Known(cases, reports, returned)
    items = [item for row in instances for item in _items_of(row, known)]
    others = sorted(set(reports) - set(linked), reverse=True)
    return items + [known.item_of(case_id, None) for case_id in others if case_id in cases]


@dataclass(frozen=True, slots=True)
class _Known:
    """Cases, their reports, and the revision for which reports were queued with the reason why there are none."""

    cases: dict[CaseId, CaseStage]
    reports: dict[CaseId, list[OutboxRow]]
    returned: dict[CaseId, tuple[int, str]] = field(default_factory=dict)

    def item_of(self, case_id: CaseId, row: InstanceRow | None) -> WorkItem:
        """A case, and the object that it comes from."""
        case, reports = self.cases[case_id], self.reports.get(case_id, [])
        revision, why_none = self.returned.get(case_id, (0, ""))
        stage, reason = Stage.SIGNED, why_none
        if not case.is_signed:
            stage, reason = Stage.MEASURED if case.decision is Decision.UNREVIEWED else Stage.DECIDED, ""
        elif reports and (row is None or revision == case.revision):
            stage = _stage_of(reports)
            reason = next((one.reason for one in reports if one.reason), why_none)
        at, sender, key = (None, "", "") if row is None else (row.received_at, row.sender, row.key)
        return WorkItem(stage, at, sender, key, case, reason, tuple(reports))


def _items_of(row: InstanceRow, known: _Known) -> Iterable[WorkItem]:
    """The cases of an object; the object itself while it has none, or something of it still waits."""
    own = [known.item_of(case_id, row) for case_id in row.case_ids if case_id in known.cases]
    stage = {
        InstanceState.RECEIVED: Stage.ARRIVED,
        InstanceState.WAITS: Stage.WAITS,
        InstanceState.FAILED: Stage.UNREADABLE,
        InstanceState.MEASURED: Stage.MEASURED,
    }[row.state]
    if not own or row.state in (InstanceState.WAITS, InstanceState.FAILED):
        own.insert(0, WorkItem(stage, row.received_at, row.sender, row.key, None, row.reason))
    return own


def _stage_of(reports: Sequence[OutboxRow]) -> Stage:
    states = {row.state for row in reports}
    if OutboxState.FAILED in states:
        return Stage.NOT_SENT
    return Stage.SENDING if OutboxState.WAITING in states else Stage.SENT


def _by_case(rows: Iterable[OutboxRow]) -> dict[CaseId, list[OutboxRow]]:
    found: dict[CaseId, list[OutboxRow]] = {}
    for row in rows:
        found.setdefault(CaseId(row.case_id), []).append(row)
    return found
