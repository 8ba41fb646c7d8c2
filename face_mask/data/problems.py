"""What a reader found wrong: everything is collected first, then reported, or raised when asked to be strict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fetal_hc.errors import DatasetError, raise_problems


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding of a reader.

    Attributes:
        kind: short name for machines, such as "missing_image".
        file: the file it was found in, relative to the dataset's folder where it lies in there.
        value: what was found there.
        outcome: what was expected, and what became of the file or object.
    """

    kind: str
    file: str
    value: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.file}: {self.value}; {self.outcome}"


def raise_if_any(problems: Sequence[Problem], header: str) -> None:
    """Returns if there is no problem.

    Raises:
        DatasetError: lists every problem under `header`.
    """
    if problems:
        raise_problems(DatasetError, [str(problem) for problem in problems], header)
