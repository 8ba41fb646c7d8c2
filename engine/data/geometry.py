"""Sub-pixel geometry of training samples: affine matrices, clipping, exact pixel coverage.

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


def polygon_coverage(polygon_xy: Float64Array, image_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Fraction of each pixel that a polygon covers, (H, W) float32 in [0, 1], exact up to rounding.

    Every edge is cut at pixel borders; each piece adds its signed height to its own pixel (in proportion to the area
    right of the piece) and, in full, to all pixels right of it: a running sum along the row gives the covered area.
    The polygon may leave the image and may have either orientation; it must not cross itself.
    """
    height, width = image_hw
    start_xy = polygon_xy
    step_xy = np.roll(polygon_xy, -1, axis=0) - start_xy
    fractions, edge_index = _cut_at_pixel_borders(start_xy, step_xy)
    begin, end = fractions[:-1], fractions[1:]
    same_edge = edge_index[:-1] == edge_index[1:]
    begin, end, edge = begin[same_edge], end[same_edge], edge_index[:-1][same_edge]
    middle_xy = start_xy[edge] + ((begin + end) / 2)[:, None] * step_xy[edge]
    signed_height = (end - begin) * step_xy[edge, 1]
    row = np.floor(middle_xy[:, 1]).astype(np.int64)
    visible = (row >= 0) & (row < height) & (signed_height != 0)
    row, signed_height = row[visible], signed_height[visible]
    middle_x = np.clip(middle_xy[visible, 0], 0.0, width)
    column = np.floor(middle_x).astype(np.int64)
    right_share = signed_height * (middle_x - column)
    cell = row * (width + 2) + column
    size = height * (width + 2)
    deltas = np.bincount(cell, signed_height - right_share, size) + np.bincount(cell + 1, right_share, size)
    covered = np.cumsum(deltas.reshape(height, width + 2), axis=1)[:, :width]
    return np.clip(np.abs(covered), 0.0, 1.0).astype(np.float32)


def _cut_at_pixel_borders(start_xy: Float64Array, step_xy: Float64Array) -> tuple[Float64Array, NDArray[np.int64]]:
    """Positions in [0, 1] along each edge where pieces begin or end, and their edge index; sorted by both."""
    n_edges = len(start_xy)
    end_xy = start_xy + step_xy
    low, high = np.minimum(start_xy, end_xy), np.maximum(start_xy, end_xy)
    first = np.floor(low) + 1
    n_cuts = np.maximum(np.ceil(high) - first, 0).astype(np.int64)
    ends = np.repeat([0.0, 1.0], n_edges)
    fractions, edges = [ends], [np.tile(np.arange(n_edges), 2)]
    for axis in (0, 1):
        counts = n_cuts[:, axis]
        edge = np.repeat(np.arange(n_edges), counts)
        nth = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
        fractions.append((first[edge, axis] + nth - start_xy[edge, axis]) / step_xy[edge, axis])
        edges.append(edge)
    all_fractions, all_edges = np.concatenate(fractions), np.concatenate(edges)
    order = np.lexsort((all_fractions, all_edges))
    return all_fractions[order], all_edges[order]
