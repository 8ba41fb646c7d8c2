"""Files that are either complete or absent: written next to the target, then renamed over it."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fetal_hc.errors import FetalHCError

_TEMPORARY_NAME = re.compile(r"\.(?P<stem>.*)\.(?P<pid>\d+)-[0-9a-f]{8}\.part(?P<suffix>\.[^.]*)?", re.DOTALL)
_STEM_LENGTH = 100


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a path to write to, which replaces `path` when the block ends without an error.

    The temporary file lies in the target's folder (so that the rename is atomic), keeps the target's suffix and is
    removed when the block fails. Data reaches the disk before the rename. Missing parent folders are created.

    Args:
        path: the final file.

    Raises:
        FetalHCError: if the folder cannot be created, or the file cannot be written or replaced.
    """
    target = Path(path)
    temporary = target.with_name(
        f".{target.stem[:_STEM_LENGTH]}.{os.getpid()}-{secrets.token_hex(4)}.part{target.suffix}"
    )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(None, "a folder has this name", str(target))
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        yield temporary
        _replace(temporary, target)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def is_temporary_name(name: str) -> bool:
    """Whether `atomic_path` gives such names to its temporary files."""
    return _TEMPORARY_NAME.fullmatch(name) is not None


def remove_stale_temporaries(path: str | os.PathLike[str]) -> None:
    """Removes temporary files of `path` that processes left which were killed while they wrote it.

    Args:
        path: the final file; the caller must know that nobody else is writing it.
    """
    target = Path(path)
    with suppress(OSError):  # a folder that cannot be listed is reported when the file is written
        for entry in list(target.parent.iterdir()):
            match = _TEMPORARY_NAME.fullmatch(entry.name)
            of_target = match and (match["stem"], match["suffix"] or "") == (target.stem[:_STEM_LENGTH], target.suffix)
            if match and of_target and int(match["pid"]) != os.getpid():
                entry.unlink(missing_ok=True)


def write_bytes_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes `data` to `path` as a whole or not at all.

    Raises:
        FetalHCError: if `path` cannot be written.
    """
    with atomic_path(path) as temporary:
        try:
            temporary.write_bytes(data)
        except OSError as error:
            raise _unwritable(Path(path), error) from error


def write_text_atomic(path: str | os.PathLike[str], text: str) -> None:
    """Writes `text` as UTF-8, with its line ends unchanged, to `path` as a whole or not at all.

    Raises:
        FetalHCError: if `path` cannot be written.
    """
    write_bytes_atomic(path, text.encode("utf-8"))


def _replace(temporary: Path, target: Path) -> None:
    """Flushes `temporary` to the disk and renames it to `target`."""
    try:
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(target)
    except OSError as error:
        raise _unwritable(target, error) from error


def _unwritable(target: Path, error: OSError) -> FetalHCError:
    """The error for a target that cannot be written."""
    reason = error.strerror or str(error)
    return FetalHCError(
        f"{target}: cannot be written ({reason}); expected a writable folder with free space; "
        "choose another output path or change its permissions"
    )
