"""Shards: files with the finished results of consecutive tasks, of which a crash can cost the last lines at most.

`shard-000000000123.jsonl` has the results of task 123 and those after it, one line per task: the CRC-32 of the rest, a
space, JSON. A line reaches the operating system before the next one is begun, and the disk every few seconds. A process
that is killed at any moment loses no finished line, a power failure those of the last seconds. Whatever follows the
last whole line is ignored, and its tasks are done again. Nothing that was written is ever changed.

`shard-000000000123.parquet` is written as a whole by `fetal_hc.batch.checkpoint.parquet_shards`.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fetal_hc.batch.checkpoint.parquet_shards import read_parquet_shard
from fetal_hc.batch.tasks import TaskResult
from fetal_hc.errors import FetalHCError
from fetal_hc.io.columns import ColumnTable
from fetal_hc.io.storage import FileStamp, join_location

PREFIX = "shard-"
LINES_SUFFIX = ".jsonl"
PARQUET_SUFFIX = ".parquet"
TASKS_PER_SHARD = 5000
SECONDS_BETWEEN_SYNCS = 2.0


class CheckpointGoneError(FetalHCError):
    """The checkpoint directory was deleted or moved while the batch was running."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A file of results and the tasks it has.

    Attributes:
        location: path or URL.
        first: number of its first task.
        n_tasks: how many tasks in a row it has.
        n_rows: how many rows these have.
        last_read: the last of their image files that could be read.
    """

    location: str
    first: int
    n_tasks: int = 0
    n_rows: int = 0
    last_read: str | None = None


def shard_name(first: int, suffix: str) -> str:
    """File name of the shard that begins with task `first`."""
    return f"{PREFIX}{first:012d}{suffix}"


class ShardWriter:
    """Appends results to shards in a local folder.

    A new shard begins where tasks are left out, and every few thousand tasks.
    """

    def __init__(self, folder: Path, table: ColumnTable[Any]) -> None:
        self._folder = folder
        self._table = table
        self._descriptor: int | None = None
        self._path = folder
        self._next_index = -1
        self._n_in_shard = 0
        self._synced_at = time.monotonic()

    def append(self, result: TaskResult[Any]) -> None:
        """Hands a result to the operating system.

        Raises:
            CheckpointGoneError: if somebody deleted or moved the folder or the shard.
            FetalHCError: if it cannot be written.
        """
        try:
            if self._descriptor is None or result.index != self._next_index or self._n_in_shard >= TASKS_PER_SHARD:
                self._begin(result.index)
            _write_all(self._descriptor, _to_line(result, self._table))
            if not _is_still_there(self._path, self._descriptor):
                raise _gone(self._path)
            if time.monotonic() - self._synced_at > SECONDS_BETWEEN_SYNCS:
                self._sync()
        except OSError as error:
            raise (_unwritable(self._path, error) if self._folder.is_dir() else _gone(self._path)) from error
        self._next_index = result.index + 1
        self._n_in_shard += 1

    def close(self) -> None:
        """Brings everything to the disk.

        Raises:
            FetalHCError: if that fails.
        """
        try:
            self._end()
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def _begin(self, first: int) -> None:
        """Starts the shard whose first task is `first`; an older file of this name has no whole line."""
        self._end()
        self._path = self._folder / shard_name(first, LINES_SUFFIX)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
        self._n_in_shard = 0
        sync_folder(self._folder)

    def _sync(self) -> None:
        if self._descriptor is not None:
            os.fsync(self._descriptor)
        self._synced_at = time.monotonic()

    def _end(self) -> None:
        """Syncs and closes the open shard."""
        descriptor = self._descriptor
        try:
            self._sync()
        finally:
            self._descriptor = None
            if descriptor is not None:
                os.close(descriptor)


def read_shard(shard: Shard, table: ColumnTable[Any]) -> Iterator[TaskResult[Any]]:
    """The results in a shard of either kind.

    Raises:
        FetalHCError: if it cannot be read.
    """
    if shard.location.endswith(LINES_SUFFIX):
        return _read_lines(Path(shard.location), shard.first, table)
    return read_parquet_shard(shard.location, table)


def missing_ranges(shards: Sequence[Shard], n_tasks: int) -> list[range]:
    """The tasks that no shard has, as ranges in ascending order.

    Args:
        shards: in the order of their first tasks, without overlap.
        n_tasks: number of all tasks.
    """
    edges = [0, *(edge for shard in shards for edge in (shard.first, shard.first + shard.n_tasks)), n_tasks]
    return [range(begin, end) for begin, end in zip(edges[::2], edges[1::2], strict=True) if begin < end]


def from_file_name(folder: str, name: str) -> Shard | None:
    """The shard of that file name, which was not looked into; None if it is another file."""
    stem, dot, extension = name.partition(".")
    number = stem.removeprefix(PREFIX)
    if not stem.startswith(PREFIX) or not number.isdecimal() or dot + extension not in (LINES_SUFFIX, PARQUET_SUFFIX):
        return None
    return Shard(join_location(folder, name), int(number))


def read_extent(shard: Shard, table: ColumnTable[Any], visit: Callable[[TaskResult[Any]], None]) -> Shard:
    """A shard with its extent, after `visit` saw each of its results.

    Raises:
        FetalHCError: if it cannot be read.
    """
    n_tasks, n_rows, last_read = 0, 0, None
    for result in read_shard(shard, table):
        visit(result)
        n_tasks += 1
        n_rows += len(result.rows)
        last_read = last_read if result.stamp is None else result.path
    return replace(shard, n_tasks=n_tasks, n_rows=n_rows, last_read=last_read)


def sync_folder(folder: Path) -> None:
    """Brings the names in a folder to the disk, where the system can do that."""
    with suppress(OSError):  # folders cannot be opened on some systems
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read_lines(path: Path, first: int, table: ColumnTable[Any]) -> Iterator[TaskResult[Any]]:
    """The results in a shard of lines, up to the first line that is not whole.

    Raises:
        FetalHCError: if it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            for index, line in enumerate(stream, start=first):
                result = _from_line(line, table)
                if result is None or result.index != index:
                    return
                yield result
    except OSError as error:
        raise FetalHCError(f"{path}: cannot be read ({error.strerror}); check the disk and its permissions") from error


