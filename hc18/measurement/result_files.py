"""The two result files of a batch: written row by row, each as a whole or not at all, and recognised when complete."""

from __future__ import annotations

import csv
import filecmp
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from fetal_hc.batch.runners import run_serial
from fetal_hc.batch.sources import ImageSource
from fetal_hc.batch.summary import Tally
from fetal_hc.errors import ConfigError, FetalHCError
from fetal_hc.io.atomic import atomic_path
from fetal_hc.io.storage import file_stamp
from fetal_hc.io.tables import to_safe_cell
from hc18.dataset.submission import SUBMISSION_COLUMNS, implausible_problems, name_problem, to_submission_row
from hc18.geometry.pixel_size import CalibrationSource
from hc18.measurement.details import iterate_details
from hc18.measurement.groups import ClipWatch
from hc18.measurement.head_model import load_model
from hc18.measurement.outline import NEEDED_SCORE, needed_score
from hc18.measurement.pixel_size_rules import TablePixelSize
from hc18.measurement.rows import MEASUREMENT_TABLE, MeasurementRow, RowStatus, frame_name
from hc18.measurement.worker import HeadTask, MeasureWork

N_MEASURED_AGAIN = 5  # images, spread over the batch
_MM_TOLERANCE = 2e-4  # the details have four decimals of a millimetre
_RAD_TOLERANCE = 1e-7
_CONFIDENCE_TOLERANCE = 5e-7  # six decimals


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


class _Differs(Exception):
    """The files are those of another batch; the message says how."""


