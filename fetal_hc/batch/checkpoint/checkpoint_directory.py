"""The checkpoint directory of a batch: what it is made of and how (`batch.json`), and what is done (shards)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeGuard

from fetal_hc.batch.checkpoint.shards import (
    LINES_SUFFIX,
    PARQUET_SUFFIX,
    Shard,
    from_file_name,
    read_extent,
    sync_folder,
)
from fetal_hc.batch.summary import MessageLog
from fetal_hc.batch.tasks import TaskResult
from fetal_hc.errors import ConfigError, DatasetError, FetalHCError, raise_problems
from fetal_hc.io.atomic import is_temporary_name
from fetal_hc.io.columns import ColumnTable
from fetal_hc.io.documents import parse_json
from fetal_hc.io.storage import (
    file_stamp,
    is_url,
    join_location,
    list_names,
    read_whole_file,
    remove_file,
    write_whole_file,
)

HEADER_NAME = "batch.json"
LOCK_NAME = "lock"
MODEL_NAME = "model"  # this and the following: of batches on several machines
SCRATCH_PREFIXES = ("tasks-", "attempt-")
FOLDER_SUFFIX = ".parts"
FINISHED_SUFFIX = ".done"
FORMAT = 2
_NAMES_OF_FORMAT_1 = ("part-", "jobs-")
_MAX_HEADER_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Header:
    """The content of `batch.json`.

    Attributes:
        settings: what decides the results: texts by name.
        outcome: what became of the batch, as JSON values; None while its result files are not complete.
    """

    settings: dict[str, str]
    outcome: dict[str, Any] | None = None


class CheckpointDirectory:
    """The state of a batch on disk. It exists from the first result until the result files do.

    Attributes:
        location: path or URL of the folder.
    """

    def __init__(self, location: str, table: ColumnTable[Any]) -> None:
        self.location = location
        self._table = table
        self._finished = None if is_url(location) else location.rstrip("/") + FINISHED_SUFFIX

    def read_header(self) -> Header | None:
        """What the unfinished batch is made of; None if there is no unfinished batch.

        Raises:
            DatasetError: if it cannot be read.
            ConfigError: if another version of this program began it.
        """
        for location in filter(None, (self._file(HEADER_NAME), self._finished)):
            data = read_whole_file(location)
            if data is not None:
                return self._parse_header(location, data)
        return None

    def create(self, settings: Mapping[str, str]) -> None:
        """Begins a batch, in place of what an earlier one left.

        Raises:
            FetalHCError: if the folder cannot be written.
        """
        self.discard()
        self._write_header({"format": FORMAT, "settings": dict(settings)})

    def check_settings(self, settings: Mapping[str, str], before: Mapping[str, str]) -> None:
        """Returns if a batch can be continued with these settings.

        Raises:
            ConfigError: listing every difference.
        """
        problems = [
            f"{name}: {before.get(name, 'nothing')} in the unfinished batch, {settings.get(name, 'nothing')} now"
            for name in dict.fromkeys([*before, *settings])
            if before.get(name) != settings.get(name)
        ]
        if problems:
            raise_problems(
                ConfigError,
                problems,
                f"{self.location} cannot be continued; resume it with what it was begun with, or start again with "
                "--overwrite and without --resume",
            )

    def list_shards(self) -> list[Shard]:
        """The shards in the order of their tasks, without their extents."""
        shards = (from_file_name(self.location, name) for name in list_names(self.location))
        return sorted((shard for shard in shards if shard is not None), key=lambda shard: shard.first)

    def find_shards(self) -> list[Shard]:
        """The shards that have results, in the order of their tasks.

        Raises:
            DatasetError: listing image files that were changed since they were processed.
            FetalHCError: if a shard cannot be read.
        """
        changed = MessageLog()

        def check(result: TaskResult[Any]) -> None:
            if result.path is None or result.stamp is None or not result.stamp.mtime_ns:
                return
            now = file_stamp(result.path)
            if now is not None and now != result.stamp:
                changed.add(f"{result.path}: was changed after it was measured")

        shards = [read_extent(shard, self._table, check) for shard in self.list_shards()]
        if changed.count:
            remedy = "put the files back, or start again with --overwrite and without --resume"
            lines = [f"{self.location} cannot be continued; {remedy}", *changed.to_lines("  - ")]
            raise DatasetError("\n".join(lines))
        return [shard for shard in shards if shard.n_tasks]

    def count_tasks(self) -> int:
        """How many tasks have results at this moment.

        Raises:
            FetalHCError: if a shard cannot be read.
        """
        return sum(read_extent(shard, self._table, lambda _: None).n_tasks for shard in self.list_shards())

    def is_there(self) -> bool:
        """Whether the folder still has its header."""
        try:
            return read_whole_file(self._file(HEADER_NAME)) is not None
        except DatasetError:
            return False

    def absolute_location(self) -> str:
        """The location as other machines may call it."""
        return self.location if is_url(self.location) else str(Path(self.location).absolute())

    def clear_scratch(self) -> None:
        """Removes what helps to make shards: files of a run on several machines, and unfinished temporary files."""
        for name in list_names(self.location):
            if _is_scratch(name) or is_temporary_name(name) or _is_of_format_1(name):
                remove_file(self._file(name))

    def discard(self) -> None:
        """Removes what belongs to a batch, `batch.json` first: shards without it are not used."""
        remove_file(self._file(HEADER_NAME))
        if self._finished is not None:
            remove_file(self._finished)
        self._clear()

    def finish(self, settings: Mapping[str, str], outcome: Mapping[str, Any]) -> None:
        """Notes that the result files are complete, so that only the tidying up is left to do.

        Raises:
            FetalHCError: if the folder cannot be written.
        """
        self._write_header({"format": FORMAT, "settings": dict(settings), "outcome": dict(outcome)})

    def restore(self, settings: Mapping[str, str]) -> None:
        """Takes back `finish`, for a batch whose result files are gone."""
        self._write_header({"format": FORMAT, "settings": dict(settings)})
        if self._finished is not None:
            remove_file(self._finished)

    def remove(self) -> None:
        """Removes the folder of a finished batch, unless somebody put other files there.

        A run that is killed on the way leaves the header, in the folder or next to it, for the next run to go on.

        Raises:
            FetalHCError: if that fails.
        """
        try:
            self._clear()
            if self._finished is None:
                remove_file(self._file(HEADER_NAME))
                return
            with suppress(FileNotFoundError):
                os.replace(self._file(HEADER_NAME), self._finished)  # noqa: PTH105  # both are texts
            remove_file(self._file(LOCK_NAME))
            if Path(self.location).is_dir() and not list_names(self.location):
                Path(self.location).rmdir()
            remove_file(self._finished)
        except OSError as error:
            raise FetalHCError(
                f"{self.location}: cannot be removed ({error.strerror}); the results are complete, remove it by hand"
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other runs out of a local folder while the block runs; the lock ends with the process, however it ends.

        Raises:
            FetalHCError: if another run is working in the folder, or it cannot be written.
        """
        if is_url(self.location):
            yield
            return
        folder = Path(self.location)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            sync_folder(folder.parent)
            stream = (folder / LOCK_NAME).open("ab")
        except OSError as error:
            raise FetalHCError(
                f"{folder}: cannot be written ({error.strerror}); expected a writable folder with free space; choose "
                "another output path"
            ) from error
        with stream:
            if not _lock(stream):
                raise FetalHCError(f"{folder}: another run is working on this batch; wait for it or stop it")
            yield

    def _file(self, name: str) -> str:
        return join_location(self.location, name)

    def _clear(self) -> None:
        """Removes all shards and scratch files."""
        for shard in self.list_shards():
            remove_file(shard.location)
        self.clear_scratch()

    def _write_header(self, content: Mapping[str, Any]) -> None:
        write_whole_file(self._file(HEADER_NAME), (json.dumps(content, indent=1) + "\n").encode())

    def _parse_header(self, location: str, data: bytes) -> Header:
        """The header in the content of its file.

        Raises:
            DatasetError: if it is damaged.
            ConfigError: if another version of this program wrote it.
        """
        try:
            content = parse_json(data.decode()) if len(data) <= _MAX_HEADER_BYTES else None
        except ValueError:
            content = None
        if isinstance(content, dict) and content.get("format", 1) != FORMAT:
            raise ConfigError(
                f"{self.location}: has an unfinished batch of another version of this program; finish it with that "
                "version, or start again with --overwrite and without --resume"
            )
        settings, outcome = (content["settings"], content.get("outcome")) if _is_valid(content) else (None, None)
        if settings is None:
            raise DatasetError(
                f"{location}: is damaged; expected the settings of an unfinished batch; start again with --overwrite "
                "and without --resume"
            )
        return Header(settings, outcome)


def _lock(stream: IO[bytes]) -> bool:
    """Whether nobody else holds the file; True where there are no locks."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _is_valid(content: Any) -> TypeGuard[dict[str, Any]]:
    """Whether these JSON values are those of a header."""
    settings = content.get("settings") if isinstance(content, dict) else None
    has_texts = isinstance(settings, dict) and all(isinstance(value, str) for value in settings.values())
    return has_texts and isinstance(content.get("outcome"), dict | None)


def _is_scratch(name: str) -> bool:
    """Whether a run on several machines gives files such names."""
    return name == MODEL_NAME or name.startswith(SCRATCH_PREFIXES)


def _is_of_format_1(name: str) -> bool:
    """Whether an older version of this program wrote a file of this name."""
    return name.startswith(_NAMES_OF_FORMAT_1) and name.endswith((LINES_SUFFIX, PARQUET_SUFFIX, ".json"))
