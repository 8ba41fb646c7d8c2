"""Processor time of the stages of one image, as the benchmarks of speed print it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fetal_hc.model.preprocess import to_grey
from hc18.measure.head_model import HeadModel
from hc18.measure.outline import find_outline
from hc18.measure.outline_refinement import refine_outline
from hc18.measure.polar_band import N_ANGLES

# All of one image but the networks, in percent of its time.
MAX_OUTSIDE_PERCENT = 25.0


def median_ms(stage: Callable[[int], object], indices: Sequence[int]) -> float:
    """Median processor time of a stage over all images, in ms."""
    times = []
    for index in indices:
        started = time.process_time()
        stage(index)
        times.append(time.process_time() - started)
    return statistics.median(times) * 1e3


def second_look_ms(predictor: HeadModel, images_rgb: Sequence[NDArray[np.uint8]]) -> tuple[float, float]:
    """Median processor times in ms of the second look: of its network, and of the bands and fits around it.

    The latter is timed with a network that at once finds the outline where it is; both are 0 for a model without a
    second look.
    """
    refiner = predictor.refiner
    if refiner is None:
        return 0.0, 0.0
    measured = [find_outline(predictor.predict(image), image.shape[:2]).ellipse_px for image in images_rgb]
    heads = [(image, ellipse) for image, ellipse in zip(images_rgb, measured, strict=True) if ellipse is not None]
    still = np.ones((1, N_ANGLES)), np.ones((1, N_ANGLES))
    whole = median_ms(lambda i: refiner.refine(to_grey(heads[i][0]), heads[i][1]), range(len(heads)))
    around = median_ms(lambda i: refine_outline(to_grey(heads[i][0]), heads[i][1], lambda _: still), range(len(heads)))
    return whole - around, around
