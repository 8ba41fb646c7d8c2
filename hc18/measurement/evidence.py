"""What an image and an outline show about the plane and about the origin of the image, as named numbers.

`hc18.measurement.image_checks` weighs them. None of them depends on the pixel size, and all are comparable between
detectors: they come from the image, the ellipse, and figures that every detector gives.

What lies inside an ellipse is seen in a frame of its own. The ellipse becomes a circle whose major axis lies along x.
So every head has the same place, size and direction, whatever the machine, the zoom and the text around it. In this
frame the skull is a ring and the midline a row. Its coordinates are u along the major axis (right) and v along the
minor one (down), both 1 on the ellipse.

References: N. Dalal, B. Triggs, Histograms of oriented gradients for human detection, CVPR 2005.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hc18.geometry.ellipse import Ellipse
from hc18.measurement.interval_model import FEATURES
from hc18.measurement.outline import Quality

SIDE_CELLS = 64
REACH = 1.3  # of the semi-axes, from the centre to each side
_THIN_FROM_PX = 4  # per cell
_N_SECTORS = 24
_SKULL_CONTRAST = 0.2  # of the standard deviation of the head: a ring this much brighter than the inside is skull
_CELL, _BINS = 8, 9  # of the histograms of directions
N_SHAPES = _BINS * (SIDE_CELLS // _CELL // 2) ** 2
_EDGES = (np.arange(SIDE_CELLS) + 0.5) / SIDE_CELLS * 2.0 * REACH - REACH
_U, _V = np.meshgrid(_EDGES, _EDGES)
_RADIUS = np.hypot(_U, _V)
_SECTOR = ((np.arctan2(_V, _U) / (2.0 * math.pi) * _N_SECTORS) % _N_SECTORS).astype(int)
_RING, _CORE = (np.nonzero(abs(_RADIUS - middle) < 0.12) for middle in (1.0, 0.7))
_CELL_OF = np.add.outer(np.arange(SIDE_CELLS) // _CELL * (SIDE_CELLS // _CELL), np.arange(SIDE_CELLS) // _CELL)
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
# Features of the expected error that tell of the plane too, with the figures that stand for unknown ones: residual and
# disagreement of a very poor outline.
_WHERE_UNKNOWN = {"residual": 10.0, "disagreement": 5.0, "entropy": 0.0}
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
    features = {}
    for name, unknown in _WHERE_UNKNOWN.items():
        figure = FEATURES[name].figure(math.nan, quality)
        features[name] = FEATURES[name].transform(unknown if figure is None else figure)
    return {
        "score": min(math.log(odds), MAX_LOG_ODDS),
        **features,
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
        "text": math.log1p(1e4 * np.count_nonzero(image_grey > _WHITE) / image_grey.size),
        "black": math.log(0.05 + np.count_nonzero(image_grey < _BLACK) / image_grey.size),
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


@dataclass(frozen=True, slots=True)
class HeadView:
    """An ellipse and its surroundings as a circle.

    Attributes:
        grey: float32 (SIDE_CELLS, SIDE_CELLS), rows along v; mean 0 and standard deviation 1 in the image's part of
            the ellipse, 0 outside the image.
        inside: bool, same shape, whether a cell lies in the image.
        contrast: standard deviation before that, grey levels.
    """

    grey: NDArray[np.float32]
    inside: NDArray[np.bool_]
    contrast: float


def sample_head(image_grey: NDArray[np.uint8], ellipse_px: Ellipse) -> HeadView:
    """The view of an ellipse.

    Args:
        image_grey: uint8 (H, W).
        ellipse_px: in px of the image, pixel centres at integers; may reach beyond it.
    """
    piece, origin_xy = _cut_out(image_grey, ellipse_px)
    step_px = 2.0 * REACH * math.sqrt(ellipse_px.semi_axis_a * ellipse_px.semi_axis_b) / SIDE_CELLS
    shrink = max(int(step_px), 1)
    height, width = (max(side // shrink, 1) for side in piece.shape)
    thinned = piece[::2, ::2] if shrink >= _THIN_FROM_PX else piece  # a cell still averages several px
    small = cv2.resize(thinned, (width, height), interpolation=cv2.INTER_AREA) if shrink > 1 else piece
    matrix = _to_pixels(ellipse_px, origin_xy, (piece.shape[1] / width, piece.shape[0] / height))
    size, how = (SIDE_CELLS, SIDE_CELLS), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    grey = cv2.warpAffine(small, matrix, size, flags=how).astype(np.float32)
    u_px = matrix[0, 0] * np.arange(SIDE_CELLS) + matrix[0, 1] * np.arange(SIDE_CELLS)[:, None] + matrix[0, 2]
    v_px = matrix[1, 0] * np.arange(SIDE_CELLS) + matrix[1, 1] * np.arange(SIDE_CELLS)[:, None] + matrix[1, 2]
    inside = (u_px >= 0) & (v_px >= 0) & (u_px <= width - 1) & (v_px <= height - 1)
    head = grey[inside & (_RADIUS <= 1.0)]
    mean, deviation = (float(head.mean()), float(head.std())) if head.size else (0.0, 0.0)
    return HeadView(np.where(inside, (grey - mean) / (deviation + 1.0), 0.0).astype(np.float32), inside, deviation)


def _cut_out(image_grey: NDArray[np.uint8], ellipse_px: Ellipse) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The part of the image that the view can reach, and the x, y of its first pixel."""
    reach = 1.5 * REACH * ellipse_px.semi_axis_a
    limits = [
        (min(max(int(center - reach), 0), side - 1), min(max(int(center + reach) + 1, 1), side))
        for center, side in zip((ellipse_px.center_y, ellipse_px.center_x), image_grey.shape, strict=True)
    ]
    (top, bottom), (left, right) = limits
    return image_grey[top : max(bottom, top + 1), left : max(right, left + 1)], (left, top)


