"""Polygons, run lengths, area coverage and pasted soft masks.

Polygons and boxes here are in the corner convention of COCO files and Detectron2: pixel i covers [i, i + 1] and its
centre is at i + 0.5. `mask_grid_to_image_affine` leads to the other one, with pixel centres at integers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from pycocotools import mask as coco_mask

from fetal_hc.errors import DatasetError


def polygon_area(polygon_xy: ArrayLike) -> float:
    """Area enclosed by a simple polygon, (n, 2) vertices x, y, in px squared (shoelace formula)."""
    points = _polygon(polygon_xy)
    x, y = (points - points[0]).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2.0


def polygon_to_coverage(
    polygon_xy_corner: ArrayLike, image_hw: tuple[int, int], supersample: int = 8
) -> NDArray[np.float32]:
    """The share of each pixel's area that a polygon covers, float32 (H, W) in [0, 1].

    Exact along x; along y the mean of `supersample` lines per pixel, each exact.

    Args:
        polygon_xy_corner: (n, 2) vertices x, y in px, corner convention; may leave the image; n >= 3.
        image_hw: height and width of the result.
        supersample: scan lines per pixel row; at 8 the area of a 100 px disc is right to 1e-5.

    Raises:
        DatasetError: if the polygon is not (n, 2), has fewer than 3 vertices or is not finite.
    """
    points = _polygon(polygon_xy_corner)
    coverage = np.zeros(image_hw, dtype=np.float32)
    rows, columns = _window(points, image_hw)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    lines_y = (np.arange(height * supersample, dtype=np.float64) + 0.5) / supersample
    line, x, direction = _crossings(points - (columns.start, rows.start), lines_y)
    x = np.clip(x, 0.0, float(width))
    column = np.floor(x).astype(np.intp)
    cell, size = line // supersample * (width + 2) + column, height * (width + 2)
    left_of_x = direction * (x - column)
    change = np.bincount(cell, direction - left_of_x, size) + np.bincount(cell + 1, left_of_x, size)
    covered = np.abs(np.cumsum(change.reshape(height, width + 2), axis=1)[:, :width]) / supersample
    coverage[rows, columns] = np.minimum(covered, 1.0)
    return coverage


def mask_to_rle(mask: ArrayLike) -> dict[str, Any]:
    """COCO's compressed run lengths of a bool mask (H, W): {"size": [H, W], "counts": str}, fit for JSON."""
    encoded = coco_mask.encode(np.asfortranarray(np.asarray(mask, dtype=np.uint8)))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")}


def rle_to_mask(rle: Mapping[str, Any]) -> NDArray[np.bool_]:
    """The bool mask (H, W) of COCO run lengths, compressed (counts: str or bytes) or plain (counts: list).

    Raises:
        DatasetError: if `rle` lacks its keys or its counts cannot be decoded.
    """
    try:
        height, width = (int(side) for side in rle["size"])
        counts = rle["counts"]
        encoded = (
            coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
            if isinstance(counts, list)
            else {"size": [height, width], "counts": counts}
        )
        return np.asarray(coco_mask.decode(encoded), dtype=np.bool_)
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"run lengths {str(dict(rle))[:80]} cannot be decoded ({error}); expected size [H, W] and "
            "counts as COCO writes them; encode the mask again"
        ) from error


def paste_soft_mask(
    soft_mask: NDArray[np.float32], box_xyxy: ArrayLike, image_hw: tuple[int, int]
) -> NDArray[np.float32]:
    """A soft mask resampled from its box onto the image, float32 (H, W).

    For pixel centre p + 0.5 the mask is sampled bilinearly at u = (p + 0.5 - x0) / (x1 - x0) * M - 0.5 and is zero
    outside its grid, as Detectron2 pastes it; at most one pixel around the box is touched. Empty boxes paste nothing.

    Args:
        soft_mask: float32 (M, M) in [0, 1], rows downwards.
        box_xyxy: x0, y0, x1, y1 in px, corner convention.
        image_hw: height and width of the result.
    """
    x0, y0, x1, y1 = (float(value) for value in np.asarray(box_xyxy, dtype=np.float64).reshape(4))
    pasted = np.zeros(image_hw, dtype=np.float32)
    if not (all(math.isfinite(value) for value in (x0, y0, x1, y1)) and x1 > x0 and y1 > y0):
        return pasted
    columns, weights_x = _sampling_matrix(x0, x1, image_hw[1], soft_mask.shape[1])
    rows, weights_y = _sampling_matrix(y0, y1, image_hw[0], soft_mask.shape[0])
    pasted[rows, columns] = weights_y @ soft_mask.astype(np.float32) @ weights_x.T
    return pasted


