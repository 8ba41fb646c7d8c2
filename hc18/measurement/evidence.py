"""What an image and an outline show about the plane and about the origin of the image, as named numbers.

`hc18.measurement.image_checks` weighs them. None of them depends on the pixel size, and all are comparable between
detectors: they come from the image, the ellipse, and figures that every detector gives.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from hc18.geometry.ellipse import Ellipse
from hc18.measurement.head_view import (
    N_SHAPES,
    HeadView,
    midline_contrast,
    sample_head,
    shape_histogram,
    share_outside,
    skull_share,
)
from hc18.measurement.outline import Quality

# What the two checks weigh.
ORIGIN_EVIDENCE = (
    *("text", "black", "brightness", "core_contrast", "grain_across_1", "grain_down_1", "grain_across_4"),
    *("grain_down_4", "sharpness", "size_px", "shadow", "skull", "midline"),
)
PLANE_EVIDENCE = (
    *("score", "residual", "disagreement", "entropy", "stages", "axis_ratio", "size_in_image", "outside", "skull"),
    *("midline", "contrast", *(f"shape_{index:03d}" for index in range(N_SHAPES))),
)
MAX_LOG_ODDS = 9.0  # a surer detector says nothing more about the plane
# Values of figures that could not be computed: those of a very poor outline.
_NO_RESIDUAL_PERCENT, _NO_DISAGREEMENT_PERCENT = 10.0, 5.0
_WHITE, _BLACK = 250, 4  # grey levels: machine text and rulers, and what lies outside the sector
_CORE_SHARE = 0.7  # of the minor semi-axis: half the side of the square in which the speckle is measured
_MAX_CORE_PX = 80.0  # more of a large head says the same
_FAR_LAG_PX = 4


def find_evidence(
    image_grey: NDArray[np.uint8], ellipse_px: Ellipse, score: float, quality: Quality
) -> dict[str, float]:
    """All evidence about one outline, by name.

    Args:
        image_grey: uint8 (H, W).
        ellipse_px: the measured head in px of the image.
        score: confidence of its detection, 0 to 1.
        quality: of the outline.
    """
    view = sample_head(image_grey, ellipse_px)
    histogram = shape_histogram(view).tolist()
    shapes = {f"shape_{index:03d}": value for index, value in enumerate(histogram)}
    return {
        **_outline_evidence(image_grey.shape, ellipse_px, score, quality),
        **_view_evidence(view),
        **_origin_evidence(image_grey, ellipse_px),
        **shapes,
    }


def _outline_evidence(
    image_hw: tuple[int, ...], ellipse_px: Ellipse, score: float, quality: Quality
) -> dict[str, float]:
    """How well the stages agree with each other, and the shape of the ellipse."""
    odds = max(score, 1e-6) / max(1.0 - score, 1e-6)
    residual, disagreement = quality.residual_percent, quality.disagreement_percent
    return {
        "score": min(math.log(odds), MAX_LOG_ODDS),
        "residual": math.log1p(_NO_RESIDUAL_PERCENT if residual is None else residual),
        "disagreement": math.log1p(_NO_DISAGREEMENT_PERCENT if disagreement is None else disagreement),
        "entropy": math.log(max(quality.mask_entropy or 0.0, 1e-3) / 0.05),
        "stages": math.log1p(quality.stages_percent or 0.0),
        "axis_ratio": ellipse_px.semi_axis_b / ellipse_px.semi_axis_a,
        "size_in_image": math.log(ellipse_px.circumference() / (image_hw[0] + image_hw[1])),
    }


def _view_evidence(view: HeadView) -> dict[str, float]:
    """What the anatomy shows."""
    return {
        "outside": share_outside(view),
        "skull": skull_share(view),
        "midline": midline_contrast(view),
        "contrast": math.log(view.contrast + 1.0),
    }


def _origin_evidence(image_grey: NDArray[np.uint8], ellipse_px: Ellipse) -> dict[str, float]:
    """What differs between machines and hospitals: text, brightness, grain of the speckle, sharpness, size in px."""
    half = min(_CORE_SHARE * ellipse_px.semi_axis_b, _MAX_CORE_PX)
    (top, bottom), (left, right) = (
        (min(max(int(center - half), 0), side - 1), min(max(int(center + half) + 1, 1), side))
        for center, side in zip((ellipse_px.center_y, ellipse_px.center_x), image_grey.shape, strict=True)
    )
    core = image_grey[top : max(bottom, top + 1), left : max(right, left + 1)].astype(np.float32)
    centred, deviation = core - core.mean(), float(core.std()) + 1.0
    lags = {"across_1": (1, 0), "down_1": (0, 1), "across_4": (_FAR_LAG_PX, 0), "down_4": (0, _FAR_LAG_PX)}
    grain = {
        f"grain_{name}": math.log(1.02 - _correlation(centred, across, down) / deviation**2)
        for name, (across, down) in lags.items()
    }
    edges = float(cv2.Laplacian(core, cv2.CV_32F).std())
    return {
        "text": math.log1p(1e4 * cv2.countNonZero(cv2.compare(image_grey, _WHITE, cv2.CMP_GT)) / image_grey.size),
        "black": math.log(0.05 + cv2.countNonZero(cv2.compare(image_grey, _BLACK, cv2.CMP_LT)) / image_grey.size),
        "brightness": float(core.mean()) / 50.0,
        "core_contrast": math.log(deviation),
        **grain,
        "sharpness": math.log(edges / deviation + 0.01),
        "size_px": math.log(ellipse_px.semi_axis_b),
        "shadow": math.log(0.05 + float((core < _BLACK).mean())),
    }


def _correlation(centred: NDArray[np.float32], across: int, down: int) -> float:
    """Mean product of values that lie so many px apart; 0 where the piece is smaller."""
    height, width = centred.shape
    if height <= down or width <= across:
        return 0.0
    return float((centred[down:, across:] * centred[: height - down, : width - across]).mean())
