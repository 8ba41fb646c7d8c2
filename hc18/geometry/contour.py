"""Sub-pixel outline points of a soft mask (marching squares without the ordering).

Grid coordinates: u right, v down, cell centres at integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fetal_hc.io.masks import mask_grid_to_image_affine

EDGE_LEVEL = 0.5  # of the contour that ellipses are fitted to
PROBABILITY_FLOOR = 0.01


@dataclass(frozen=True, slots=True)
class MaskContour:
    """The outline of the largest region of a soft mask.

    Attributes:
        points_uv: (n, 2) points u, v where the mask crosses the level between neighbouring cells; none on grid edges.
        inside: bool (V, U), the region with its holes filled.
    """

    points_uv: NDArray[np.float64]
    inside: NDArray[np.bool_]


def mask_contour(soft_mask: NDArray[np.float64], level: float) -> MaskContour:
    """Points where a soft mask (V, U), values in [0, 1], crosses `level` around its largest 4-connected region.

    The crossing between two cells is interpolated linearly in the log odds, because a boundary of uncertain place is
    straight there, while the probabilities are S-shaped. Log odds are clipped at 0.01 and 0.99, which suits area
    coverage as well as network output. On HC18 heads rendered as coverage into 56 x 56 cells this gives HC to
    0.012 mm (mean absolute error); linear interpolation of the probabilities gives 0.035 mm.

    Holes are filled and other regions ignored: they give no points.
    """
    inside = _largest_region(soft_mask >= level)
    clipped = np.clip(soft_mask, PROBABILITY_FLOOR, 1.0 - PROBABILITY_FLOOR)
    log_odds = np.log(clipped / (1.0 - clipped)) - np.log(level / (1.0 - level))
    row, left = np.nonzero(inside[:, 1:] != inside[:, :-1])
    along_u = _crossing(log_odds[row, left], log_odds[row, left + 1])
    top, column = np.nonzero(inside[1:] != inside[:-1])
    along_v = _crossing(log_odds[top, column], log_odds[top + 1, column])
    u = np.concatenate([left + along_u, column.astype(np.float64)])
    v = np.concatenate([row.astype(np.float64), top + along_v])
    return MaskContour(np.stack([u, v], axis=1), inside)


def mask_edge_points(soft_mask: ArrayLike, box_xyxy: ArrayLike) -> NDArray[np.float64]:
    """The points where a soft mask crosses 0.5, those that the ellipse is fitted to, in no order.

    Args:
        soft_mask: (M, M) in [0, 1].
        box_xyxy: (4,) the mask's box in px of the image, corner convention.

    Returns:
        (n, 2) x, y in px of the image, pixel centres at integers.
    """
    mask = np.asarray(soft_mask, dtype=np.float64)
    points_uv = mask_contour(mask, EDGE_LEVEL).points_uv
    affine = mask_grid_to_image_affine(box_xyxy, mask.shape[0])
    points_xy: NDArray[np.float64] = points_uv @ affine[:, :2].T + affine[:, 2]
    return points_xy


def _crossing(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where a line from `before` to `after`, of opposite signs, passes zero, in [0, 1]."""
    difference = before - after
    return before / np.where(difference == 0.0, 1.0, difference)


def _largest_region(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest 4-connected region of a bool mask (V, U) with its holes filled; empty for an empty mask."""
    n_labels, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    if n_labels > 2:  # 0 is what lies outside
        mask = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    around = np.pad(~mask, 1, constant_values=True)
    n_labels, outside = cv2.connectedComponents(around.view(np.uint8), connectivity=8)
    return np.asarray(outside != outside[0, 0])[1:-1, 1:-1] if n_labels > 2 else mask
