"""One frame to one measurement: the only way from pixels to millimetres, for batches, the review app and Python.

Pixels -> check for photographs -> detection stage -> refinement stage -> ellipse -> pixel size -> millimetres ->
interval and flags.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fetal_hc.io.records import InstancePrediction
from fetal_hc.model.preprocess import to_grey
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration, choose_pixel_size
from hc18.measure.flags import Status
from hc18.measure.head_model import HeadModel
from hc18.measure.measurement import Measurement, apply_pixel_size
from hc18.measure.outline import HeadOutline, Refine, find_outline
from hc18.measure.photograph_check import rejection_reason

# What the image file itself says about the pixel size where an ellipse lies (None: no ellipse was found).
CalibrateAt = Callable[[Ellipse | None], Calibration]


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredFrame:
    """A measurement with the detection it comes from.

    Attributes:
        measurement: the head, or why there is none.
        detection: with the soft mask of the head; None without an ellipse.
    """

    measurement: Measurement
    detection: InstancePrediction | None


def measure_frame(
    model: HeadModel,
    image_rgb: NDArray[np.uint8],
    candidates: Sequence[Calibration] = (),
    calibrate: CalibrateAt | None = None,
    *,
    min_score: float | None = None,
) -> MeasuredFrame:
    """The head circumference in one frame, or why there is none.

    Args:
        model: finds heads.
        image_rgb: uint8 (H, W, 3), original size, everything black that may not be shown.
        candidates: pixel sizes that a table or a person gives.
        calibrate: what the image file itself says; None for kinds of files that do not know it.
        min_score: smallest confidence of a detection that counts as a head, 0 to 1; the model's own if None.

    Raises:
        ModelError: if the network cannot be run on the image.
    """
    outline, detection = detect_outline(model, image_rgb, min_score=min_score)
    of_file = () if calibrate is None else (calibrate(outline.ellipse_px),)
    chosen = choose_pixel_size((*of_file, *candidates))
    return MeasuredFrame(apply_pixel_size(outline, chosen, model.intervals), detection)


def detect_outline(
    model: HeadModel, image_rgb: NDArray[np.uint8], *, min_score: float | None = None
) -> tuple[HeadOutline, InstancePrediction | None]:
    """The head in px after detection and refinement stage, and the detection that it comes from.

    Raises:
        ModelError: if one of the networks cannot be run on the image.
    """
    reason = rejection_reason(image_rgb)
    if reason:
        return HeadOutline(failure=Status.NO_HEAD, reason=reason), None
    instances = model.predict(image_rgb)
    image_hw = (image_rgb.shape[0], image_rgb.shape[1])
    smallest = model.min_score if min_score is None else min_score
    outline = find_outline(instances, image_hw, _refinement(model, image_rgb), min_score=smallest)
    index = outline.detection_index
    return outline, None if index is None else instances[index]


def _refinement(model: HeadModel, image_rgb: NDArray[np.uint8]) -> Refine | None:
    """The refinement stage for one image; None if the model has none."""
    refiner = model.refiner
    if refiner is None:
        return None
    return lambda ellipse_px: refiner.refine(to_grey(image_rgb), ellipse_px)
