"""The summary of a batch in numbers and as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fetal_hc.batch.tasks import OK, ResultRow
from fetal_hc.errors import DatasetError
from fetal_hc.io.tables import to_safe_cell

KEPT_AT_MOST = 20  # messages of a batch of any length that are kept in memory


@dataclass(slots=True)
class MessageLog:
    """Messages, of which only the first are kept.

    Attributes:
        first: the first messages, at most `KEPT_AT_MOST`.
        count: how many were added.
    """

    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, message: str) -> None:
        """Counts a message and keeps it if it is one of the first."""
        self.count += 1
        if len(self.first) < KEPT_AT_MOST:
            self.first.append(message)

    def extend(self, other: MessageLog) -> None:
        """Counts the messages of another log and keeps its first ones as far as there is room."""
        self.count += other.count
        self.first += other.first[: max(KEPT_AT_MOST - len(self.first), 0)]

    def to_lines(self, prefix: str) -> list[str]:
        """One line per kept message, and one that counts the others; empty if there were none."""
        lines = [prefix + message for message in self.first]
        n_more = self.count - len(self.first)
        return [*lines, f"{prefix}{n_more} more"] if n_more else lines


@dataclass(slots=True)
class Tally:
    """Counts the rows of a batch as they come.

    Attributes:
        counts: number of rows of each status that occurred.
        unmeasured: `file: status: reason` of the rows that are not OK.
        left_out: rows that are OK and are missing in a result file, with the reason.
        warnings: results that are hard to believe (wrong calibration, for instance).
    """

    counts: Counter[str] = field(default_factory=Counter)
    unmeasured: MessageLog = field(default_factory=MessageLog)
    left_out: MessageLog = field(default_factory=MessageLog)
    warnings: MessageLog = field(default_factory=MessageLog)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return sum(self.counts.values())

    def add(self, row: ResultRow) -> None:
        """Counts a row, and notes its name and reason if it is not OK."""
        self.counts[row.status.value] += 1
        if row.status.value != OK:
            self.unmeasured.add(to_safe_cell(f"{row.file_name}: {row.status.value}: {row.reason}"))

    def to_json(self) -> dict[str, Any]:
        """The tally as JSON values."""
        logs = {name: [log.count, log.first] for name, log in self._logs().items()}
        return {"counts": dict(self.counts), **logs}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Tally:
        """The tally that `to_json` gave.

        Raises:
            DatasetError: if these are other values.
        """
        try:
            tally = cls(Counter({str(status): int(count) for status, count in values["counts"].items()}))
            for name, log in tally._logs().items():
                count, first = values[name]
                log.count, log.first = int(count), [str(message) for message in first]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DatasetError(
                f"the outcome of the batch is damaged ({error}); start again with --overwrite and without --resume"
            ) from error
        return tally

    def _logs(self) -> dict[str, MessageLog]:
        return {"unmeasured": self.unmeasured, "left_out": self.left_out, "warnings": self.warnings}


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """Counts, files and problems of a finished batch.

    Attributes:
        outputs: the result files by what they are called.
        tally: counts of the rows.
        table_problems: problems of the table or manifest.
        n_ignored: files of the image folder that are not images to process.
        n_before: rows that an earlier, interrupted run had finished.
        seconds: wall-clock time of this run, the loading of the model included.
        notice: last line of the text; empty for none.
    """

    outputs: Mapping[str, Path]
    tally: Tally
    table_problems: MessageLog
    n_ignored: int
    n_before: int
    seconds: float
    notice: str = ""

    @property
    def n_images(self) -> int:
        """Number of rows."""
        return self.tally.n_rows

    @property
    def n_measured(self) -> int:
        """Number of rows that are OK."""
        return self.tally.counts.get(OK, 0)

    @property
    def is_complete(self) -> bool:
        """Whether every image is in every result file and the table is free of problems."""
        return not (self.tally.unmeasured.count or self.tally.left_out.count or self.table_problems.count)

    def to_text(self) -> str:
        """Counts, speed, result files and the notice, one line each."""
        failed = [f"{count} {status}" for status, count in self.tally.counts.items() if status != OK]
        not_measured = f"failed: {', '.join(failed) or 'none'}; other files in the folder: {self.n_ignored}"
        before = f" ({self.n_before} were finished before)" if self.n_before else ""
        width = max(map(len, self.outputs), default=0) + 1
        lines = [
            f"measured {self.n_measured} of {self.n_images} images ({not_measured})",
            f"{self.seconds:.1f} s, {(self.n_images - self.n_before) / self.seconds:.1f} images/s{before}",
            *(f"{name + ':':<{width}} {path}" for name, path in self.outputs.items()),
        ]
        return "\n".join([*lines, self.notice] if self.notice else lines)

    def to_problem_text(self) -> str:
        """The first unmeasured images, table problems and warnings, one per line; empty if there are none."""
        groups = (
            ("not measured: ", self.tally.unmeasured),
            ("left out: ", self.tally.left_out),
            ("problem: ", self.table_problems),
            ("warning: ", self.tally.warnings),
        )
        return "\n".join(line for prefix, messages in groups for line in messages.to_lines(prefix))
