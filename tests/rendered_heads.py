"""Soft masks of known ellipses, as a detector would give them, for tests of fits and measurements."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from fetal_hc.io.masks import mask_grid_to_image_affine, polygon_to_coverage
from fetal_hc.io.records import InstancePrediction
from hc18.geometry.ellipse import Ellipse

MARGIN_CELLS = 8


def box_around(ellipse: Ellipse, margin: ArrayLike = 0.0) -> NDArray[np.float64]:
    """Box in the corner convention, its sides moved outwards by `margin` (left, top, right, bottom) of its size."""
    x0, y0, x1, y1 = ellipse.box_xyxy()
    size = np.array([x1 - x0, y1 - y0, x1 - x0, y1 - y0])
    outwards = np.array([-1.0, -1.0, 1.0, 1.0]) * np.asarray(margin, dtype=np.float64)
    return np.array([x0, y0, x1, y1]) + 0.5 + outwards * size


def render_soft_mask(
    ellipse: Ellipse, box_xyxy: ArrayLike, mask_size: int, blur_cells: float = 0.0
) -> NDArray[np.float32]:
    """Area coverage of the cells of a grid over a box, blurred before the box cuts it, float32 (M, M)."""
    affine = mask_grid_to_image_affine(box_xyxy, mask_size)
    outline_uv = (ellipse.outline(720) - affine[:, 2]) / np.diag(affine[:, :2])
    size = mask_size + 2 * MARGIN_CELLS
    mask = polygon_to_coverage(outline_uv + 0.5 + MARGIN_CELLS, (size, size), 8)
    if blur_cells:
        mask = ndimage.gaussian_filter(mask, blur_cells)
    return mask[MARGIN_CELLS:-MARGIN_CELLS, MARGIN_CELLS:-MARGIN_CELLS]


def predict(
    ellipse: Ellipse, *, score: float = 0.98, mask_size: int = 56, margin: ArrayLike = 0.0, blur_cells: float = 0.7
) -> InstancePrediction:
    """A detection of an ellipse."""
    box = box_around(ellipse, margin)
    mask = render_soft_mask(ellipse, box, mask_size, blur_cells)
    return InstancePrediction(box.astype(np.float32), score, 0, mask)
