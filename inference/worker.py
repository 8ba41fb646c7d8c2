"""One image from file to result row, in whatever process a runner chooses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hc18.measurement import HeadMeasurement
from inference.head_measurement import measure_image
from inference.jobs import ScoreJob
from inference.predictor import OnnxPredictor
from inference.rows import RowStatus, ScoreRow
from segdata.errors import DatasetError, ModelError
from segdata.images import read_image

HEAD_CLASSES = ("head",)


@dataclass(frozen=True, slots=True)
class ScoreWork:
    """Starts the work of one process: loads the model, returns the function that measures one image.

    Attributes:
        model: ONNX file.
        num_threads: threads for the network.
        min_score: smallest confidence of a detection that counts as a head, 0 to 1.
    """

    model: Path
    num_threads: int
    min_score: float

    def __call__(self) -> Callable[[ScoreJob], ScoreRow]:
        """The function that measures one image.

        Raises:
            ModelError: if the model cannot be used or finds something else than heads.
        """
        predictor = OnnxPredictor(self.model, self.num_threads)
        if predictor.spec.class_names != HEAD_CLASSES:
            raise ModelError(
                f"{self.model}: finds {', '.join(predictor.spec.class_names)}; expected a model that finds "
                f"{', '.join(HEAD_CLASSES)}; choose a model trained on HC18"
            )
        return partial(score_job, predictor, self.min_score)


def score_job(predictor: OnnxPredictor, min_score: float, job: ScoreJob) -> ScoreRow:
    """The result of one image; whatever goes wrong with it becomes a status and a reason.

    Args:
        predictor: finds heads.
        min_score: smallest confidence of a detection that counts as a head, 0 to 1.
        job: the image.
    """
    if job.path is None:
        return _failed_row(job, RowStatus.MISSING_FILE, job.note)
    try:
        image = read_image(job.path)
        image_hw = (image.shape[0], image.shape[1])
        pixel_size_mm = None if job.pixel_size_mm is None else (job.pixel_size_mm, job.pixel_size_mm)
        measurement = measure_image(predictor, image, pixel_size_mm, min_score=min_score)
        return _measured_row(job, measurement, image_hw)
    except DatasetError as error:
        return _failed_row(job, RowStatus.UNREADABLE, str(error))
    except ModelError as error:
        return _failed_row(job, RowStatus.MODEL_FAILED, str(error))
    except Exception as error:  # noqa: BLE001  # a mistake of ours in one image must not cost the others their results
        return _failed_row(job, RowStatus.INTERNAL_ERROR, f"{type(error).__name__}: {error}; please report this")


def crashed_row(job: ScoreJob) -> ScoreRow:
    """The result of an image that killed its process."""
    reason = "the process that worked on this image died (out of memory, or a damaged file); check the file"
    return _failed_row(job, RowStatus.INTERNAL_ERROR, reason)


def _measured_row(job: ScoreJob, measurement: HeadMeasurement, image_hw: tuple[int, int]) -> ScoreRow:
    """The row of an image in which a head was looked for."""
    status = RowStatus(measurement.status.value)
    return ScoreRow(
        file_name=job.file_name,
        status=status,
        reason=job.note if status == RowStatus.NO_PIXEL_SIZE else measurement.reason,
        hc_mm=measurement.hc_mm,
        hc_px=measurement.hc_px,
        ellipse_px=measurement.ellipse_px,
        ellipse_mm=measurement.ellipse_mm,
        confidence=measurement.score,
        flags=measurement.flags,
        image_hw=image_hw,
        pixel_size_mm=job.pixel_size_mm,
        pixel_size_source=job.pixel_size_source,
    )


def _failed_row(job: ScoreJob, status: RowStatus, reason: str) -> ScoreRow:
    """The row of an image without a measurement."""
    return ScoreRow(
        job.file_name, status, reason, pixel_size_mm=job.pixel_size_mm, pixel_size_source=job.pixel_size_source
    )
