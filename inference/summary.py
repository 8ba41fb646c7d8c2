"""What became of a batch, in numbers and as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from inference.rows import RowStatus, ScoreRow, to_safe_text

DISCLAIMER = "Research use only. Not a medical device."
_NAMED_AT_MOST = 20


@dataclass(slots=True)
class Tally:
    """Counts the rows of a batch as they come."""

    counts: Counter[RowStatus] = field(default_factory=Counter)
    unmeasured: list[str] = field(default_factory=list)

    def add(self, row: ScoreRow) -> None:
        """Counts a row and keeps its name and reason if it has no millimetres."""
        self.counts[row.status] += 1
        if row.status != RowStatus.OK:
            self.unmeasured.append(to_safe_text(f"{row.file_name}: {row.status.value}: {row.reason}"))


@dataclass(frozen=True, slots=True)
class ScoreSummary:
    """What became of a batch.

    Attributes:
        submission: the CSV of the measured images.
        details: the CSV with a row for every image.
        counts: number of images of each status that occurred.
        unmeasured: `file: status: reason` of every image without millimetres, in the order of the batch.
        table_problems: problems of the pixel-size table.
        warnings: measurements that no fetal head has (wrong calibration, for instance).
        n_ignored: files of the image folder that are no images to measure.
        seconds: wall-clock time, the loading of the model included.
    """

    submission: Path
    details: Path
    counts: dict[RowStatus, int]
    unmeasured: tuple[str, ...]
    table_problems: tuple[str, ...]
    warnings: tuple[str, ...]
    n_ignored: int
    seconds: float

    @property
    def n_images(self) -> int:
        """Number of rows in the details."""
        return sum(self.counts.values())

    @property
    def n_measured(self) -> int:
        """Number of rows in the submission."""
        return self.counts.get(RowStatus.OK, 0)

    @property
    def is_complete(self) -> bool:
        """Whether every image was measured and the table is free of problems."""
        return not self.unmeasured and not self.table_problems

    def to_text(self) -> str:
        """Counts, speed, output files and the disclaimer: five lines."""
        failed = [f"{count} {status.value}" for status, count in self.counts.items() if status != RowStatus.OK]
        not_measured = f"failed: {', '.join(failed) or 'none'}; other files in the folder: {self.n_ignored}"
        return "\n".join(
            [
                f"measured {self.n_measured} of {self.n_images} images ({not_measured})",
                f"{self.seconds:.1f} s, {self.n_images / self.seconds:.1f} images/s",
                f"submission: {self.submission}",
                f"details:    {self.details}",
                DISCLAIMER,
            ]
        )

    def to_problem_text(self) -> str:
        """The first unmeasured images, table problems and warnings, one per line; empty if there are none."""
        groups = (("not measured: ", self.unmeasured), ("problem: ", self.table_problems), ("warning: ", self.warnings))
        return "\n".join(line for prefix, messages in groups for line in _first(prefix, messages))


def _first(prefix: str, messages: Sequence[str]) -> list[str]:
    """The first messages, and how many more there are."""
    lines = [prefix + message for message in messages[:_NAMED_AT_MOST]]
    n_more = len(messages) - len(lines)
    return [*lines, f"{prefix}{n_more} more"] if n_more else lines
