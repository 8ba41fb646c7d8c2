"""What became of a batch, in numbers and as text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fetal_hc import DISCLAIMER
from fetal_hc.batch.message_log import MessageLog
from fetal_hc.io.tables import to_safe_cell
from hc18.measure.rows import MeasurementRow, RowStatus


@dataclass(slots=True)
class Tally:
    """Counts the rows of a batch as they come.

    Attributes:
        counts: number of images of each status that occurred.
        unmeasured: `file: status: reason` of the images without millimetres.
        warnings: measurements that no fetal head has (wrong calibration, for instance).
    """

    counts: Counter[RowStatus] = field(default_factory=Counter)
    unmeasured: MessageLog = field(default_factory=MessageLog)
    warnings: MessageLog = field(default_factory=MessageLog)

    def add(self, row: MeasurementRow) -> None:
        """Counts a row, and notes its name and reason if it has no millimetres."""
        self.counts[row.status] += 1
        if row.status != RowStatus.OK:
            self.unmeasured.add(to_safe_cell(f"{row.file_name}: {row.status.value}: {row.reason}"))


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """What became of a batch.

    Attributes:
        submission: the CSV of the measured images.
        details: the CSV with a row for every image.
        tally: counts of the rows.
        table_problems: problems of the pixel-size table or manifest.
        n_ignored: files of the image folder that are no images to measure.
        n_before: rows that an earlier, interrupted run had finished.
        seconds: wall-clock time of this run, the loading of the model included.
    """

    submission: Path
    details: Path
    tally: Tally
    table_problems: MessageLog
    n_ignored: int
    n_before: int
    seconds: float

    @property
    def n_images(self) -> int:
        """Number of rows in the details."""
        return sum(self.tally.counts.values())

    @property
    def n_measured(self) -> int:
        """Number of rows in the submission."""
        return self.tally.counts.get(RowStatus.OK, 0)

    @property
    def is_complete(self) -> bool:
        """Whether every image was measured and the table is free of problems."""
        return not self.tally.unmeasured.count and not self.table_problems.count

    def to_text(self) -> str:
        """Counts, speed, output files and the disclaimer: five lines."""
        failed = [f"{count} {status.value}" for status, count in self.tally.counts.items() if status != RowStatus.OK]
        not_measured = f"failed: {', '.join(failed) or 'none'}; other files in the folder: {self.n_ignored}"
        before = f" ({self.n_before} were finished before)" if self.n_before else ""
        return "\n".join(
            [
                f"measured {self.n_measured} of {self.n_images} images ({not_measured})",
                f"{self.seconds:.1f} s, {(self.n_images - self.n_before) / self.seconds:.1f} images/s{before}",
                f"submission: {self.submission}",
                f"details:    {self.details}",
                DISCLAIMER,
            ]
        )

    def to_problem_text(self) -> str:
        """The first unmeasured images, table problems and warnings, one per line; empty if there are none."""
        groups = (
            ("not measured: ", self.tally.unmeasured),
            ("problem: ", self.table_problems),
            ("warning: ", self.tally.warnings),
        )
        return "\n".join(line for prefix, messages in groups for line in messages.to_lines(prefix))