def _to_pixels(ellipse_px: Ellipse, origin_xy: tuple[int, int], scale_xy: tuple[float, float]) -> NDArray[np.float64]:
    """The 2 x 3 matrix from cells of the view to px of a piece that begins at `origin_xy`, shrunk by `scale_xy`."""
    cos, sin = math.cos(ellipse_px.angle_rad), math.sin(ellipse_px.angle_rad)
    axes = np.array(
        [
            [ellipse_px.semi_axis_a * cos, -ellipse_px.semi_axis_b * sin],
            [ellipse_px.semi_axis_a * sin, ellipse_px.semi_axis_b * cos],
        ]
    )
    step = 2.0 * REACH / SIDE_CELLS
    center = np.array([ellipse_px.center_x, ellipse_px.center_y]) - origin_xy + axes @ np.full(2, 0.5 * step - REACH)
    scale = np.array(scale_xy)
    # A pixel of the small image covers `scale` pixels: centres are at (x + 0.5) / scale - 0.5.
    return np.column_stack([axes * step / scale[:, None], (center + 0.5) / scale - 0.5])


def share_outside(view: HeadView) -> float:
    """Share of the head, 0 to 1, that lies outside the image."""
    return float(1.0 - view.inside[_RADIUS <= 1.0].mean())


def skull_share(view: HeadView) -> float:
    """Share of the outline, 0 to 1, along which a bright ring stands out from the inside of the head."""
    ring, core = (_sector_means(view, cells) for cells in (_RING, _CORE))
    return float((ring - core > _SKULL_CONTRAST).mean())


def _sector_means(view: HeadView, cells: tuple[NDArray[np.intp], ...]) -> NDArray[np.float64]:
    """Mean grey value of the cells in each sector, (_N_SECTORS,); 0 where none lies in the image."""
    inside, sectors = view.inside[cells], _SECTOR[cells]
    totals = np.bincount(sectors, view.grey[cells] * inside, _N_SECTORS)
    return totals / np.maximum(np.bincount(sectors, inside, _N_SECTORS), 1.0)


def midline_contrast(view: HeadView) -> float:
    """How far the brightest line near the major axis stands out from the tissue next to it, standard deviations."""
    rows = view.grey[:, abs(_EDGES) < 0.7].mean(axis=1)
    near = np.flatnonzero(abs(_EDGES) < 0.2)
    beside = [np.r_[rows[row - 6 : row - 3], rows[row + 4 : row + 7]].mean() for row in near]
    return float((rows[near] - beside).max())


def shape_histogram(view: HeadView) -> NDArray[np.float64]:
    """Directions of edges by place, (N_SHAPES,), the same for a view and its mirror images along u and v."""
    down, right = np.gradient(view.grey)
    strength = np.hypot(down, right) * view.inside
    bins = (np.arctan2(down, right) / math.pi * _BINS) % _BINS  # directions of lines, not of arrows
    low = np.minimum(bins.astype(int), _BINS - 1)
    share = bins - low
    n = SIDE_CELLS // _CELL
    sums = np.bincount((low * n * n + _CELL_OF).ravel(), (strength * (1.0 - share)).ravel(), _BINS * n * n)
    sums = sums + np.bincount(((low + 1) % _BINS * n * n + _CELL_OF).ravel(), (strength * share).ravel(), _BINS * n * n)
    cells: NDArray[np.float64] = sums.reshape(_BINS, n, n).astype(np.float64)
    turned = cells[-np.arange(_BINS)]  # a mirror image turns the direction k into -k
    cells = (cells + turned[:, ::-1] + turned[:, :, ::-1] + cells[:, ::-1, ::-1]) / 4.0
    around = cv2.blur(np.square(cells).sum(axis=0), (3, 3), borderType=cv2.BORDER_REPLICATE)
    normal: NDArray[np.float64] = np.minimum(cells / np.sqrt(around + 1e-2), 2.0)
    return normal[:, : n // 2, : n // 2].ravel()
