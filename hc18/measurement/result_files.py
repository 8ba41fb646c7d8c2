"""The two result files of a batch, written row by row from its results, each as a whole or not at all."""

from __future__ import annotations

import csv
import filecmp
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from fetal_hc.batch.summary import Tally
from fetal_hc.errors import ConfigError, FetalHCError
from fetal_hc.io.atomic import atomic_path
from hc18.dataset.submission import SUBMISSION_COLUMNS, implausible_problems, name_problem, to_submission_row
from hc18.measurement.groups import ClipWatch
from hc18.measurement.rows import MEASUREMENT_TABLE, MeasurementRow, RowStatus


def write_results(rows: Iterable[MeasurementRow], submission: Path, details: Path, *, may_replace: bool) -> Tally:
    """Writes both files; they appear together, when both are complete.

    Memory does not grow with the number of rows.

    Args:
        rows: all rows of a batch in its order.
        submission: CSV file in the challenge's format; images without millimetres have no row, nor have images whose
            names are not safe to open in a spreadsheet.
        details: CSV file with a row for every image.
        may_replace: whether existing files may be replaced by different ones.

    Raises:
        ConfigError: if another file has been put in the place of one of them.
        FetalHCError: if they cannot be written.
    """
    with atomic_path(details) as new_details, atomic_path(submission) as new_submission:
        with (
            _csv_file(new_details, details, MEASUREMENT_TABLE.names) as write_details,
            _csv_file(new_submission, submission, SUBMISSION_COLUMNS) as write_submission,
        ):
            count = RowCount(submission)
            for row in rows:
                in_submission = count.add(row)
                write_details(MEASUREMENT_TABLE.to_texts(row))
                if in_submission is not None:
                    write_submission(in_submission)
            count.close()
        if not may_replace:
            _check_same(((new_details, details), (new_submission, submission)))
    return count.tally


class RowCount:
    """Counts the rows of a batch in their order, and decides which of them the submission has.

    Attributes:
        tally: what became of the rows.
    """

    def __init__(self, submission: Path) -> None:
        """Begins with no row; `submission` is named in messages."""
        self.tally = Tally()
        self._submission = submission
        self._clips = ClipWatch(self.tally.warnings)

    def add(self, row: MeasurementRow) -> list[str] | None:
        """Counts a row; its cells in the submission, or None if it has none there."""
        self.tally.add(row)
        self._clips.add(row, _implausible(row, self._submission))
        if row.status != RowStatus.OK or row.ellipse_mm is None:
            return None
        if problem := name_problem(row.file_name):
            self.tally.left_out.add(f"{self._submission}: {problem}")
            return None
        return to_submission_row(row.file_name, row.ellipse_mm)

    def close(self) -> None:
        """Notes what can be said after the last row."""
        self._clips.close()


def _implausible(row: MeasurementRow, submission: Path) -> list[str]:
    """What is hard to believe about a row of the submission."""
    if row.status != RowStatus.OK or row.ellipse_mm is None or name_problem(row.file_name):
        return []
    return [item.message for item in implausible_problems(f"{submission}, '{row.file_name}'", row.ellipse_mm)]


class _CsvFile:
    """Writes rows to an open file; errors name the file that it will become."""

    def __init__(self, stream: TextIO, target: Path) -> None:
        self._stream = stream
        self._target = target
        self._csv = csv.writer(stream, lineterminator="\n")

    def __call__(self, fields: Sequence[str]) -> None:
        try:
            self._csv.writerow(fields)
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Hands all rows to the operating system."""
        try:
            self._stream.close()
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> FetalHCError:
        return FetalHCError(
            f"{self._target}: cannot be written ({error.strerror}); expected a writable folder with free "
            "space; free some space or choose another path"
        )


@contextmanager
def _csv_file(path: Path, target: Path, columns: Sequence[str]) -> Iterator[_CsvFile]:
    """A CSV file at `path` that will become `target`, open for the length of the block.

    Raises:
        FetalHCError: if it cannot be written.
    """
    # File names that are not text (undecodable bytes) are written with their codes.
    stream = path.open("w", encoding="utf-8", errors="backslashreplace", newline="")
    try:
        file = _CsvFile(stream, target)
        file(columns)
        yield file
    except BaseException:
        with suppress(OSError):  # the rows are given up anyway
            stream.close()
        raise
    file.close()


def _check_same(pairs: Iterable[tuple[Path, Path]]) -> None:
    """Returns if every file that exists already has the content of the new one.

    That is so when a run was killed between giving the two files their names.

    Raises:
        ConfigError: naming the file that is another one.
    """
    for new, existing in pairs:
        if existing.exists() and not filecmp.cmp(new, existing, shallow=False):
            raise ConfigError(f"{existing}: exists already; choose another name or add --overwrite")
