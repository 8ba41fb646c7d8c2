"""What a model found, as the store keeps it."""

from __future__ import annotations

from fetal_hc.errors import MeasurementError
from hc18.geometry.pixel_size import (
    Calibration,
    CalibrationSource,
    format_pixel_size,
    from_table,
    uncalibrated,
    warn_of_other_size,
)
from hc18.measurement.flags import PIXEL_SIZE_FLAGS, Flag, Status
from hc18.measurement.interval_model import IntervalModel
from hc18.measurement.measurement import Measurement
from hc18.measurement.outline import HeadOutline
from hc18.measurement.rows import MeasurementRow, RowStatus
from hc18.reviews.models import Decision, ModelMeasurement, ModelVersion, ReviewCase

_REASONS = {
    RowStatus.NO_PIXEL_SIZE: "No pixel size is known for this image.",
    RowStatus.NO_HEAD: "No head was found.",
    RowStatus.FIT_FAILED: "No ellipse fits the head that was found.",
}


def from_measurement(
    model: ModelVersion, found: Measurement, interval_model: IntervalModel | None = None
) -> ModelMeasurement:
    """A measurement just made.

    Args:
        model: that made it.
        found: what it found.
        interval_model: of that model, so that the record alone gives the interval for another pixel size.
    """
    return ModelMeasurement(
        model=model,
        status=found.status.value,
        reason=found.reason,
        ellipse_px=found.ellipse_px,
        confidence=found.score,
        flags=tuple(flag.value for flag in found.flags),
        quality=found.outline.quality,
        interval=found.interval,
        interval_model=interval_model,
    )


def to_outline_px(measurement: ModelMeasurement) -> HeadOutline:
    """The head in px of a recorded measurement, without the flags that depend on the pixel size.

    Flags of earlier versions that this one does not know are left out; `ModelMeasurement.flags` still has them.
    """
    failure = None
    if measurement.ellipse_px is None:
        failure = Status.FIT_FAILED if measurement.status == Status.FIT_FAILED else Status.NO_HEAD
    flags = tuple(flag for flag in Flag if flag in measurement.flags and flag not in PIXEL_SIZE_FLAGS)
    reason = "" if failure is None else measurement.reason
    return HeadOutline(measurement.ellipse_px, failure, reason, measurement.confidence, measurement.quality, flags)


def from_score_row(
    model: ModelVersion, row: MeasurementRow, interval_model: IntervalModel | None = None
) -> ModelMeasurement:
    """The measurement of a row of `details.csv`, with a reason in other words, because rows name paths.

    Args:
        model: that measured the batch.
        row: with a status that says what the model saw (`REVIEWABLE`).
        interval_model: of that model; None if it is not known.
    """
    return ModelMeasurement(
        model=model,
        status=row.status.value,
        reason=_REASONS.get(row.status, ""),
        ellipse_px=row.ellipse_px,
        confidence=row.confidence,
        flags=row.flags,
        quality=row.quality,
        interval=row.interval,
        interval_model=interval_model,
    )


def to_row(case: ReviewCase) -> MeasurementRow:
    """The circumference of a case that counts, as a row, so that cases are put together like the rows of a batch.

    Flags of a case that was accepted or corrected count no more. A corrected ellipse has no interval.
    """
    state = case.state
    hc_mm = None if state.decision is Decision.REJECTED else state.outline.hc_mm
    return MeasurementRow(
        file_name=case.label,
        status=RowStatus.NO_HEAD if hc_mm is None else RowStatus.OK,
        reason=state.reason,
        hc_mm=hc_mm,
        ellipse_px=state.outline.ellipse_px,
        confidence=state.measurement.confidence,
        flags=state.flags if state.decision is Decision.UNREVIEWED else (),
        image_hw=state.image_hw,
        interval=None if state.decision is Decision.CORRECTED or hc_mm is None else state.interval,
        quality=state.measurement.quality,
    )


def calibration_of_row(row: MeasurementRow) -> Calibration:
    """The calibration that a row of `details.csv` was measured with.

    Raises:
        MeasurementError: if its pixel size is impossible, or its source unknown.
    """
    found = _own_calibration(row)
    for other in row.other_sizes_xy_mm:
        found = warn_of_other_size(found, other, CalibrationSource.NONE)
    return found


def _own_calibration(row: MeasurementRow) -> Calibration:
    """The pixel size of a row without those that were not used; raises as `calibration_of_row`."""
    size = row.pixel_size_xy_mm
    if size is None:
        return uncalibrated("The batch was measured without a pixel size for this image.")
    try:
        source = CalibrationSource(row.pixel_size_source)
    except ValueError as error:
        raise MeasurementError(
            f"the source of the pixel size is '{row.pixel_size_source}'; expected one of "
            f"{', '.join(CalibrationSource)}; measure the batch again"
        ) from error
    if source is CalibrationSource.CSV and size[0] == size[1]:
        return from_table(size[0])
    return Calibration(size, source, f"As in the measured batch ({source}): {format_pixel_size(size)}.")