def score_mask(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> tuple[float, float, float]:
    """IoU, Dice and share of equal pixels of two masks (H, W), each in [0, 1]."""
    intersection, union = int((found & truth).sum()), int((found | truth).sum())
    total = int(found.sum()) + int(truth.sum())
    return (
        intersection / union if union else 1.0,
        2.0 * intersection / total if total else 1.0,
        float((found == truth).mean()),
    )


def warp_to_image(
    probability: NDArray[np.float32], image_to_mask: NDArray[np.float64], image_hw: tuple[int, int]
) -> NDArray[np.float32]:
    """A mask of a resized image at each pixel of the original one, bilinear; float32 (H, W).

    Args:
        probability: float32 (h, w).
        image_to_mask: affine (3, 3) from the original to the resized image, corner convention.
        image_hw: H, W of the original image.
    """
    half = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])  # pixel centres at integers, as OpenCV counts
    matrix = (np.linalg.inv(half) @ image_to_mask @ half)[:2]
    size_wh = (image_hw[1], image_hw[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(probability, matrix, size_wh, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.float32)


def mask_grid_to_image_affine(box_xyxy: ArrayLike, mask_size: int) -> NDArray[np.float64]:
    """The affine map (2, 3) from mask indices (u, v) to image pixels (x, y), both with centres at integers.

    x = (u + 0.5) / M * (x1 - x0) + x0 - 0.5, and so for y; the box is in the corner convention, the result is not.
    """
    x0, y0, x1, y1 = (float(value) for value in np.asarray(box_xyxy, dtype=np.float64).reshape(4))
    step_x, step_y = (x1 - x0) / mask_size, (y1 - y0) / mask_size
    return np.array([[step_x, 0.0, 0.5 * step_x + x0 - 0.5], [0.0, step_y, 0.5 * step_y + y0 - 0.5]])


def _polygon(polygon_xy: ArrayLike) -> NDArray[np.float64]:
    """The vertices as float64 (n, 2), n >= 3.

    Raises:
        DatasetError: for any other shape or values that are not finite.
    """
    points = np.asarray(polygon_xy, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
        raise DatasetError(
            f"polygon of shape {points.shape} is not usable; expected (n, 2) finite vertices x, y with "
            "n >= 3; reshape flat COCO lists with (-1, 2)"
        )
    return points


def _window(points: NDArray[np.float64], image_hw: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the image that a polygon in the corner convention can touch."""
    first, last = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
    (left, top), (right, bottom) = (
        [int(min(max(value, 0), size)) for value, size in zip(corner, (image_hw[1], image_hw[0]), strict=True)]
        for corner in (first, last)
    )
    return slice(top, bottom), slice(left, right)


def _crossings(
    points: NDArray[np.float64],
    lines_y: NDArray[np.float64],
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Where horizontal lines cross a polygon's edges.

    Args:
        points: (n, 2) vertices.
        lines_y: (L,) heights of the lines, ascending.

    Returns:
        Per crossing: the line's index, x, and +1 for an edge that runs downwards, -1 upwards. An edge owns its upper
        end but not its lower one, so that a vertex on a line counts once.
    """
    start, end = points, np.roll(points, -1, axis=0)
    downwards = np.where(end[:, 1] > start[:, 1], 1.0, -1.0)
    upper = np.where(downwards[:, None] > 0, start, end)
    lower = np.where(downwards[:, None] > 0, end, start)
    first = np.searchsorted(lines_y, upper[:, 1])
    counts = np.searchsorted(lines_y, lower[:, 1]) - first
    edge = np.repeat(np.arange(len(points)), counts)
    line = np.arange(edge.size) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    share = (lines_y[line] - upper[edge, 1]) / (lower[edge, 1] - upper[edge, 1])
    x = upper[edge, 0] + share * (lower[edge, 0] - upper[edge, 0])
    return line, x, downwards[edge]


def _sampling_matrix(low: float, high: float, image_size: int, mask_size: int) -> tuple[slice, NDArray[np.float32]]:
    """The pixels of one axis that a box reaches, and bilinear weights (pixels, mask_size), two non-zeros per row."""
    first = min(max(math.floor(low) - 1, 0), image_size)
    last = max(min(math.ceil(high) + 1, image_size), first)
    position = (np.arange(first, last) + 0.5 - low) / (high - low) * mask_size - 0.5
    weights = np.maximum(1.0 - np.abs(position[:, None] - np.arange(mask_size)), 0.0)
    return slice(first, last), weights.astype(np.float32)
