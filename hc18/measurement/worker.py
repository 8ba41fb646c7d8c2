"""Image files to measured rows, in whatever process a batch runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fetal_hc.batch.tasks import Failure, ImageTask
from fetal_hc.batch.work import BatchWork
from fetal_hc.io.columns import ColumnTable
from fetal_hc.model.preprocess import to_grey
from hc18.geometry.pixel_size import Calibration, CalibrationSource, candidate, from_table, uncalibrated
from hc18.measurement.frames import ImageFrames, open_frames
from hc18.measurement.groups import sharpness
from hc18.measurement.head_model import HeadModel, load_model
from hc18.measurement.measurement import Measurement
from hc18.measurement.pipeline import measure_frame
from hc18.measurement.pixel_size_rules import TablePixelSize
from hc18.measurement.rows import MEASUREMENT_TABLE, MeasurementRow, RowStatus, frame_name

HeadTask = ImageTask[TablePixelSize]


@dataclass(frozen=True)
class MeasureWork(BatchWork[TablePixelSize, MeasurementRow]):
    """Measures the heads in image files.

    Attributes:
        model: a model bundle or an exported ONNX file.
        num_threads: threads for the network.
        min_score: smallest confidence of a detection that counts as a head, 0 to 1; the model's own if None.
        model_sha256: hex digest of the model, for the rows.
    """

    min_score: float | None
    model_sha256: str = ""

    table: ClassVar[ColumnTable[MeasurementRow]] = MEASUREMENT_TABLE
    facts_type: ClassVar[type] = TablePixelSize

    def load(self) -> Callable[[HeadTask, bytes], Callable[[], Sequence[MeasurementRow]]]:
        """Loads the model; returns the function from an image file to its rows, one per frame.

        Raises:
            ModelError: if the model cannot be used or finds something else than heads.
        """
        return partial(self._open, load_model(self.model, self.num_threads))

    def failed_row(self, task: HeadTask, failure: Failure, reason: str) -> MeasurementRow:
        """The row of an image without a measurement."""
        return MeasurementRow(
            task.file_name,
            RowStatus(failure.value),
            reason,
            pixel_size_xy_mm=None if task.facts is None else task.facts.pixel_size_xy_mm,
            pixel_size_source=_table_source(task).value,
            model_sha256=self.model_sha256,
        )

    def _open(self, model: HeadModel, task: HeadTask, data: bytes) -> Callable[[], Sequence[MeasurementRow]]:
        """Decodes a file; the function that measures it."""
        return partial(self._measure_frames, model, task, open_frames(data, task.path or task.file_name))

    def _measure_frames(self, model: HeadModel, task: HeadTask, frames: ImageFrames) -> list[MeasurementRow]:
        """The rows of one file, one per frame."""
        if frames.n_frames == 1:
            return [self._measure_frame(model, task, frames, 0)]
        named = (replace(task, file_name=frame_name(task.file_name, index + 1)) for index in range(frames.n_frames))
        return [self._measure_frame(model, frame, frames, index) for index, frame in enumerate(named)]

    def _measure_frame(self, model: HeadModel, task: HeadTask, frames: ImageFrames, index: int) -> MeasurementRow:
        """The row of one picture; whatever goes wrong with it becomes a status and a reason."""
        try:
            image_rgb = frames.frame_rgb(index)
            calibrate = frames.calibrate
            found = measure_frame(
                model,
                image_rgb,
                _candidates(task, has_own=calibrate is not None),
                None if calibrate is None else lambda ellipse_px: calibrate(ellipse_px, index),
                min_score=self.min_score,
            )
            return row_of_measurement(
                task.file_name,
                image_rgb,
                found.measurement,
                has_own=calibrate is not None,
                model_sha256=self.model_sha256,
            )
        except Exception as error:  # noqa: BLE001  # a mistake of ours in one image must not cost the others their results
            return self.row_of_error(task, error)


def row_of_measurement(
    file_name: str,
    image_rgb: NDArray[np.uint8],
    measurement: Measurement,
    *,
    has_own: bool = False,
    model_sha256: str = "",
) -> MeasurementRow:
    """The row of a picture in which a head was looked for.

    Args:
        file_name: of the row.
        image_rgb: uint8 (H, W, 3), as measured.
        measurement: of the picture.
        has_own: whether the file itself may know the pixel size, as in `_candidates`.
        model_sha256: hex digest of the model.
    """
    calibration, ellipse_px = measurement.calibration, measurement.ellipse_px
    is_remarkable = has_own or calibration.warnings
    return MeasurementRow(
        file_name=file_name,
        status=RowStatus(measurement.status.value),
        reason=measurement.reason,
        hc_mm=measurement.hc_mm,
        hc_px=measurement.hc_px,
        ellipse_px=ellipse_px,
        ellipse_mm=measurement.ellipse_mm,
        confidence=measurement.score,
        flags=measurement.flags,
        image_hw=(image_rgb.shape[0], image_rgb.shape[1]),
        pixel_size_xy_mm=calibration.pixel_size_xy_mm,
        pixel_size_source=calibration.source.value,
        calibration=" ".join((calibration.detail, *calibration.warnings)) if is_remarkable else "",
        interval=measurement.interval,
        quality=measurement.outline.quality,
        model_sha256=model_sha256,
        other_sizes_xy_mm=calibration.other_sizes_xy_mm,
        sharpness=None if ellipse_px is None else sharpness(to_grey(image_rgb), ellipse_px),
    )


def _candidates(task: HeadTask, *, has_own: bool) -> tuple[Calibration, ...]:
    """What the table says about the pixel size of an image, or why it says nothing.

    Args:
        task: the image.
        has_own: whether its file may know it too, so that a table without a row is not a reason.
    """
    if task.facts is not None and task.facts.pixel_size_xy_mm is not None:
        return (candidate(from_table, task.facts.pixel_size_xy_mm),)
    return () if has_own and task.facts is None else (uncalibrated(task.note),)


def _table_source(task: HeadTask) -> CalibrationSource:
    """Where the pixel size of a row came from that the file itself did not calibrate."""
    is_stated = task.facts is not None and task.facts.pixel_size_xy_mm is not None
    return CalibrationSource.CSV if is_stated else CalibrationSource.NONE
