"""One image file of a batch as a task, and the result of the task."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from fetal_hc.io.storage import FileStamp, is_url

Facts = TypeVar("Facts")
RowT = TypeVar("RowT", bound="ResultRow")
OK = "ok"  # status of a row whose image was processed


class Failure(StrEnum):
    """Status of an image file that could not be processed."""

    UNREADABLE = "unreadable"
    MISSING_FILE = "missing_file"
    MODEL_FAILED = "model_failed"
    INTERNAL_ERROR = "internal_error"


class ResultRow(Protocol):
    """The properties that every row of results has in every domain."""

    @property
    def file_name(self) -> str:
        """Name of the image in the results."""

    @property
    def status(self) -> StrEnum:
        """What became of it: `OK`, a `Failure`, or a status of the domain."""

    @property
    def reason(self) -> str:
        """Why its status is not `OK`; empty if it is."""


@dataclass(frozen=True, slots=True)
class ImageTask(Generic[Facts]):
    """One image file to process.

    Attributes:
        index: number of the task in its batch, from 0.
        file_name: its name in the results: the path below the folder, or the id of a manifest row.
        path: where it is, a path or a URL; None if a table names a file that is not in the folder.
        facts: what a table states about the image; None if it states nothing.
        note: what is missing or wrong (the file, the facts) and how to correct it; empty if nothing is.
    """

    index: int
    file_name: str
    path: str | None
    facts: Facts | None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """The task as JSON values, with a path that holds on other machines."""
        is_local = self.path is not None and not is_url(self.path)
        task = replace(self, path=str(Path(self.path).absolute())) if is_local and self.path else self
        return asdict(task)

    @classmethod
    def from_json(cls, values: dict[str, Any], facts_type: type[Facts]) -> ImageTask[Facts]:
        """The task that `to_json` gave; lists in its facts become tuples."""
        facts = values["facts"]
        if facts is not None:
            facts = facts_type(**{name: tuple(v) if isinstance(v, list) else v for name, v in facts.items()})
        return cls(**{**values, "facts": facts})


@dataclass(frozen=True, slots=True)
class TaskResult(Generic[RowT]):
    """The rows of one image file.

    Attributes:
        index: number of the task.
        path: the file; None if the task names none.
        stamp: state of the file when it was read; None if it could not be read.
        rows: one per picture in the file, at least one.
    """

    index: int
    path: str | None
    stamp: FileStamp | None
    rows: tuple[RowT, ...]
