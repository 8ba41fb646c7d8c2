"""Sub-pixel geometry of training samples: affine matrices, moving and clipping of outlines.

All coordinates are xy in Detectron2's corner convention (pixel i covers [i, i + 1]) and stay float64, never rounded.
Affine matrices are (3, 3) and act on column vectors (x, y, 1); `B @ A` applies A first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]


def scaling(factor_x: float, factor_y: float) -> Float64Array:
    """Affine that multiplies x and y."""
    return np.diag([factor_x, factor_y, 1.0])


def translation(shift_x: float, shift_y: float) -> Float64Array:
    """Affine that shifts x and y, in px."""
    matrix = np.eye(3)
    matrix[:2, 2] = shift_x, shift_y
    return matrix


def rotation(angle_rad: float) -> Float64Array:
    """Affine that turns about the origin from +x towards +y."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def about_center(matrix: Float64Array, image_hw: tuple[int, int]) -> Float64Array:
    """The same affine with the centre of the image as its fixed point."""
    center_x, center_y = image_hw[1] / 2.0, image_hw[0] / 2.0
    return translation(center_x, center_y) @ matrix @ translation(-center_x, -center_y)


def to_center_convention(matrix: Float64Array) -> Float64Array:
    """The same affine for coordinates with pixel CENTRES at integers (OpenCV), as (2, 3)."""
    return (translation(-0.5, -0.5) @ matrix @ translation(0.5, 0.5))[:2]


def transform_points(points_xy: Float64Array, matrix: Float64Array) -> Float64Array:
    """Points (n, 2) moved by an affine (3, 3)."""
    return points_xy @ matrix[:2, :2].T + matrix[:2, 2]


def clip_polygon(polygon_xy: Float64Array, image_hw: tuple[int, int]) -> Float64Array:
    """The part of a polygon (n, 2) inside the image rectangle [0, W] x [0, H]; (0, 2) when nothing is left.

    References: Sutherland, Hodgman, Reentrant polygon clipping, Communications of the ACM 17(1), 1974.
    """
    for axis, limit, sign in ((0, 0.0, 1.0), (0, image_hw[1], -1.0), (1, 0.0, 1.0), (1, image_hw[0], -1.0)):
        if len(polygon_xy) == 0:
            break
        distance = sign * (polygon_xy[:, axis] - limit)
        inside = distance >= 0
        if inside.all():
            continue
        following, distance_next = np.roll(polygon_xy, -1, axis=0), np.roll(distance, -1)
        crossing = inside != np.roll(inside, -1)
        fraction = distance / np.where(crossing, distance - distance_next, 1.0)
        crossings_xy = polygon_xy + fraction[:, None] * (following - polygon_xy)
        crossings_xy[:, axis] = limit
        candidates = np.stack([polygon_xy, crossings_xy], axis=1).reshape(-1, 2)
        polygon_xy = candidates[np.stack([inside, crossing], axis=1).ravel()]
    return polygon_xy
