"""Knowledge of a domain about image files and the tables that name them; a batch asks it while it plans its tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic

from fetal_hc.batch.summary import MessageLog
from fetal_hc.batch.tasks import Facts


@dataclass(frozen=True, slots=True)
class Stated(Generic[Facts]):
    """The facts that a table states about one image.

    Attributes:
        facts: as the domain keeps them; None if the table states nothing.
        problem: what is wrong with the row; empty if nothing is.
        note: what is missing or wrong, and how to correct it, for an image whose results lack something for it.
    """

    facts: Facts | None
    problem: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class FolderTable(Generic[Facts]):
    """A table that states facts about the images of a folder.

    Attributes:
        path: the file.
        names: file name of each row.
        rows: line of each row in the file, the header being line 1.
        stated: what the row with a 0-based index states.
        problems: what is wrong with the table.
    """

    path: Path
    names: Sequence[str]
    rows: array[int]
    stated: Callable[[int], Stated[Facts]]
    problems: MessageLog


class SourceRules(ABC, Generic[Facts]):
    """Rules by which a domain recognises its images and reads what tables state about them.

    Attributes:
        columns: of a manifest, in which facts are stated: spelling by the letters and digits in lower case.
        without_table: note of an image for which no table was given.
        without_row: note of an image that a table has no row for, to follow the name of the table.
    """

    columns: ClassVar[Mapping[str, str]]
    without_table: ClassVar[str]
    without_row: ClassVar[str]

    @abstractmethod
    def is_image(self, path: str) -> bool:
        """Whether a file is an image to process, if no table names it."""

    @abstractmethod
    def read_table(self, path: Path) -> FolderTable[Facts]:
        """The table for the images of a folder.

        Raises:
            DatasetError: if no row can be read.
        """

    @abstractmethod
    def missing_columns(self, found: Collection[str]) -> list[str]:
        """Spelling of the columns that a manifest lacks although it has others of `columns`."""

    @abstractmethod
    def parse(self, where: str, values: Mapping[str, str]) -> Stated[Facts]:
        """What a row of a manifest states.

        Args:
            where: file and row, to begin a message with.
            values: texts of the `columns` that the manifest has.
        """
