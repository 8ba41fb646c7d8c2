"""What a check found: problems are collected first, then raised or reported together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fetal_hc.errors import DatasetError, raise_problems


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding of a check.

    Attributes:
        kind: short name for machines, e.g. "missing_file".
        message: where, value, expectation and remedy, in one sentence.
        fatal: True if the data cannot be used before it is repaired; False for a warning.
    """

    kind: str
    message: str
    fatal: bool = True

    def __str__(self) -> str:
        return self.message


def fatal_problems(problems: Sequence[Problem]) -> list[Problem]:
    """The problems that forbid using the data, in their order."""
    return [problem for problem in problems if problem.fatal]


def warnings_of(problems: Sequence[Problem]) -> list[Problem]:
    """The problems that only need attention, in their order."""
    return [problem for problem in problems if not problem.fatal]


def raise_if_fatal(problems: Sequence[Problem], header: str) -> None:
    """Returns if no problem is fatal.

    Raises:
        DatasetError: lists every fatal problem under `header`.
    """
    fatal = fatal_problems(problems)
    if fatal:
        raise_problems(DatasetError, [problem.message for problem in fatal], header)
