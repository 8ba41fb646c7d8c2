"""Where the head is in an image, in px: the detection that counts, its ellipse, and what they show of their quality."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fetal_hc.io.masks import mask_grid_to_image_affine
from fetal_hc.io.records import InstancePrediction
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.fits import SoftMaskFit, fit_soft_mask, leaves_image
from hc18.measurement.flags import Flag, Status, in_order

NEEDED_SCORE = "a head needs"  # begins the last part of a reason
# Real heads that a network had not seen score 0.89 and more, one 0.36. What scores less than LOW_SCORE is flagged.
MIN_SCORE = 0.35
LOW_SCORE = 0.8
FITS_DISAGREE_PERCENT = 1.0  # of the circumference; a trained network's masks give 0.1 (median) to 0.5, a bump 2
RAGGED_RESIDUAL_PERCENT = 3.0  # of the mean semi-axis; trained networks give 1.2 (median), 2.2 (95 %), a bite 10
# Change of the circumference by the refinement stage; of 801 heads that neither network had seen 0.4 (median),
# 4.6 (99 %), 7.8 (largest).
STAGES_DISAGREE_PERCENT = 5.0
NO_SKULL_PERCENT = 10.0
MIN_BOX_SIDE_PX = 1.0
SAME_HEAD_OVERLAP = 0.3  # shared area / smaller box

# A rough ellipse -> the ellipse on the skull, both in px of the image; None if there is none.
Refine = Callable[[Ellipse], Ellipse | None]


def _figure(decimals: int, *, is_original: bool = False) -> Any:
    """A field of `Quality`: a number, None where it does not apply.

    Args:
        decimals: of its column in `details.csv`.
        is_original: True for the figures that every record of the review store has. A later one is added at the end of
            the table, and records and files of earlier versions lack it.
    """
    return field(default=None, metadata={"decimals": decimals, "is_original": is_original})


@dataclass(frozen=True, slots=True)
class Quality:
    """Figures of both stages about the quality of the outline and of the image.

    One more figure is one more field here, at the end, and its value in `_to_outline`. Its column in `details.csv` and
    its place in the review record follow from the field; `FEATURES` says which figures the interval depends on.

    Attributes:
        residual_percent: root mean square distance of the mask's contour and the ellipse, in percent of the mean
            semi-axis; None if it could not be computed.
        disagreement_percent: between the fits to contour and moments, in percent of the circumference; None if one
            of them failed.
        mask_entropy: mean binary entropy of the cells of the soft mask, 0 (all sure) to ln 2.
        stages_percent: how far the refinement stage changed the circumference, in percent; None without that stage.
        plane_score: probability, 0 to 1, that the ellipse lies in a plane in which the head is measured; None if the
            model has no such check.
        unfamiliarity: probability, 0 to 1, that the image comes from elsewhere than those with exact references; None
            if the model has no such check.
    """

    residual_percent: float | None = _figure(6, is_original=True)
    disagreement_percent: float | None = _figure(6, is_original=True)
    mask_entropy: float | None = _figure(6, is_original=True)
    stages_percent: float | None = _figure(6)
    plane_score: float | None = _figure(6)
    unfamiliarity: float | None = _figure(6)

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """The figures among values by name, as a table or a record has them; those it lacks are None."""
        return cls(**{item.name: values.get(item.name) for item in fields(cls)})


@dataclass(frozen=True, slots=True)
class HeadOutline:
    """The head in one image, in px, or why there is none. Nothing in it depends on the pixel size.

    Attributes:
        ellipse_px: in px of the original image, pixel centres at integers; None exactly if there is a `failure`.
        failure: `NO_HEAD` or `FIT_FAILED`; None if there is an ellipse.
        reason: why there is no ellipse; empty if there is one.
        score: confidence of the chosen detection, 0 to 1, also of one that no ellipse fits.
        quality: of the outline; all None if no ellipse was found.
        flags: those that are seen in the image alone, in the order of `Flag`.
        detection_index: position of the chosen detection among the instances; None without an ellipse.
    """

    ellipse_px: Ellipse | None = None
    failure: Status | None = None
    reason: str = ""
    score: float | None = None
    quality: Quality = Quality()
    flags: tuple[Flag, ...] = ()
    detection_index: int | None = None

    def __post_init__(self) -> None:
        assert (self.ellipse_px is None) == (self.failure in (Status.NO_HEAD, Status.FIT_FAILED))


def find_outline(
    instances: Sequence[InstancePrediction],
    image_hw: tuple[int, int],
    refine: Refine | None = None,
    *,
    min_score: float = MIN_SCORE,
    refinement_share: float = 1.0,
) -> HeadOutline:
    """The outline of the best-scoring detection that an ellipse fits; never raises on odd predictions.

    Where the refinement stage ends far from the detection, there is no skull along the outline and so no head.

    Args:
        instances: detections in one image, any order.
        image_hw: height and width of the original image in px.
        refine: the refinement stage; None leaves the ellipse of the detection stage.
        min_score: smallest confidence of a detection that counts as a head, 0 to 1.
        refinement_share: where between the ellipses of detection (0) and refinement stage (1) the result lies.
    """
    candidates = sorted(
        (index for index, instance in enumerate(instances) if instance.score >= min_score),
        key=lambda index: instances[index].score,
        reverse=True,
    )
    if not candidates:
        return HeadOutline(failure=Status.NO_HEAD, reason=_no_detection(instances, min_score))
    usable = [index for index in candidates if _is_usable(instances[index])]
    if not usable:
        reason = "every detected head has an empty box or no square mask"
        return HeadOutline(failure=Status.FIT_FAILED, reason=reason, score=float(instances[candidates[0]].score))
    reason = ""
    for index in usable:
        fit = _fit(instances[index], image_hw)
        if fit.ellipse is not None:
            others = [instances[other] for other in usable if other != index]
            seen = _detection_flags(instances[index], others, fit, is_fallback=index != usable[0])
            found = _to_outline(index, instances[index], fit, fit.ellipse, seen, refine, refinement_share)
            return _with_border_flag(found, image_hw)
        reason = reason or fit.reason
    return HeadOutline(failure=Status.FIT_FAILED, reason=reason, score=float(instances[usable[0]].score))


def _to_outline(
    index: int,
    head: InstancePrediction,
    fit: SoftMaskFit,
    detected_px: Ellipse,
    seen: set[Flag],
    refine: Refine | None,
    refinement_share: float,
) -> HeadOutline:
    """The outline of one detection after the refinement stage."""
    ellipse_px, moved_percent = detected_px, None
    if refine is not None:
        refined_px = refine(detected_px)
        if refined_px is None:
            seen = seen | {Flag.REFINEMENT_FAILED}
        else:
            moved_percent = 100.0 * abs(detected_px.circumference() / refined_px.circumference() - 1.0)
            if moved_percent > NO_SKULL_PERCENT:
                return HeadOutline(failure=Status.NO_HEAD, reason=_no_skull(moved_percent), score=float(head.score))
            if moved_percent > STAGES_DISAGREE_PERCENT:
                seen = seen | {Flag.STAGES_DISAGREE}
            is_whole = refinement_share == 1.0
            ellipse_px = refined_px if is_whole else detected_px.blended(refined_px, refinement_share)
    entropy = _mean_entropy(head.soft_mask)
    quality = Quality(fit.residual_percent, fit.disagreement_percent, entropy, moved_percent)
    return HeadOutline(ellipse_px, None, "", float(head.score), quality, in_order(seen), index)


def _with_border_flag(outline: HeadOutline, image_hw: tuple[int, int]) -> HeadOutline:
    """The outline, flagged if its ellipse leaves the image."""
    if outline.ellipse_px is None or not leaves_image(outline.ellipse_px, image_hw):
        return outline
    return replace(outline, flags=in_order({*outline.flags, Flag.TOUCHES_BORDER}))


def _detection_flags(
    head: InstancePrediction, others: Sequence[InstancePrediction], fit: SoftMaskFit, *, is_fallback: bool
) -> set[Flag]:
    """What the detection stage alone shows."""
    raised = {
        Flag.LOW_SCORE: head.score < LOW_SCORE,
        Flag.FALLBACK_DETECTION: is_fallback,  # what was surer may be this head together with something else
        Flag.MASK_NOT_ELLIPTICAL: (fit.disagreement_percent or 0.0) > FITS_DISAGREE_PERCENT
        or (fit.residual_percent or 0.0) > RAGGED_RESIDUAL_PERCENT,
        Flag.SEVERAL_HEADS: any(_overlap(head.box_xyxy, other.box_xyxy) < SAME_HEAD_OVERLAP for other in others),
    }
    return {flag for flag, is_raised in raised.items() if is_raised}


def _no_detection(instances: Sequence[InstancePrediction], min_score: float) -> str:
    """Why no detection counts as a head."""
    scores = [instance.score for instance in instances if math.isfinite(instance.score)]
    found = f"the best of {len(scores)} detections has score {max(scores):.3f}" if scores else "nothing detected"
    return f"{found}; {needed_score(min_score)}"


def needed_score(min_score: float) -> str:
    """The end of the reason why nothing that was detected counts as a head."""
    return f"{NEEDED_SCORE} {min_score:g}"


def _no_skull(moved_percent: float) -> str:
    return (
        "no skull along the outline: the detection and the refinement stage differ by "
        f"{moved_percent:.0f} % of the circumference"
    )


def _fit(head: InstancePrediction, image_hw: tuple[int, int]) -> SoftMaskFit:
    mask = np.asarray(head.soft_mask, dtype=np.float64)
    return fit_soft_mask(mask, mask_grid_to_image_affine(head.box_xyxy, mask.shape[0]), image_hw)


def _mean_entropy(soft_mask: NDArray[np.float32]) -> float:
    """Mean binary entropy of probabilities, natural logarithm."""
    shares = np.clip(np.asarray(soft_mask, dtype=np.float64), 1e-6, 1.0 - 1e-6)
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
