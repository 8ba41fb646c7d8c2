"""From detections to one head circumference with status, reason and quality flags."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from fetal_hc.io.masks import mask_grid_to_image_affine
from fetal_hc.io.records import InstancePrediction
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.fits import SoftMaskFit, fit_soft_mask, leaves_image

# Real heads that a network had not seen score 0.89 and more, one 0.36. What scores less than LOW_SCORE is flagged.
MIN_SCORE = 0.35
LOW_SCORE = 0.8
FITS_DISAGREE_PERCENT = 1.0  # of the circumference; a trained network's masks give 0.1 (median) to 0.5, a bump 2
RAGGED_RESIDUAL_PERCENT = (
    3.0  # of the mean semi-axis; a trained network's masks give 1.2 (median), 2.2 (95 %), a bite 10
)
# Change of the circumference by the second look; of 801 heads that neither network had seen 0.4 (median), 4.6 (99 %),
# 7.8 (largest).
LOOKS_DISAGREE_PERCENT = 5.0
NO_SKULL_PERCENT = 10.0
PLAUSIBLE_HC_MM = (30.0, 420.0)  # HC18 has 44 to 346 mm
PLAUSIBLE_AXIS_RATIO = 0.5  # minor / major; HC18 has 0.66 to 0.93
MIN_BOX_SIDE_PX = 1.0
SAME_HEAD_OVERLAP = 0.3  # shared area / smaller box


class Status(StrEnum):
    """Outcome of measuring one image."""

    OK = "ok"
    NO_HEAD = "no_head"
    FIT_FAILED = "fit_failed"
    NO_PIXEL_SIZE = "no_pixel_size"
    UNREADABLE = "unreadable"


class Flag(StrEnum):
    """What a reviewer should look at although a value exists."""

    TOUCHES_BORDER = "touches_border"
    LOW_SCORE = "low_score"
    FITS_DISAGREE = "fits_disagree"
    SEVERAL_HEADS = "several_heads"
    IMPLAUSIBLE_HC = "implausible_hc"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class HeadMeasurement:
    """The measured head of one image, or why there is none.

    Attributes:
        status: `ok` alone means millimetres; `no_pixel_size` still has the ellipse in px.
        reason: what is missing; empty when `ok`.
        ellipse_px: in px of the original image, pixel centres at integers.
        ellipse_mm: the same times the pixel sizes, from the centre of the top-left pixel.
        hc_px: circumference in px.
        hc_mm: circumference in mm.
        score: confidence of the chosen head, also of one that could not be fitted.
        disagreement_percent: between contour and moments, in percent of the circumference.
        residual_percent: root mean square distance of contour and ellipse in percent of the mean semi-axis.
        mask_entropy: mean binary entropy of the cells of the soft mask, 0 (all sure) to ln 2.
        hc_interval_mm: predictive interval of the reference HC in mm; None without a calibrated model.
        expected_error_mm: expected |error| in mm; None without a calibrated model.
        flags: `Flag` values, in the order of that class.
    """

    status: Status
    reason: str = ""
    ellipse_px: Ellipse | None = None
    ellipse_mm: Ellipse | None = None
    hc_px: float | None = None
    hc_mm: float | None = None
    score: float | None = None
    disagreement_percent: float | None = None
    residual_percent: float | None = None
    mask_entropy: float | None = None
    hc_interval_mm: tuple[float, float] | None = None
    expected_error_mm: float | None = None
    flags: tuple[Flag, ...] = ()


def measure_head(
    instances: Sequence[InstancePrediction],
    image_hw: tuple[int, int],
    pixel_size_mm: tuple[float, float] | None,
    *,
    min_score: float = MIN_SCORE,
) -> HeadMeasurement:
    """The circumference of the best-scoring detection that an ellipse fits; never raises on odd predictions.

    Args:
        instances: detections in one image, any order.
        image_hw: height and width of the original image in px.
        pixel_size_mm: mm per px along x and y; with None or a value that is not positive nothing is in mm.
        min_score: detections below it are no head.
    """
    candidates = sorted(
        (instance for instance in instances if instance.score >= min_score),
        key=lambda instance: instance.score,
        reverse=True,
    )
    if not candidates:
        scores = [instance.score for instance in instances if math.isfinite(instance.score)]
        reason = f"the best of {len(scores)} detections has score {max(scores):.3f}" if scores else "nothing detected"
        return HeadMeasurement(Status.NO_HEAD, f"{reason}; a head needs {min_score:g}")
    usable = [instance for instance in candidates if _is_usable(instance)]
    if not usable:
        return HeadMeasurement(
            Status.FIT_FAILED,
            "every detected head has an empty box or no square mask",
            score=float(candidates[0].score),
        )
    surest, *others = usable
    measured = _measure_detection(surest, usable, image_hw)
    for other in others:
        if measured.ellipse_px is not None:
            break
        found = _measure_detection(other, usable, image_hw)
        if found.ellipse_px is not None:  # what was surer may be this head together with something else
            measured = _with_flags(found, {*found.flags, Flag.FITS_DISAGREE})
    return with_pixel_size(measured, pixel_size_mm)


def with_refined_outline(
    measurement: HeadMeasurement, ellipse_px: Ellipse | None, image_hw: tuple[int, int]
) -> HeadMeasurement:
    """A measurement in px, without millimetres, with its ellipse replaced by the refined one.

    Where the second look ends far from the first, there is no skull along the outline and so no head.

    Args:
        measurement: of `measure_head`, with an ellipse and without a pixel size.
        ellipse_px: what the second look found around that ellipse; None keeps the first, flagged.
        image_hw: height and width of the image in px.
    """
    if ellipse_px is None or measurement.hc_px is None:
        return _with_flags(measurement, {*measurement.flags, Flag.FITS_DISAGREE})
    moved_percent = 100.0 * abs(measurement.hc_px / ellipse_px.circumference() - 1.0)
    if moved_percent > NO_SKULL_PERCENT:
        reason = f"no skull along the outline: two looks at it differ by {moved_percent:.0f} % of the circumference"
        return HeadMeasurement(Status.NO_HEAD, reason, score=measurement.score)
    raised = set(measurement.flags) - {Flag.TOUCHES_BORDER, Flag.IMPLAUSIBLE_HC}
    if moved_percent > LOOKS_DISAGREE_PERCENT:
        raised.add(Flag.FITS_DISAGREE)
    if leaves_image(ellipse_px, image_hw):
        raised.add(Flag.TOUCHES_BORDER)
    if _is_too_flat(ellipse_px):
        raised.add(Flag.IMPLAUSIBLE_HC)
    moved = replace(measurement, ellipse_px=ellipse_px, hc_px=ellipse_px.circumference())
    return _with_flags(moved, raised)


def with_pixel_size(measurement: HeadMeasurement, pixel_size_mm: tuple[float, float] | None) -> HeadMeasurement:
    """A measurement in px with its millimetres, for a pixel size that depends on where the head lies.

    Args:
        measurement: without millimetres; returned as it is if it has no ellipse.
        pixel_size_mm: mm per px along x and y; with None or a value that is not positive nothing is in mm.
    """
    if measurement.ellipse_px is None:
        return measurement
    problem = _pixel_size_problem(pixel_size_mm)
    if problem or pixel_size_mm is None:
        return replace(measurement, status=Status.NO_PIXEL_SIZE, reason=problem)
    ellipse_mm = measurement.ellipse_px.to_mm(*pixel_size_mm)
    hc_mm = ellipse_mm.circumference()
    is_implausible = not PLAUSIBLE_HC_MM[0] <= hc_mm <= PLAUSIBLE_HC_MM[1]
    raised = {*measurement.flags, Flag.IMPLAUSIBLE_HC} if is_implausible else set(measurement.flags)
    return replace(
        measurement,
        status=Status.OK,
        reason="",
        ellipse_mm=ellipse_mm,
        hc_mm=hc_mm,
        flags=_in_order(raised),
    )


def _with_flags(measurement: HeadMeasurement, raised: Set[Flag]) -> HeadMeasurement:
    return replace(measurement, flags=_in_order(raised))


def _in_order(raised: Set[Flag]) -> tuple[Flag, ...]:
    return tuple(flag for flag in Flag if flag in raised)


def _measure_detection(
    head: InstancePrediction, detected: Sequence[InstancePrediction], image_hw: tuple[int, int]
) -> HeadMeasurement:
    """One of the detected heads in px, or why no ellipse fits it."""
    mask = np.asarray(head.soft_mask, dtype=np.float64)
    fit = fit_soft_mask(mask, mask_grid_to_image_affine(head.box_xyxy, mask.shape[0]), image_hw)
    if fit.ellipse is None:
        return HeadMeasurement(Status.FIT_FAILED, fit.reason, score=float(head.score))
    return HeadMeasurement(
        status=Status.NO_PIXEL_SIZE,
        ellipse_px=fit.ellipse,
        hc_px=fit.ellipse.circumference(),
        score=float(head.score),
        disagreement_percent=fit.disagreement_percent,
        residual_percent=fit.residual_percent,
        mask_entropy=_mean_entropy(mask),
        flags=_flags(fit, fit.ellipse, head, detected),
    )


def _flags(
    fit: SoftMaskFit, ellipse_px: Ellipse, head: InstancePrediction, detected: Sequence[InstancePrediction]
) -> tuple[Flag, ...]:
    """Quality flags of one of the detected heads, as far as they show in px."""
    raised = {
        Flag.TOUCHES_BORDER: fit.touches_border,
        Flag.LOW_SCORE: head.score < LOW_SCORE,
        Flag.FITS_DISAGREE: (fit.disagreement_percent or 0.0) > FITS_DISAGREE_PERCENT
        or (fit.residual_percent or 0.0) > RAGGED_RESIDUAL_PERCENT,
        Flag.SEVERAL_HEADS: any(
            _overlap(head.box_xyxy, other.box_xyxy) < SAME_HEAD_OVERLAP for other in detected if other is not head
        ),
        Flag.IMPLAUSIBLE_HC: _is_too_flat(ellipse_px),
    }
    return tuple(flag for flag, is_raised in raised.items() if is_raised)


def _is_too_flat(ellipse: Ellipse) -> bool:
    return ellipse.semi_axis_b < PLAUSIBLE_AXIS_RATIO * ellipse.semi_axis_a


def _mean_entropy(soft_mask: NDArray[np.float64]) -> float:
    """Mean binary entropy of probabilities, natural logarithm."""
    shares = np.clip(soft_mask, 1e-6, 1.0 - 1e-6)
    return float(-(shares * np.log(shares) + (1.0 - shares) * np.log(1.0 - shares)).mean())


def _is_usable(instance: InstancePrediction) -> bool:
    """Whether the box is finite and large enough for an outline and the mask square."""
    box, shape = np.asarray(instance.box_xyxy, dtype=np.float64), np.shape(instance.soft_mask)
    if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] - box[:2]).min() < MIN_BOX_SIDE_PX:
        return False
    return len(shape) == 2 and shape[0] == shape[1] > 0


def _overlap(box_xyxy: NDArray[np.float32], other_xyxy: NDArray[np.float32]) -> float:
    """Shared area of two boxes over the area of the smaller one."""
    box, other = box_xyxy.astype(np.float64), other_xyxy.astype(np.float64)
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    shared = float(np.prod(np.maximum(sides, 0.0)))
    return shared / min(float(np.prod(corners[2:] - corners[:2])) for corners in (box, other))


def _pixel_size_problem(pixel_size_mm: tuple[float, float] | None) -> str:
    """Why there can be no millimetres; empty if there can."""
    if pixel_size_mm is None:
        return "no pixel size is known for this image"
    if not all(math.isfinite(size) and size > 0.0 for size in pixel_size_mm):
        return f"pixel size {pixel_size_mm} mm is not positive and finite"
    return ""
