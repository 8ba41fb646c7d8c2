"""The folder of an unfinished batch: what it measures and how (`batch.json`) and what is done (part files)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fetal_hc.batch.checkpoint.job_results import TaskResult
from fetal_hc.batch.checkpoint.shards import Shard, from_file_name, read_extent, sync_folder
from fetal_hc.batch.message_log import MessageLog
from fetal_hc.errors import ConfigError, DatasetError, FetalHCError, raise_problems
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
MODEL_NAME = "model.onnx"  # this and the following: of batches on several machines
SCRATCH_PREFIXES = ("jobs-", "attempt-", MODEL_NAME)
FOLDER_SUFFIX = ".parts"


class CheckpointDirectory:
    """The state of a batch on disk. It exists from the first result until the output files do.

    Attributes:
        location: path or URL of the folder.
    """

    def __init__(self, location: str) -> None:
        self.location = location

    def read_settings(self) -> dict[str, str] | None:
        """What the unfinished batch measures and how; None if there is no unfinished batch.

        Raises:
            DatasetError: if that cannot be read.
        """
        data = read_whole_file(self._file(HEADER_NAME))
        if data is None:
            return None
        try:
            settings = json.loads(data)
        except ValueError as error:
            raise DatasetError(
                f"{self._file(HEADER_NAME)}: is damaged ({error}); delete {self.location} and start anew"
            ) from error
        return {str(name): str(value) for name, value in settings.items()}

    def create(self, settings: Mapping[str, str]) -> None:
        """Begins a batch, in place of what an earlier one left.

        Raises:
            FetalHCError: if the folder cannot be written.
        """
        self.discard()
        text = json.dumps(settings, indent=1) + "\n"
        write_whole_file(self._file(HEADER_NAME), text.encode())

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
                f"{self.location} cannot be continued; resume it with what it was begun with, or start anew with "
                "--overwrite and without --resume",
            )

    def list_shards(self) -> list[Shard]:
        """The parts in the order of their jobs, without their extents."""
        parts = (from_file_name(self.location, name) for name in list_names(self.location))
        return sorted((part for part in parts if part is not None), key=lambda part: part.first)

    def find_shards(self) -> list[Shard]:
        """The parts that hold anything, in the order of their jobs.

        Raises:
            DatasetError: listing image files that were changed since they were measured.
            FetalHCError: if a part cannot be read.
        """
        changed = MessageLog()

        def check(result: TaskResult) -> None:
            if result.path is None or result.stamp is None or not result.stamp.mtime_ns:
                return
            now = file_stamp(result.path)
            if now is not None and now != result.stamp:
                changed.add(f"{result.path}: was changed after it was measured")

        parts = [read_extent(part, check) for part in self.list_shards()]
        if changed.count:
            remedy = "put the files back, or start anew with --overwrite and without --resume"
            lines = [f"{self.location} cannot be continued; {remedy}", *changed.to_lines("  - ")]
            raise DatasetError("\n".join(lines))
        return [part for part in parts if part.n_jobs]

    def absolute_location(self) -> str:
        """The location as other machines may call it."""
        return self.location if is_url(self.location) else str(Path(self.location).absolute())

    def clear_scratch(self) -> None:
        """Removes what a run on several machines left beside the parts."""
        for name in list_names(self.location):
            if name.startswith(SCRATCH_PREFIXES):
                remove_file(self._file(name))

    def discard(self) -> None:
        """Removes what belongs to a batch, `batch.json` first: what is left without it is known to be rubbish."""
        remove_file(self._file(HEADER_NAME))
        for part in self.list_shards():
            remove_file(part.location)
        self.clear_scratch()

    def remove(self) -> None:
        """Removes the folder, unless somebody put other files there.

        Raises:
            FetalHCError: if that fails.
        """
        try:
            self.discard()
            remove_file(self._file(LOCK_NAME))
            if not is_url(self.location) and not list_names(self.location) and Path(self.location).is_dir():
                Path(self.location).rmdir()
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
