"""Ellipses fitted to outline points and to soft masks; a failed fit is a result with a reason, never NaN.

Coordinates: x right, y down, pixel centres at integers.

The contour is the estimate because a detector's box is tight: it cuts the mask's rim, which the moments need and
the contour does not. DF / ADF of HC in mm on 300 annotated HC18 heads, rendered into M x M cells over a box with
1.5 % random error per side; "sigmoid" is 1 / (1 + exp(distance / 0.3 cells)), the shape of a trained network's mask
(`python -m experiments.soft_mask_fits --root HC18_DIR`):

| mask | M | contour | moments | moments, completed and sharpened |
|---|---|---|---|---|
| area coverage | 28 | -0.037 / 0.041 | -0.445 / 0.445 | +0.100 / 0.141 |
| area coverage | 56 | -0.009 / 0.012 | -0.446 / 0.446 | +0.018 / 0.046 |
| blurred 0.7 cells | 28 | -0.282 / 0.282 | -1.220 / 1.220 | -0.178 / 0.178 |
| blurred 0.7 cells | 56 | -0.071 / 0.071 | -0.666 / 0.666 | -0.049 / 0.049 |
| sigmoid 0.3 cells | 28 | -0.032 / 0.032 | -0.686 / 0.686 | +0.122 / 0.131 |
| sigmoid 0.3 cells | 56 | -0.007 / 0.007 | -0.513 / 0.514 | +0.023 / 0.034 |

Pure blur shrinks any level set by about blur^2 / (2 radius), so the finer grid is the remedy. No correction is
made, since a network trained on sharp targets puts its 0.5 at the median boundary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fetal_hc.io.masks import polygon_to_coverage
from hc18.geometry.contour import EDGE_LEVEL, MaskContour, mask_contour
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.outline_fit import EllipseFit, fit_outline_points

BORDER_REACH_CELLS = 1.0  # an outline that comes closer to an image side counts as cut there
BORDER_MARGIN_CELLS = 2.0  # its points closer than this to that side follow the image, not the head
MIN_SHARE_IN_GRID = 0.7  # of the ellipse's area; below, the moments would mostly repeat the contour's ellipse
_NEIGHBOURS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
RIM_CELLS = 3  # around the region: cells beyond belong to something else
VALUE_TOLERANCE = 1e-3
IDENTITY_AFFINE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


@dataclass(frozen=True, slots=True)
class SoftMaskFit:
    """The ellipse of a soft mask and how far two independent ways agree on it.

    Attributes:
        ellipse: the contour's ellipse in image px, None if that fit failed.
        reason: why there is no ellipse; empty if there is one.
        moments: the check by second moments.
        contour: the 0.5 iso-contour.
        disagreement_percent: |circumference by moments - by contour| in percent of the latter; None where one failed.
        touches_border: part of the outline lies outside the image.
    """

    ellipse: Ellipse | None
    reason: str
    moments: EllipseFit
    contour: EllipseFit
    disagreement_percent: float | None
    touches_border: bool

    def __bool__(self) -> bool:
        return self.ellipse is not None

    @property
    def residual_percent(self) -> float | None:
        """Root mean square distance of the contour from the ellipse in percent of the mean semi-axis."""
        if self.ellipse is None or self.contour.rms_residual_px is None:
            return None
        return 200.0 * self.contour.rms_residual_px / (self.ellipse.semi_axis_a + self.ellipse.semi_axis_b)


def fit_soft_mask(
    soft_mask: ArrayLike, affine: ArrayLike = IDENTITY_AFFINE, image_hw: tuple[int, int] | None = None
) -> SoftMaskFit:
    """The ellipse of a soft mask over a box: the 0.5 iso-contour's, checked by moments.

    The module's docstring gives the figures behind that choice.

    Moments see the whole area, so they disagree when the region is not an ellipse or has a hole. For them the part
    beyond the grid is completed with the contour's ellipse, and the mask is sharpened (x 2 around 0.5).

    Args:
        soft_mask: (V, U) in [0, 1], rows downwards.
        affine: (2, 3) from mask indices (u, v) to image px (x, y), see `fetal_hc.io.masks.mask_grid_to_image_affine`.
        image_hw: image height and width; the outline along the image border is then left out of the fit.
    """
    mask, matrix = np.asarray(soft_mask, dtype=np.float64), np.asarray(affine, dtype=np.float64).reshape(2, 3)
    outline = _outline(mask)
    contour = _fit_outline(outline, matrix, image_hw)
    if contour.ellipse is None or isinstance(outline, str):
        unchecked = EllipseFit(None, "no contour to complete the mask with", None, 0)
        return SoftMaskFit(None, contour.reason, unchecked, contour, None, False)
    moments = _fit_completed_moments(mask, outline, matrix, contour.ellipse)
    disagreement = None
    if moments.ellipse is not None:
        circumference = contour.ellipse.circumference()
        disagreement = 100.0 * abs(moments.ellipse.circumference() - circumference) / circumference
    touches_border = image_hw is not None and leaves_image(contour.ellipse, image_hw)
    return SoftMaskFit(contour.ellipse, "", moments, contour, disagreement, touches_border)


def fit_moments(soft_mask: ArrayLike, affine: ArrayLike = IDENTITY_AFFINE) -> EllipseFit:
    """The ellipse with the centre, area and second moments of a mask that lies wholly inside its grid.

    Blur and area coverage add one variance s^2 to the moments along every axis of the grid but leave the area A as it
    is, so s^2 follows from 16 (l1 - s^2) (l2 - s^2) = (A / pi)^2 for the moments l1, l2 along the main axes, and the
    semi-axes are 2 sqrt(l - s^2). For pixels in or out s^2 comes out as about 0, for area coverage as 1/12.

    Args:
        soft_mask: (V, U) in [0, 1], rows downwards; zero far from the object.
        affine: (2, 3) from mask indices (u, v) to image px (x, y).
    """
    mask = np.asarray(soft_mask, dtype=np.float64)
    problem = _problem_of(mask)
    n_cells = 0 if problem else int(np.count_nonzero(mask))
    if problem or n_cells == 0:
        return EllipseFit(None, problem or "the mask is empty", None, 0)
    u, v = np.arange(mask.shape[1], dtype=np.float64), np.arange(mask.shape[0], dtype=np.float64)
    along_u, along_v = mask.sum(axis=0), mask.sum(axis=1)
    area = float(along_u.sum())
    center_u, center_v = float(along_u @ u) / area, float(along_v @ v) / area
    u, v = u - center_u, v - center_v
    mixed = float(v @ mask @ u)
    moments = np.array([[float(along_u @ (u * u)), mixed], [mixed, float(along_v @ (v * v))]]) / area
    (small, large), directions = np.linalg.eigh(moments)
    spread = (small + large - math.hypot(large - small, area / (2.0 * math.pi))) / 2.0
    if not small > spread:
        return EllipseFit(None, "the mask is too faint for moments", None, n_cells)
    ellipse = Ellipse.from_axes(
        center_u,
        center_v,
        2.0 * math.sqrt(large - spread),
        2.0 * math.sqrt(small - spread),
        math.atan2(directions[1, 1], directions[0, 1]),
    )
    return EllipseFit(ellipse.transformed(affine), "", None, n_cells)


def _outline(mask: NDArray[np.float64]) -> MaskContour | str:
    """The contour of a mask's largest region, or why there is none."""
    problem = _problem_of(mask)
    if problem:
        return problem
    outline = mask_contour(mask, EDGE_LEVEL)
    if not outline.inside.any():
        return f"no cell of the mask reaches {EDGE_LEVEL}"
    if not len(outline.points_uv):
        return f"the mask stays above {EDGE_LEVEL} up to its edges and shows no outline"
    return outline