def read_finished(
    source: ImageSource[TablePixelSize], work: MeasureWork, submission: Path, details: Path
) -> Tally | str:
    """What became of a batch, if two existing result files are complete and those of exactly this batch; else how not.

    They are if the details have the images of the source in their order, its pixel sizes and the model; if no image is
    newer than the details; if every confidence and every image without a head agrees with the smallest score; if the
    submission has the same ellipses; and if a few images, measured once more, give the same rows to the last digit.

    Args:
        source: the images.
        work: measures an image as the batch does.
        submission: CSV file in the challenge's format.
        details: CSV file with a row for every image.
    """
    n_images = min(source.n_tasks, N_MEASURED_AGAIN)
    wanted = {index * (source.n_tasks - 1) // max(n_images - 1, 1) for index in range(n_images)}
    samples: list[tuple[HeadTask, list[MeasurementRow]]] = []
    count, n_failed = RowCount(submission), 0
    try:
        min_score = load_model(work.model).min_score if work.min_score is None else work.min_score
        with closing(_submission_rows(submission)) as in_submission:
            for task, rows in _rows_of_tasks(source.tasks(), details, work.model_sha256):
                for row in rows:
                    _check_min_score(row, min_score)
                    if (expected := count.add(row)) is not None:
                        _check_submission_row(next(in_submission, []), expected)
                has_failed = any(row.status is RowStatus.FIT_FAILED for row in rows)
                if task.index in wanted or (has_failed and n_failed < N_MEASURED_AGAIN):
                    samples.append((task, rows))
                    n_failed += has_failed
            if next(in_submission, None) is not None:
                raise _Differs(f"{submission} has more rows")
        count.close()
        _check_again(work, samples)
    except (_Differs, FetalHCError, OSError, ValueError) as error:
        return str(error)
    return count.tally


def _check_min_score(row: MeasurementRow, min_score: float) -> None:
    """Returns if a row can come from a measurement with this smallest score.

    Raises:
        _Differs: if it cannot. A lower score would also have found no other head where the best one failed to be
            fitted; such images are measured again.
    """
    has_other = NEEDED_SCORE in row.reason and not row.reason.endswith(needed_score(min_score))
    if has_other or (row.confidence is not None and row.confidence < min_score - _CONFIDENCE_TOLERANCE):
        raise _Differs(f"'{to_safe_cell(row.file_name)}' was measured with another smallest score than {min_score:g}")


def _rows_of_tasks(
    tasks: Iterable[HeadTask], details: Path, model_sha256: str
) -> Iterator[tuple[HeadTask, list[MeasurementRow]]]:
    """Every task with its rows in the details.

    Raises:
        _Differs: if the details do not have exactly these tasks, measured with this model after the images were made.
    """
    found = iterate_details(details)
    written = file_stamp(str(details))
    _, row = next(found, (0, None))
    for task in tasks:
        rows: list[MeasurementRow] = []
        while isinstance(row, MeasurementRow) and (name := _name_in(task, row, len(rows))) is not None:
            rows.append(replace(row, file_name=name))
            _, row = next(found, (0, None))
        image = None if task.path is None else file_stamp(task.path)
        name = to_safe_cell(task.file_name)
        if not rows:
            raise _Differs(f"the details do not have '{name}' where it is expected")
        if image is not None and (written is None or image.mtime_ns > written.mtime_ns):
            raise _Differs(f"'{name}' is newer than the details")
        if any(item.model_sha256 != model_sha256 for item in rows):
            raise _Differs(f"'{name}' was measured with another model")
        if not all(_has_size_of(item, task) for item in rows):
            raise _Differs(f"'{name}' was measured with another pixel size")
        yield task, rows
    if row is not None:
        raise _Differs("the details have more rows")


def _name_in(task: HeadTask, row: MeasurementRow, n_rows: int) -> str | None:
    """The unescaped name of a row that is the next one of a task with so many rows already; None if it is not."""
    names = [frame_name(task.file_name, n_rows + 1), *([] if n_rows else [task.file_name])]
    return next((name for name in names if to_safe_cell(name) == to_safe_cell(row.file_name)), None)


def _has_size_of(row: MeasurementRow, task: HeadTask) -> bool:
    """Whether a row has the pixel size that its task states, unless it is one of the image file itself."""
    stated = None if task.facts is None else task.facts.pixel_size_xy_mm
    if row.pixel_size_source in (CalibrationSource.CSV.value, CalibrationSource.NONE.value):
        return row.pixel_size_xy_mm == stated
    return True


def _submission_rows(path: Path) -> Generator[list[str], None, None]:
    """The rows of a submission below its header.

    Raises:
        _Differs: if it has another header.
    """
    with path.open(encoding="utf-8", newline="") as stream:
        rows = csv.reader(stream)
        if next(rows, None) != list(SUBMISSION_COLUMNS):
            raise _Differs(f"{path} is not a submission")
        yield from rows


def _check_submission_row(found: list[str], expected: list[str]) -> None:
    """Returns if a row of the submission has the name and, up to the decimals of the details, the numbers expected.

    Raises:
        _Differs: if it has not.
    """
    tolerances = [*[_MM_TOLERANCE] * (len(expected) - 2), _RAD_TOLERANCE]
    if len(found) != len(expected) or found[0] != expected[0]:
        raise _Differs(f"the submission does not have '{expected[0]}' where it is expected")
    numbers = zip(found[1:], expected[1:], tolerances, strict=True)
    if any(abs(float(cell) - float(value)) > tolerance for cell, value, tolerance in numbers):
        raise _Differs(f"the submission has another ellipse of '{expected[0]}'")


def _check_again(work: MeasureWork, samples: Sequence[tuple[HeadTask, list[MeasurementRow]]]) -> None:
    """Returns if images that are measured once more give the rows that they have.

    Raises:
        _Differs: if one does not.
        FetalHCError: if the model fails.
    """
    with closing(run_serial(work, work.crashed_result, [task for task, _ in samples], 1)) as results:
        for (task, rows), result in zip(samples, results, strict=True):
            again, before = ([MEASUREMENT_TABLE.to_texts(row) for row in some] for some in (result.rows, rows))
            if again != before:
                raise _Differs(f"'{to_safe_cell(task.file_name)}', measured once more, gives another row")
