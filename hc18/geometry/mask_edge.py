"""The edge of a soft mask in an image, for drawing."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fetal_hc.io.masks import mask_grid_to_image_affine
from hc18.geometry.contour import mask_contour

EDGE_LEVEL = 0.5


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