def _fit_outline(
    outline: MaskContour | str, matrix: NDArray[np.float64], image_hw: tuple[int, int] | None
) -> EllipseFit:
    """The ellipse in image px through the contour that shows the head and not the image border."""
    if isinstance(outline, str):
        return EllipseFit(None, outline, None, 0)
    points_xy = outline.points_uv @ matrix[:, :2].T + matrix[:, 2]
    if image_hw is not None:
        points_xy = points_xy[_away_from_border(points_xy, matrix, image_hw)]
    return fit_outline_points(points_xy)


def _fit_completed_moments(
    mask: NDArray[np.float64], outline: MaskContour, matrix: NDArray[np.float64], ellipse_px: Ellipse
) -> EllipseFit:
    """Moments of the sharpened largest region, completed beyond the grid with the ellipse of its contour."""
    to_grid = np.linalg.inv(matrix[:, :2])
    ellipse_uv = ellipse_px.transformed(np.column_stack([to_grid, -to_grid @ matrix[:, 2]]))
    rows, columns = mask.shape
    u0, v0, u1, v1 = ellipse_uv.box_xyxy()
    pad = max(math.ceil(max(-u0, -v0, u1 - columns + 1, v1 - rows + 1)) + 1, 0)
    if pad > max(rows, columns):
        return EllipseFit(None, "the ellipse is far larger than the mask", None, 0)
    completed = polygon_to_coverage(ellipse_uv.outline(180) + (pad + 0.5), (rows + 2 * pad, columns + 2 * pad), 4)
    grid = completed[pad : pad + rows, pad : pad + columns]
    if float(grid.sum()) < MIN_SHARE_IN_GRID * ellipse_uv.area():
        return EllipseFit(None, f"less than {MIN_SHARE_IN_GRID:.0%} of the ellipse lies in the mask", None, 0)
    near = cv2.dilate(outline.inside.astype(np.uint8), _NEIGHBOURS, iterations=RIM_CELLS) > 0
    grid[:] = np.where(near, np.clip(2.0 * mask - 0.5, 0.0, 1.0), 0.0)
    to_px = np.column_stack([matrix[:, :2], matrix[:, 2] - matrix[:, :2].sum(axis=1) * pad])
    return fit_moments(completed, to_px)


