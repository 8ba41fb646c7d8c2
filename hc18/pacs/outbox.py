"""The queue of reports to send: an SQLite file that survives restarts, encrypted by a key from the environment.

A report leads back to its patient by the UIDs of its study, so nothing is queued unless the site has set the key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    func,
    insert,
    select,
    update,
)

from hc18.pacs.archive import Archive, deliver
from hc18.pacs.vault import Vault
from hc18.pacs.web import ArchiveError
from hc18.reviews.canonical import from_utc_text, to_utc_text
from hc18.reviews.database import connect, reading, to_url, writing
from hc18.reviews.store import now_utc

OUTBOX_NAME = "outbox.db"  # in the folder of the site
MOST_ATTEMPTS = 12  # about three hours
_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=1)
_CLAIM = timedelta(minutes=5)  # longer than one attempt; after a crash the object is tried again then

_METADATA = MetaData()
_OUTBOX = Table(
    "outbox",
    _METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("key", String(64), nullable=False, unique=True),
    Column("archive", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("state", String(8), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("next_try_utc", String(32), nullable=False),
    Column("case_id", BigInteger, nullable=False),
    Column("kind", String(32), nullable=False),
)


class OutboxState(StrEnum):
    """Where an object is on its way."""

    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """How many objects wait, how many the archive has confirmed, and how many need a person."""

    waiting: int
    sent: int
    failed: int = 0


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An object on its way, for the page that lists them.

    Attributes:
        id: by which it is tried again.
        archive: where it goes.
        state: where it is.
        attempts: so far.
        reason: of the last failure; empty without one.
        next_try_at: when it is tried again; matters only while it waits.
        case_id: of the review store; 0 if it belongs to none.
        kind: what it is, such as "tid5000".
    """

    id: int
    archive: str
    state: OutboxState
    attempts: int
    reason: str
    next_try_at: datetime
    case_id: int
    kind: str


