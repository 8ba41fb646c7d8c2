"""One image to one head circumference: the checks of the image, the network, the fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fetal_hc.io.records import InstancePrediction
from fetal_hc.model.predictor import OnnxPredictor
from fetal_hc.model.preprocess import to_grey
from hc18.measure.interval_model import add_interval
from hc18.measure.measurement import (
    MIN_SCORE,
    HeadMeasurement,
    Status,
    measure_head,
    with_pixel_size,
    with_refined_outline,
)
from hc18.measure.photograph_check import rejection_reason


def measure_image(
    predictor: OnnxPredictor,
    image_rgb: NDArray[np.uint8],
    pixel_size_mm: tuple[float, float] | None,
    *,
    min_score: float = MIN_SCORE,
) -> HeadMeasurement:
    """The head circumference in an image, or why there is none.

    Args:
        predictor: finds heads.
        image_rgb: uint8 (H, W, 3), original size.
        pixel_size_mm: mm per px along x and y; without it nothing is in mm.
        min_score: smallest confidence of a detection that counts as a head, 0 to 1.

    Raises:
        ModelError: if the network cannot be run on the image.
    """
    reason = rejection_reason(image_rgb)
    if reason:
        return HeadMeasurement(Status.NO_HEAD, reason)
    measurement = measure_instances(predictor, image_rgb, predictor.predict(image_rgb), min_score=min_score)
    return calibrated(predictor, measurement, pixel_size_mm)


def measure_instances(
    predictor: OnnxPredictor,
    image_rgb: NDArray[np.uint8],
    instances: Sequence[InstancePrediction],
    *,
    min_score: float = MIN_SCORE,
) -> HeadMeasurement:
    """The head among what the first look found, in px, its outline refined if the model can.

    Args:
        predictor: what found the instances.
        image_rgb: uint8 (H, W, 3), original size.
        instances: of `predictor.predict`.
        min_score: smallest confidence of a detection that counts as a head, 0 to 1.

    Raises:
        ModelError: if the refining network cannot be run.
    """
    image_hw = (image_rgb.shape[0], image_rgb.shape[1])
    measurement = measure_head(instances, image_hw, None, min_score=min_score)
    if predictor.refiner is None or measurement.ellipse_px is None:
        return measurement
    refined_px = predictor.refiner.refine(to_grey(image_rgb), measurement.ellipse_px)
    return with_refined_outline(measurement, refined_px, image_hw)


def calibrated(
    predictor: OnnxPredictor, measurement: HeadMeasurement, pixel_size_mm: tuple[float, float] | None
) -> HeadMeasurement:
    """A measurement in px with its millimetres, interval and expected error.

    Args:
        predictor: what found the head; its model knows how far it errs.
        measurement: of `measure_image` without a pixel size.
        pixel_size_mm: mm per px along x and y; without it nothing is in mm.
    """
    return add_interval(with_pixel_size(measurement, pixel_size_mm), predictor.spec.trust)
