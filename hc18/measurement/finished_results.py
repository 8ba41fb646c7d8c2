"""Recognises the result files of a batch that ended just after it had tidied up."""

from __future__ import annotations

import csv
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from fetal_hc.batch.runners import run_serial
from fetal_hc.batch.sources import ImageSource
from fetal_hc.batch.summary import Tally
from fetal_hc.errors import FetalHCError
from fetal_hc.io.storage import file_stamp
from fetal_hc.io.tables import to_safe_cell
from hc18.dataset.submission import SUBMISSION_COLUMNS
from hc18.geometry.pixel_size import CalibrationSource
from hc18.measurement.details import iterate_details
from hc18.measurement.head_model import load_model
from hc18.measurement.outline import NEEDED_SCORE, needed_score
from hc18.measurement.pixel_size_rules import TablePixelSize
from hc18.measurement.result_files import RowCount
from hc18.measurement.rows import MEASUREMENT_TABLE, MeasurementRow, RowStatus
from hc18.measurement.worker import HeadTask, MeasureWork

N_MEASURED_AGAIN = 5  # images, spread over the batch
_MM_TOLERANCE = 2e-4  # the details have four decimals of a millimetre
_RAD_TOLERANCE = 1e-7
_CONFIDENCE_TOLERANCE = 5e-7  # six decimals


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
    names = [f"{task.file_name}#{n_rows + 1}", *([] if n_rows else [task.file_name])]
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