class Outbox:
    """Objects on their way to archives. Objects that are sent leave only their fingerprint behind.

    Args:
        path: of the SQLite file.
        most_attempts: after so many failures an object waits for a person.
        clock: gives the time now.

    Raises:
        ConfigError: if no key is set.
    """

    def __init__(
        self, path: Path, *, most_attempts: int = MOST_ATTEMPTS, clock: Callable[[], datetime] = now_utc
    ) -> None:
        self._vault, self._clock, self._most_attempts = Vault(), clock, most_attempts
        self._engine = connect(to_url(str(path)))
        with writing(self._engine) as connection:
            _METADATA.create_all(connection)

    def close(self) -> None:
        """Releases the file."""
        self._engine.dispose()

    def add(self, archive: Archive, content: bytes, *, case_id: int = 0, kind: str = "") -> bool:
        """Queues the content of a file; False if the same object was queued for this archive before.

        Args:
            archive: where it goes.
            content: of the file.
            case_id: of the review store, for the page that lists the queue.
            kind: what it is, for that page.
        """
        key = self._vault.fingerprint(f"{archive.name}|{archive.identify(content)}".encode())
        row = {
            "key": key,
            "archive": archive.name,
            "content": self._vault.encrypt(content),
            "state": OutboxState.WAITING.value,
            "attempts": 0,
            "reason": "",
            "next_try_utc": to_utc_text(self._clock()),
            "case_id": case_id,
            "kind": kind,
        }
        with writing(self._engine) as connection:
            if connection.execute(select(_OUTBOX.c.id).where(_OUTBOX.c.key == key)).first() is not None:
                return False
            connection.execute(insert(_OUTBOX).values(row))
        return True

    def send_due(self, archive: Archive) -> OutboxCounts:
        """Tries everything that is due for an archive once; what fails waits twice as long each time, with a reason.

        Raises:
            ConfigError: if the key is not the one that an object was queued with.
        """
        due = (
            select(_OUTBOX.c.id, _OUTBOX.c.attempts, _OUTBOX.c.next_try_utc)
            .where(_OUTBOX.c.archive == archive.name, _OUTBOX.c.state == OutboxState.WAITING.value)
            .where(_OUTBOX.c.next_try_utc <= to_utc_text(self._clock()))
            .order_by(_OUTBOX.c.id)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(due).all()
        for row in rows:
            content = self._claim(row.id, row.next_try_utc)
            if content is None:
                continue
            changes = self._attempt(archive, content, row.attempts + 1)
            with writing(self._engine) as connection:
                connection.execute(update(_OUTBOX).where(_OUTBOX.c.id == row.id).values(changes))
        return self.counts()

    def release(self) -> None:
        """Makes everything that waits due at once: for the process that alone sends, when it starts.

        What another one had begun to send when it was killed would wait longer otherwise.
        """
        waiting = update(_OUTBOX).where(_OUTBOX.c.state == OutboxState.WAITING.value)
        with writing(self._engine) as connection:
            connection.execute(waiting.values(next_try_utc=to_utc_text(self._clock())))

    def counts(self) -> OutboxCounts:
        """How the queue stands."""
        with reading(self._engine) as connection:
            found = connection.execute(select(_OUTBOX.c.state, func.count()).group_by(_OUTBOX.c.state)).all()
        numbers = {row[0]: row[1] for row in found}
        return OutboxCounts(*(numbers.get(state.value, 0) for state in OutboxState))

    def rows(self) -> list[OutboxRow]:
        """Everything that was ever queued, newest first."""
        columns = [column for column in _OUTBOX.c if column.name not in ("key", "content")]
        with reading(self._engine) as connection:
            found = connection.execute(select(*columns).order_by(_OUTBOX.c.id.desc())).all()
        return [
            OutboxRow(
                row.id, row.archive, OutboxState(row.state), row.attempts, row.reason,
                from_utc_text(row.next_try_utc), row.case_id, row.kind,
            )
            for row in found
        ]  # fmt: skip

    def retry(self, row_id: int) -> None:
        """Tries an object again that failed for good, from now on with all attempts."""
        failed = (_OUTBOX.c.id == row_id) & (_OUTBOX.c.state == OutboxState.FAILED.value)
        values = {"state": OutboxState.WAITING.value, "attempts": 0, "next_try_utc": to_utc_text(self._clock())}
        with writing(self._engine) as connection:
            connection.execute(update(_OUTBOX).where(failed).values(values))

    def _claim(self, row_id: int, next_try_utc: str) -> bytes | None:
        """Takes an object for this process and returns its content; None if another process has taken it meanwhile.

        Raises:
            ConfigError: if the key is not the one that it was queued with; it is then left as it is.
        """
        free = (_OUTBOX.c.id == row_id) & (_OUTBOX.c.next_try_utc == next_try_utc)
        free &= _OUTBOX.c.state == OutboxState.WAITING.value
        values = {"next_try_utc": to_utc_text(self._clock() + _CLAIM)}
        with writing(self._engine) as connection:
            encrypted = connection.execute(select(_OUTBOX.c.content).where(free)).scalar_one_or_none()
            if encrypted is None:
                return None
            content = self._vault.decrypt(encrypted)
            connection.execute(update(_OUTBOX).where(free).values(values))
        return content

    def _attempt(self, archive: Archive, content: bytes, attempts: int) -> dict[str, object]:
        try:
            deliver(archive, content)
        except ArchiveError as error:
            if attempts >= self._most_attempts:
                return {"attempts": attempts, "reason": str(error), "state": OutboxState.FAILED.value}
            wait = min(_FIRST_WAIT * 2 ** min(attempts - 1, 16), _LONGEST_WAIT)
            return {"attempts": attempts, "reason": str(error), "next_try_utc": to_utc_text(self._clock() + wait)}
        return {"attempts": attempts, "reason": "", "state": OutboxState.SENT.value, "content": b""}