def _problem_of(mask: NDArray[np.float64]) -> str:
    """Why an array is not a soft mask; empty if it is one."""
    if mask.ndim != 2 or min(mask.shape) < 2:
        return f"the mask has shape {mask.shape}; expected (V, U) with at least 2 x 2 cells"
    if not np.isfinite(mask).all():
        return "the mask has values that are not finite"
    if mask.min() < -VALUE_TOLERANCE or mask.max() > 1.0 + VALUE_TOLERANCE:
        return f"the mask has values from {mask.min():.3g} to {mask.max():.3g}; expected probabilities in [0, 1]"
    return ""


def _away_from_border(
    points_xy: NDArray[np.float64], matrix: NDArray[np.float64], image_hw: tuple[int, int]
) -> NDArray[np.bool_]:
    """Which outline points (n, 2) belong to the head and not to an image side that cuts it, bool (n,)."""
    cell_xy = np.maximum(np.abs(matrix[:, :2]).sum(axis=1), 1.0)
    high_xy = np.array([image_hw[1] - 0.5, image_hw[0] - 0.5])
    distances = np.concatenate([points_xy + 0.5, high_xy - points_xy], axis=1) / np.tile(cell_xy, 2)
    is_cut = distances.min(axis=0) < BORDER_REACH_CELLS
    away: NDArray[np.bool_] = ((distances >= BORDER_MARGIN_CELLS) | ~is_cut).all(axis=1)
    return away


def leaves_image(ellipse: Ellipse, image_hw: tuple[int, int]) -> bool:
    """Whether part of the ellipse lies outside the image."""
    x0, y0, x1, y1 = ellipse.box_xyxy()
    return x0 < -0.5 or y0 < -0.5 or x1 > image_hw[1] - 0.5 or y1 > image_hw[0] - 0.5
