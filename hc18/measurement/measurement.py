"""One head circumference in millimetres: an outline in px, a pixel size, and how far the result may be off."""

from __future__ import annotations

from dataclasses import dataclass

from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration
from hc18.measurement.flags import Flag, Status, in_order
from hc18.measurement.interval_model import Interval, IntervalModel, find_features
from hc18.measurement.outline import HeadOutline
from hc18.obstetrics.growth import is_plausible_hc, is_too_flat


@dataclass(frozen=True, slots=True)
class Measurement:
    """The measured head of one image, or why there is none. Made once, by `apply_pixel_size`.

    Attributes:
        outline: the head in px.
        calibration: the pixel size that counts, or why there is none.
        interval: predictive interval and expected error; None without millimetres or without a calibrated model.
        flags: all quality flags, in the order of `Flag`.
    """

    outline: HeadOutline
    calibration: Calibration
    interval: Interval | None = None
    flags: tuple[Flag, ...] = ()

    @property
    def status(self) -> Status:
        """`OK` alone means millimetres; `NO_PIXEL_SIZE` still has the ellipse in px."""
        if self.outline.failure is not None:
            return self.outline.failure
        return Status.NO_PIXEL_SIZE if self.calibration.pixel_size_xy_mm is None else Status.OK

    @property
    def reason(self) -> str:
        """What is missing; empty when `OK`."""
        return self.calibration.detail if self.status is Status.NO_PIXEL_SIZE else self.outline.reason

    @property
    def ellipse_px(self) -> Ellipse | None:
        """In px of the original image, pixel centres at integers."""
        return self.outline.ellipse_px

    @property
    def ellipse_mm(self) -> Ellipse | None:
        """The same times the pixel sizes, from the centre of the top-left pixel; None without a pixel size."""
        return to_mm(self.outline.ellipse_px, self.calibration)

    @property
    def hc_px(self) -> float | None:
        """Circumference in px."""
        return None if self.outline.ellipse_px is None else self.outline.ellipse_px.circumference()

    @property
    def hc_mm(self) -> float | None:
        """Circumference in mm; None without a pixel size."""
        ellipse_mm = self.ellipse_mm
        return None if ellipse_mm is None else ellipse_mm.circumference()

    @property
    def score(self) -> float | None:
        """Confidence of the chosen detection, 0 to 1."""
        return self.outline.score


def apply_pixel_size(
    outline: HeadOutline, calibration: Calibration, interval_model: IntervalModel | None = None
) -> Measurement:
    """The measurement of an outline with a pixel size, whenever that becomes known.

    Interval and flags follow from the quality of the outline and the circumference alone, so a pixel size that
    arrives late gives exactly what an early one gives.

    Args:
        outline: the head in px.
        calibration: the pixel size that counts; one without a size leaves the measurement in px.
        interval_model: of the model that found the outline; without one there is no interval.
    """
    seen = set(outline.flags)
    if outline.ellipse_px is not None and is_too_flat(outline.ellipse_px.semi_axis_a, outline.ellipse_px.semi_axis_b):
        seen.add(Flag.IMPLAUSIBLE_HC)
    ellipse_mm = to_mm(outline.ellipse_px, calibration)
    if ellipse_mm is None:
        return Measurement(outline, calibration, None, in_order(seen))
    hc_mm = ellipse_mm.circumference()
    if not is_plausible_hc(hc_mm):
        seen.add(Flag.IMPLAUSIBLE_HC)
    if calibration.other_sizes_xy_mm:
        seen.add(Flag.PIXEL_SIZES_DISAGREE)
    interval = None
    if interval_model is not None:
        features = find_features(hc_mm, outline.quality, interval_model.feature_names())
        interval = None if features is None else interval_model.assess(hc_mm, features)
        if interval is None or interval_model.needs_review(interval):
            seen.add(Flag.UNCERTAIN)
    return Measurement(outline, calibration, interval, in_order(seen))


def to_mm(ellipse_px: Ellipse | None, calibration: Calibration) -> Ellipse | None:
    """An ellipse in mm, from the centre of the top-left pixel; None without an ellipse or a pixel size."""
    size_xy_mm = calibration.pixel_size_xy_mm
    return None if ellipse_px is None or size_xy_mm is None else ellipse_px.to_mm(*size_xy_mm)
