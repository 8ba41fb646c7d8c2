"""The one error family of the project.

A message says where (file, row, column), the value found, what was expected and how to repair it. Checks collect every
problem first and raise once with `raise_problems`.
"""

from __future__ import annotations

from collections.abc import Sequence
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
