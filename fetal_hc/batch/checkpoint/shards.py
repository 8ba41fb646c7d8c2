"""Shard files: finished results of consecutive jobs, written so that nothing but the last lines can be lost.

`part-000000000123.jsonl` holds job 123 and those after it, one line per job: the CRC-32 of the rest, a space, JSON. A
line reaches the operating system before the next one is begun, and the disk every few seconds. A process killed at any
moment loses no finished line, a power failure the last seconds; whatever follows the last whole line is ignored, and
the jobs it would have held are done again. Nothing that was written is ever changed.

`part-000000000123.parquet` is written as a whole by `fetal_hc.batch.checkpoint.parquet_shards`.
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

from fetal_hc.batch.checkpoint.job_results import TaskResult, from_record, to_record
from fetal_hc.batch.checkpoint.parquet_shards import read_parquet_part
from fetal_hc.errors import FetalHCError
from fetal_hc.io.storage import FileStamp, join_location

PREFIX = "part-"
LINES_SUFFIX = ".jsonl"
PARQUET_SUFFIX = ".parquet"
JOBS_PER_PART = 5000
SECONDS_BETWEEN_SYNCS = 2.0


@dataclass(frozen=True, slots=True)
class Shard:
    """A part file and the jobs it holds.

    Attributes:
        location: path or URL.
        first: number of its first job.
        n_jobs: how many jobs in a row it holds.
        n_rows: how many rows these have.
        last_read: the last of their files that could be read.
    """

    location: str
    first: int
    n_jobs: int = 0
    n_rows: int = 0
    last_read: str | None = None


def part_name(first: int, suffix: str) -> str:
    """File name of the part that begins with job `first`."""
    return f"{PREFIX}{first:012d}{suffix}"


class ShardWriter:
    """Appends results to part files of a local folder; a new file begins where jobs are left out, and now and then.

    Attributes:
        n_written: results appended so far.
    """

    def __init__(self, folder: Path) -> None:
        self.n_written = 0
        self._folder = folder
        self._descriptor: int | None = None
        self._path = folder
        self._next_index = -1
        self._n_in_part = 0
        self._synced_at = time.monotonic()

    def append(self, result: TaskResult) -> None:
        """Hands a result to the operating system.

        Raises:
            FetalHCError: if it cannot be written.
        """
        try:
            if self._descriptor is None or result.index != self._next_index or self._n_in_part >= JOBS_PER_PART:
                self._begin(result.index)
            _write_all(self._descriptor, _to_line(result))
            if time.monotonic() - self._synced_at > SECONDS_BETWEEN_SYNCS:
                self._sync()
        except OSError as error:
            raise _unwritable(self._path, error) from error
        self._next_index = result.index + 1
        self._n_in_part += 1
        self.n_written += 1

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
        """Starts the part whose first job is `first`; a file of this name holds no whole line."""
        self._end()
        self._path = self._folder / part_name(first, LINES_SUFFIX)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
        self._n_in_part = 0
        sync_folder(self._folder)

    def _sync(self) -> None:
        if self._descriptor is not None:
            os.fsync(self._descriptor)
        self._synced_at = time.monotonic()

    def _end(self) -> None:
        """Syncs and closes the open part."""
        descriptor = self._descriptor
        try:
            self._sync()
        finally:
            self._descriptor = None
            if descriptor is not None:
                os.close(descriptor)


def read_lines_part(path: Path, first: int) -> Iterator[TaskResult]:
    """The results in a part of lines, up to the first line that is not whole.

    Args:
        path: the file.
        first: number of its first job.

    Raises:
        FetalHCError: if it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            for index, line in enumerate(stream, start=first):
                result = _from_line(line)
                if result is None or result.index != index:
                    return
                yield result
    except OSError as error:
        raise FetalHCError(f"{path}: cannot be read ({error.strerror}); check the disk and its permissions") from error


def read_shard(part: Shard) -> Iterator[TaskResult]:
    """The results in a part of either kind.

    Raises:
        FetalHCError: if it cannot be read.
    """
    if part.location.endswith(LINES_SUFFIX):
        return read_lines_part(Path(part.location), part.first)
    return read_parquet_part(part.location)


def missing_ranges(parts: Sequence[Shard], n_jobs: int) -> list[range]:
    """The jobs that no part holds, as ranges in ascending order.

    Args:
        parts: in the order of their first jobs, without overlap.
        n_jobs: number of all jobs.
    """
    edges = [0, *(edge for part in parts for edge in (part.first, part.first + part.n_jobs)), n_jobs]
    return [range(begin, end) for begin, end in zip(edges[::2], edges[1::2], strict=True) if begin < end]


def from_file_name(folder: str, name: str) -> Shard | None:
    """The part of that file name, which was not looked into; None if it is no part."""
    stem, dot, extension = name.partition(".")
    number = stem.removeprefix(PREFIX)
    if not stem.startswith(PREFIX) or not number.isdecimal() or dot + extension not in (LINES_SUFFIX, PARQUET_SUFFIX):
        return None
    return Shard(join_location(folder, name), int(number))


def read_extent(part: Shard, visit: Callable[[TaskResult], None]) -> Shard:
    """A part with its extent, after `visit` saw each of its results.

    Raises:
        FetalHCError: if it cannot be read.
    """
    n_jobs, n_rows, last_read = 0, 0, None
    for result in read_shard(part):
        visit(result)
        n_jobs += 1
        n_rows += len(result.rows)
        last_read = last_read if result.stamp is None else result.path
    return replace(part, n_jobs=n_jobs, n_rows=n_rows, last_read=last_read)


def sync_folder(folder: Path) -> None:
    """Brings the names in a folder to the disk, where the system can do that."""
    with suppress(OSError):  # folders cannot be opened on some systems
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write_all(descriptor: int | None, data: bytes) -> None:
    """Writes all of `data`; a full disk takes a part of it first and refuses the rest.

    Raises:
        OSError: if it cannot be written.
    """
    if descriptor is None:
        raise RuntimeError("no part file is open")
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _to_line(result: TaskResult) -> bytes:
    content: dict[str, Any] = {"job": result.index, "path": result.path}
    if result.stamp is not None:
        content["stamp"] = [result.stamp.size_bytes, result.stamp.mtime_ns]
    content["rows"] = [to_record(row) for row in result.rows]
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _from_line(line: bytes) -> TaskResult | None:
    """The result in a line; None if the line is not whole."""
    checksum, _, text = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    content = json.loads(text)
    stamp = FileStamp(*content["stamp"]) if "stamp" in content else None
    return TaskResult(content["job"], content["path"], stamp, tuple(from_record(fields) for fields in content["rows"]))


def _unwritable(path: Path, error: OSError) -> FetalHCError:
    return FetalHCError(
        f"{path}: cannot be written ({error.strerror}); expected a folder with free space; free some space or "
        "correct its permissions"
    )
