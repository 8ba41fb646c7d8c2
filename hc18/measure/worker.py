"""Image files to result rows, in whatever process a runner chooses: the next file is read while one is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fetal_hc.batch.checkpoint.job_results import TaskResult
from fetal_hc.batch.jobs import SOURCE_FILE, SOURCE_NONE, ImageTask
from fetal_hc.errors import DatasetError, ModelError
from fetal_hc.io.storage import FileStamp, read_image_file
from hc18.geometry.pixel_size import Calibration, candidate, from_table, uncalibrated
from hc18.measure.frames import ImageFrames, open_frames
from hc18.measure.head_model import HeadModel, load_model
from hc18.measure.measurement import Measurement
from hc18.measure.pipeline import measure_frame
from hc18.measure.rows import MeasurementRow, RowStatus


@dataclass(frozen=True, slots=True)
class MeasureWork:
    """Starts the work of one process: loads the model, returns the function that measures a stream of images.

    Attributes:
        model: a model bundle or an exported ONNX file.
        num_threads: threads for the network.
        min_score: smallest confidence of a detection that counts as a head, 0 to 1.
    """

    model: Path
    num_threads: int
    min_score: float

    def __call__(self) -> Callable[[Iterable[ImageTask]], Iterator[TaskResult]]:
        """The function that measures image files, one result per job in their order.

        Raises:
            ModelError: if the model cannot be used or finds something else than heads.
        """
        return partial(measure_tasks, load_model(self.model, self.num_threads), self.min_score)


def measure_tasks(model: HeadModel, min_score: float, jobs: Iterable[ImageTask]) -> Iterator[TaskResult]:
    """Results of image files in the order of the jobs; a second thread reads and decodes one file ahead.

    Whatever goes wrong with a file becomes a status and a reason.

    Args:
        model: finds heads.
        min_score: smallest confidence of a detection that counts as a head, 0 to 1.
        jobs: taken one ahead of the results.
    """
    ahead: tuple[ImageTask, Future[_OpenedFile]] | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as reader:
        for job in jobs:
            current, ahead = ahead, (job, reader.submit(_open_file, job))
            if current is not None:
                yield _score_file(model, min_score, *current)
        if ahead is not None:
            yield _score_file(model, min_score, *ahead)


def crashed_result(job: ImageTask) -> TaskResult:
    """The result of an image that killed its process."""
    reason = "the process that worked on this image died (out of memory, or a damaged file); check the file"
    return TaskResult(job.index, job.path, None, (_failed_row(job, RowStatus.INTERNAL_ERROR, reason),))


@dataclass(frozen=True, slots=True)
class _OpenedFile:
    """A file that was read: its state then, and its pictures or why there are none."""

    stamp: FileStamp | None
    frames: ImageFrames | Exception


def _open_file(job: ImageTask) -> _OpenedFile:
    """Reads and opens the file of a job; never raises."""
    stamp = None
    try:
        if job.path is None:
            raise FileNotFoundError(job.note)
        data, stamp = read_image_file(job.path)
        return _OpenedFile(stamp, open_frames(data, job.path))
    except Exception as error:  # noqa: BLE001  # becomes the row of this image
        return _OpenedFile(stamp, error)


def _score_file(model: HeadModel, min_score: float, job: ImageTask, opening: Future[_OpenedFile]) -> TaskResult:
    """The rows of one file, one per frame."""
    opened = opening.result()
    if isinstance(opened.frames, Exception):
        return TaskResult(job.index, job.path, opened.stamp, (_row_of_error(job, opened.frames),))
    rows = []
    for index in range(opened.frames.n_frames):
        name = f"{job.file_name}#{index + 1}" if opened.frames.n_frames > 1 else job.file_name
        rows.append(_score_frame(model, min_score, replace(job, file_name=name), opened.frames, index))
    return TaskResult(job.index, job.path, opened.stamp, tuple(rows))


def _score_frame(model: HeadModel, min_score: float, job: ImageTask, frames: ImageFrames, index: int) -> MeasurementRow:
    """The row of one picture; whatever goes wrong with it becomes a status and a reason."""
    try:
        image_rgb = frames.frame_rgb(index)
        calibrate = frames.calibrate
        found = measure_frame(
            model,
            image_rgb,
            _candidates(job, has_own=calibrate is not None),
            None if calibrate is None else lambda ellipse_px: calibrate(ellipse_px, index),
            min_score=min_score,
        )
        return _measured_row(job, image_rgb, found.measurement, has_own=calibrate is not None)
    except Exception as error:  # noqa: BLE001  # a mistake of ours in one image must not cost the others their results
        return _row_of_error(job, error)


def _candidates(job: ImageTask, *, has_own: bool) -> tuple[Calibration, ...]:
    """What the table says about the pixel size of an image, or why it says nothing.

    Args:
        job: the image.
        has_own: whether its file may know it too, so that a table without a row is no reason.
    """
    if job.pixel_size_xy_mm is not None:
        return (candidate(from_table, job.pixel_size_xy_mm),)
    return () if has_own and job.pixel_size_source == SOURCE_FILE else (uncalibrated(job.note),)


def _measured_row(
    job: ImageTask, image_rgb: NDArray[np.uint8], measurement: Measurement, *, has_own: bool
) -> MeasurementRow:
    """The row of a picture in which a head was looked for; `has_own` as in `_candidates`."""
    calibration, interval, quality = measurement.calibration, measurement.interval, measurement.outline.quality
    is_remarkable = has_own or calibration.warnings
    return MeasurementRow(
        file_name=job.file_name,
        status=RowStatus(measurement.status.value),
        reason=measurement.reason,
        hc_mm=measurement.hc_mm,
        hc_px=measurement.hc_px,
        ellipse_px=measurement.ellipse_px,
        ellipse_mm=measurement.ellipse_mm,
        confidence=measurement.score,
        flags=measurement.flags,
        image_hw=(image_rgb.shape[0], image_rgb.shape[1]),
        pixel_size_xy_mm=calibration.pixel_size_xy_mm,
        pixel_size_source=calibration.source.value,
        calibration=" ".join((calibration.detail, *calibration.warnings)) if is_remarkable else "",
        hc_interval_mm=None if interval is None else (interval.low_mm, interval.high_mm),
        expected_error_mm=None if interval is None else interval.expected_error_mm,
        residual_percent=quality.residual_percent,
        disagreement_percent=quality.disagreement_percent,
        mask_entropy=quality.mask_entropy,
    )


def _row_of_error(job: ImageTask, error: Exception) -> MeasurementRow:
    """The row of a picture that could not be measured."""
    if job.path is None:
        return _failed_row(job, RowStatus.MISSING_FILE, job.note)
    if isinstance(error, DatasetError):
        return _failed_row(job, RowStatus.UNREADABLE, str(error))
    if isinstance(error, ModelError):
        return _failed_row(job, RowStatus.MODEL_FAILED, str(error))
    if isinstance(error, MemoryError):
        reason = f"{job.path}: does not fit in memory; give the program more memory or fewer --workers"
        return _failed_row(job, RowStatus.UNREADABLE, reason)
    return _failed_row(job, RowStatus.INTERNAL_ERROR, f"{type(error).__name__}: {error}; please report this")


def _failed_row(job: ImageTask, status: RowStatus, reason: str) -> MeasurementRow:
    """The row of an image without a measurement."""
    return MeasurementRow(
        job.file_name, status, reason, pixel_size_xy_mm=job.pixel_size_xy_mm, pixel_size_source=_row_source(job)
    )


def _row_source(job: ImageTask) -> str:
    """Where the pixel size of a row came from that was not calibrated by its file."""
    return SOURCE_NONE if job.pixel_size_source == SOURCE_FILE else job.pixel_size_source
