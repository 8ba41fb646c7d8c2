"""The one error family of the project.

A message says where (file, row, column), the value found, what was expected and how to repair it. Checks collect every
problem first, as `Problem`, and raise or report them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn


class FetalHCError(Exception):
    """Base of all errors that a user can cause and repair.

    Attributes:
        problems: the single problems, one message each; a plain message is its own only problem.
    """

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems: tuple[str, ...] = tuple(problems) or (message,)

    def __reduce__(self) -> tuple[type[FetalHCError], tuple[str, tuple[str, ...]]]:
        """Keeps `problems` when the error travels from a worker process."""
        return type(self), (str(self), self.problems)


class DatasetError(FetalHCError):
    """Images, annotations or tables that are missing, unreadable or contradict each other."""


class ImageError(DatasetError):
    """A file that cannot be read as an image."""


class ConfigError(FetalHCError):
    """A configuration that is unknown, incomplete or contradicts itself."""


class MeasurementError(FetalHCError):
    """Geometry or a calibration from which nothing can be measured."""


class ModelError(FetalHCError):
    """A model file that is missing, corrupt or made for another task."""


class ExportMismatch(ModelError):
    """An exported network whose answers differ from those of the network it was made from."""


def raise_problems(kind: type[FetalHCError], problems: Sequence[str], header: str) -> NoReturn:
    """Raises one error of `kind` that lists all problems, one per line under `header`.

    Args:
        kind: class of the error to raise.
        problems: one complete message each; at least one.
        header: first line: what was checked.

    Raises:
        FetalHCError: always, as `kind`, with the messages in `.problems`.
        ValueError: if `problems` is empty, which is a mistake of the caller.
    """
    if not problems:
        raise ValueError("raise_problems needs at least one problem")
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise kind("\n".join([f"{header}: {count}", *(f"  - {problem}" for problem in problems)]), problems)


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding of a check.

    Attributes:
        kind: short name for machines, such as "missing_file".
        message: where, value, expectation and remedy, in one sentence.
        fatal: True if the data cannot be used before it is repaired; False for a warning.
        file: the file it was found in, if readers want it apart from the message.
        row: line of the table it was found in, the header being line 1; None if it concerns no single row.
    """

    kind: str
    message: str
    fatal: bool = True
    file: str = ""
    row: int | None = None

    @classmethod
    def in_file(cls, kind: str, file: str, finding: str, outcome: str) -> Problem:
        """A warning about one file: what was found, what was expected and what became of it."""
        return cls(kind, f"{file}: {finding}; {outcome}", fatal=False, file=file)

    def __str__(self) -> str:
        return self.message


def fatal_problems(problems: Sequence[Problem]) -> list[Problem]:
    """The problems that forbid using the data, in their order."""
    return [problem for problem in problems if problem.fatal]


def warnings_of(problems: Sequence[Problem]) -> list[Problem]:
    """The problems that only need attention, in their order."""
    return [problem for problem in problems if not problem.fatal]


def raise_if_any(problems: Sequence[Problem], header: str) -> None:
    """Returns if there is no problem, not even a warning.

    Raises:
        DatasetError: lists every problem under `header`.
    """
    if problems:
        raise_problems(DatasetError, [problem.message for problem in problems], header)


def raise_if_fatal(problems: Sequence[Problem], header: str) -> None:
    """Returns if no problem is fatal.

    Raises:
        DatasetError: lists every fatal problem under `header`.
    """
    raise_if_any(fatal_problems(problems), header)
