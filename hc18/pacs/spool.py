"""The spool: received DICOM files, encrypted on the disk until they are measured.

A file is named by keyed hashes of its SOP Instance UID and of its content, so the same object arrives at the same
place, and another content under the same UID at another one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from fetal_hc.errors import ConfigError, FetalHCError
from fetal_hc.io.atomic import is_temporary_name, write_bytes_atomic
from hc18.pacs.vault import Vault
from hc18.reviews.canonical import from_utc_text, to_utc_text

_HALF = 32  # hexadecimal digits of each hash in a name
_SUFFIX = ".enc"
_MEGABYTE = 1024 * 1024


class SpoolFull(FetalHCError):
    """No room for another file now; the sender has to come back later."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A received file.

    Attributes:
        key: its name in the spool.
        sender: AE title or archive that it came from.
        received_at: when.
        content: of the DICOM file.
    """

    key: str
    sender: str
    received_at: datetime
    content: bytes


def key_of(vault: Vault, sop_instance_uid: str, content: bytes) -> str:
    """The name of an object in the spool.

    Args:
        vault: that holds the key.
        sop_instance_uid: of the object.
        content: what tells it from another object with the same UID.
    """
    uid, of_content = vault.fingerprint(sop_instance_uid.encode()), vault.fingerprint(content)
    return f"{uid[:_HALF]}-{of_content[:_HALF]}"


def uid_part(key: str) -> str:
    """The part of a name that all contents under one UID share."""
    return key[:_HALF]


class Spool:
    """Files that wait for their measurement (folder `arrived`), and those kept for a person (folder `kept`).

    Args:
        folder: of the spool; created for its owner alone.
        vault: encrypts the files.
        most_waiting: files that may wait for their measurement.
        keep_free_mb: space on the disk that must stay free.

    Raises:
        ConfigError: if the folder cannot be created.
    """

    def __init__(self, folder: Path, vault: Vault, *, most_waiting: int = 2000, keep_free_mb: int = 1000) -> None:
        self._vault, self._most_waiting, self._keep_free_mb = vault, most_waiting, keep_free_mb
        self._arrived, self._kept, self._folder = folder / "arrived", folder / "kept", folder
        try:
            for each in (self._arrived, self._kept):
                each.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.chmod(0o700)
        except OSError as error:
            raise ConfigError(
                f"{folder}: cannot be created ({error.strerror}); expected a writable folder; change `folder` in the "
                "site's settings"
            ) from error

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Within the block no other process may receive into this spool; leftovers of a killed one are removed.

        Raises:
            ConfigError: if another process has it.
        """
        with (self._folder / "lock").open("w") as lock:
            try:
                flock(lock, LOCK_EX | LOCK_NB)
            except OSError:
                raise ConfigError(f"{self._folder}: another receiver uses this folder; stop it first") from None
            for each in (self._arrived, self._kept):
                for leftover in each.iterdir():
                    if is_temporary_name(leftover.name):
                        leftover.unlink(missing_ok=True)
            yield

    def put(self, key: str, sender: str, received_at: datetime, content: bytes) -> None:
        """Stores a file; when this returns, it is on the disk. A file that is there already stays as it is.

        Raises:
            SpoolFull: if too many files wait, or the disk has no room.
        """
        target = self._arrived / f"{key}{_SUFFIX}"
        if target.exists() or (self._kept / target.name).exists():
            return
        if len(self.waiting()) >= self._most_waiting:
            raise SpoolFull(f"{self._most_waiting} images wait for their measurement; send it again later")
        free_mb = shutil.disk_usage(self._folder).free // _MEGABYTE
        if free_mb < self._keep_free_mb:
            raise SpoolFull(f"only {free_mb} MB are free on the disk of the spool; make room and send it again")
        header = json.dumps({"sender": sender, "received_at_utc": to_utc_text(received_at)}).encode()
        try:
            write_bytes_atomic(target, self._vault.encrypt(header + b"\n" + content))
            _flush(self._arrived)
        except (FetalHCError, OSError) as error:
            raise SpoolFull("the disk of the spool takes no more; make room and send it again") from error

    def waiting(self) -> list[str]:
        """The names of the files that wait for their measurement, the oldest first."""
        with os.scandir(self._arrived) as entries:
            found = []
            for entry in entries:
                if entry.name.endswith(_SUFFIX) and not is_temporary_name(entry.name):
                    try:
                        found.append((entry.stat().st_mtime_ns, entry.name.removesuffix(_SUFFIX)))
                    except FileNotFoundError:  # measured just now
                        continue
        return [key for _, key in sorted(found)]

    def read(self, key: str) -> Arrival | None:
        """A file of the spool; None if it is not there.

        Raises:
            ConfigError: if it was written with another key, or is damaged.
        """
        for folder in (self._arrived, self._kept):
            try:
                encrypted = (folder / f"{key}{_SUFFIX}").read_bytes()
            except FileNotFoundError:
                continue
            header, _, content = self._vault.decrypt(encrypted).partition(b"\n")
            values = json.loads(header)
            return Arrival(key, values["sender"], from_utc_text(values["received_at_utc"]), content)
        return None

    def keep(self, key: str) -> None:
        """Moves a file to those kept for a person, where it does not hold up others."""
        source = self._arrived / f"{key}{_SUFFIX}"
        if source.exists():
            source.replace(self._kept / source.name)
            _flush(self._kept)

    def remove(self, key: str) -> None:
        """Removes a file that is not needed any more."""
        for folder in (self._arrived, self._kept):
            (folder / f"{key}{_SUFFIX}").unlink(missing_ok=True)


def _flush(folder: Path) -> None:
    """Makes sure that the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