def _write_all(descriptor: int | None, data: bytes) -> None:
    """Writes all of `data`; a full disk takes some of it first and refuses the rest.

    Raises:
        OSError: if it cannot be written.
    """
    if descriptor is None:
        raise RuntimeError("no shard is open")
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _is_still_there(path: Path, descriptor: int | None) -> bool:
    """Whether the open file can still be found under its name."""
    try:
        return descriptor is not None and os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


def _to_line(result: TaskResult[Any], table: ColumnTable[Any]) -> bytes:
    content: dict[str, Any] = {"task": result.index, "path": result.path}
    if result.stamp is not None:
        content["stamp"] = [result.stamp.size_bytes, result.stamp.mtime_ns]
    content["rows"] = [table.to_values(row) for row in result.rows]
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _from_line(line: bytes, table: ColumnTable[Any]) -> TaskResult[Any] | None:
    """The result in a line; None if the line is not whole."""
    checksum, _, text = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    content = json.loads(text)
    stamp = FileStamp(*content["stamp"]) if "stamp" in content else None
    rows = tuple(table.from_values(values) for values in content["rows"])
    return TaskResult(content["task"], content["path"], stamp, rows)


def _unwritable(path: Path, error: OSError) -> FetalHCError:
    return FetalHCError(
        f"{path}: cannot be written ({error.strerror}); expected a folder with free space; free some space or "
        "correct its permissions"
    )


def _gone(path: Path) -> FetalHCError:
    return CheckpointGoneError(
        f"{path}: was deleted or moved while the batch was running; expected nobody to change {path.parent}; put the "
        "folder back and continue with --resume, or start again"
    )
