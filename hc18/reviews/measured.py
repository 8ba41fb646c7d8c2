"""What a model found, as the store keeps it."""

from __future__ import annotations

from fetal_hc.errors import MeasurementError
from hc18.geometry.pixel_size import Calibration, CalibrationSource, from_table, uncalibrated
from hc18.measure.measurement import HeadMeasurement
from hc18.measure.rows import MeasurementRow, RowStatus
from hc18.reviews.records import ModelMeasurement, ModelVersion

_REASONS = {
    RowStatus.NO_PIXEL_SIZE: "No pixel size is known for this image.",
    RowStatus.NO_HEAD: "No head was found.",
    RowStatus.FIT_FAILED: "No ellipse fits the head that was found.",
}


def from_head_measurement(
    model: ModelVersion, found: HeadMeasurement, interval_level: float | None = None
) -> ModelMeasurement:
    """A measurement just made.

    Args:
        model: that made it.
        found: what it found.
        interval_level: share of references that the model's intervals hold, 0 to 1; None if it has none.
    """
    return ModelMeasurement(
        model=model,
        status=found.status.value,
        reason=found.reason,
        ellipse_px=found.ellipse_px,
        confidence=found.score,
        flags=tuple(flag.value for flag in found.flags),
        residual_percent=found.residual_percent,
        disagreement_percent=found.disagreement_percent,
        mask_entropy=found.mask_entropy,
        hc_interval_mm=found.hc_interval_mm,
        hc_interval_level=None if found.hc_interval_mm is None else interval_level,
        expected_error_mm=found.expected_error_mm,
    )


def from_score_row(model: ModelVersion, row: MeasurementRow) -> ModelMeasurement:
    """The measurement of a row of `details.csv`; its reason is worded anew, because rows name paths.

    Args:
        model: that scored the batch.
        row: with a status that says what the model saw (`IMPORTABLE`).
    """
    return ModelMeasurement(
        model=model,
        status=row.status.value,
        reason=_REASONS.get(row.status, ""),
        ellipse_px=row.ellipse_px,
        confidence=row.confidence,
        flags=row.flags,
        residual_percent=row.residual_percent,
        disagreement_percent=row.disagreement_percent,
        mask_entropy=row.mask_entropy,
        hc_interval_mm=row.hc_interval_mm,
        expected_error_mm=row.expected_error_mm,
    )


def calibration_of_row(row: MeasurementRow) -> Calibration:
    """The calibration that a row of `details.csv` was measured with.

    Raises:
        MeasurementError: if its pixel size is impossible, or its source unknown.
    """
    size = row.pixel_size_xy_mm
    if size is None:
        return uncalibrated("The batch was scored without a pixel size for this image.")
    try:
        source = CalibrationSource(row.pixel_size_source)
    except ValueError as error:
        raise MeasurementError(
            f"the source of the pixel size is '{row.pixel_size_source}'; expected one of "
            f"{', '.join(CalibrationSource)}; score the batch anew"
        ) from error
    if source is CalibrationSource.CSV and size[0] == size[1]:
        return from_table(size[0])
    return Calibration(size, source, f"As in the scored batch ({source}): {size[0]:.4g} x {size[1]:.4g} mm per pixel.")
