"""The queue of reports to send: an SQLite file that survives restarts, encrypted by a key from the environment.

A report leads back to its patient by the UIDs of its study, so nothing is queued unless the site has set the key.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pydicom
from cryptography.fernet import Fernet, InvalidToken
from pydicom.dataset import Dataset
from sqlalchemy import Column, Integer, LargeBinary, MetaData, String, Table, Text, func, insert, select, update

from fetal_hc.errors import ConfigError
from hc18.pacs.archive import Archive, ArchiveError, deliver
from hc18.reviews.canonical import to_utc_text
from hc18.reviews.database import connect, reading, to_url, writing
from hc18.reviews.store import now_utc

KEY_VARIABLE = "FETAL_HC_PACS_KEY"
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
)


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """How many objects wait, and how many the archive has confirmed."""

    waiting: int
    sent: int


class Outbox:
    """Objects on their way to archives. Objects that are sent leave only their hash behind."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = now_utc) -> None:
        self._cipher, self._clock = _cipher(), clock
        self._engine = connect(to_url(str(path)))
        with writing(self._engine) as connection:
            _METADATA.create_all(connection)

    def close(self) -> None:
        """Releases the file."""
        self._engine.dispose()

    def add(self, archive: Archive, content: bytes) -> bool:
        """Queues the content of a DICOM file; False if the same object was queued for this archive before."""
        uid = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True).SOPInstanceUID
        key = hashlib.sha256(f"{archive.name}|{uid}".encode()).hexdigest()
        row = {
            "key": key,
            "archive": archive.name,
            "content": self._cipher.encrypt(content),
            "state": "waiting",
            "attempts": 0,
            "reason": "",
            "next_try_utc": to_utc_text(self._clock()),
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
            select(_OUTBOX)
            .where(_OUTBOX.c.archive == archive.name, _OUTBOX.c.state == "waiting")
            .where(_OUTBOX.c.next_try_utc <= to_utc_text(self._clock()))
            .order_by(_OUTBOX.c.id)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(due).all()
        for row in rows:
            dataset = self._decrypt(row.content)
            if not self._claim(row.id, row.attempts):
                continue
            changes = self._attempt(archive, dataset, row.attempts + 1)
            with writing(self._engine) as connection:
                connection.execute(update(_OUTBOX).where(_OUTBOX.c.id == row.id).values(changes))
        return self.counts()

    def counts(self) -> OutboxCounts:
        """How the queue stands."""
        with reading(self._engine) as connection:
            found = connection.execute(select(_OUTBOX.c.state, func.count()).group_by(_OUTBOX.c.state)).all()
        numbers = {row[0]: row[1] for row in found}
        return OutboxCounts(numbers.get("waiting", 0), numbers.get("sent", 0))

    def reasons(self) -> list[str]:
        """Why objects still wait, oldest first; empty texts have not been tried."""
        with reading(self._engine) as connection:
            waiting = select(_OUTBOX.c.reason).where(_OUTBOX.c.state == "waiting").order_by(_OUTBOX.c.id)
            return list(connection.execute(waiting).scalars())

    def _claim(self, row_id: int, attempts: int) -> bool:
        """Takes an object for this process; False if another process has taken it meanwhile."""
        free = (_OUTBOX.c.id == row_id) & (_OUTBOX.c.attempts == attempts) & (_OUTBOX.c.state == "waiting")
        values = {"attempts": attempts + 1, "next_try_utc": to_utc_text(self._clock() + _CLAIM)}
        with writing(self._engine) as connection:
            return connection.execute(update(_OUTBOX).where(free).values(values)).rowcount == 1

    def _attempt(self, archive: Archive, dataset: Dataset, attempts: int) -> dict[str, object]:
        try:
            deliver(archive, dataset)
        except ArchiveError as error:
            wait = min(_FIRST_WAIT * 2 ** min(attempts - 1, 16), _LONGEST_WAIT)
            return {"reason": str(error), "next_try_utc": to_utc_text(self._clock() + wait)}
        return {"reason": "", "state": "sent", "content": b""}

    def _decrypt(self, content: bytes) -> Dataset:
        try:
            return pydicom.dcmread(io.BytesIO(self._cipher.decrypt(content)))
        except InvalidToken:
            raise ConfigError(f"{KEY_VARIABLE} is not the key that this queue was written with; set that key") from None


def _cipher() -> Fernet:
    key = os.environ.get(KEY_VARIABLE, "")
    remedy = "make one with Fernet.generate_key() of the library cryptography and keep it outside this machine too"
    if not key:
        raise ConfigError(f"{KEY_VARIABLE} is not set, so nothing may be queued for an archive; {remedy}")
    try:
        return Fernet(key)
    except ValueError:
        raise ConfigError(f"{KEY_VARIABLE} is not a Fernet key; {remedy}") from None
