"""One crop per face: the part of a photo that is nearer to a face's box than to any other.

Boxes and crops are x0, y0, x1, y1 in px, corner convention: pixel i covers [i, i + 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face_mask.data.records import Box

GRID_STEP_PX = 8
MIN_AREA_PX = 1024  # 32 x 32

_TIE = 1e-6  # inside overlapping boxes, where all distances are 0, the nearer centre decides


@dataclass(frozen=True, slots=True)
class FaceCrop:
    """The surroundings of one face.

    Attributes:
        box_index: of the face among the photo's boxes.
        crop_xyxy: whole pixels of the photo.
        box_xyxy: the face's box, in px of the crop.
    """

    box_index: int
    crop_xyxy: tuple[int, int, int, int]
    box_xyxy: Box

    @property
    def area_px(self) -> int:
        """Pixels of the crop."""
        x0, y0, x1, y1 = self.crop_xyxy
        return (x1 - x0) * (y1 - y0)


def nearest_box_partition(
    boxes_xyxy: Sequence[Box], image_hw: tuple[int, int], step_px: int = GRID_STEP_PX
) -> NDArray[np.intp]:
    """Index of the nearest box for each cell of a sparse grid, (ceil(H / step), ceil(W / step)).

    The distance is the Manhattan distance from the cell's centre to the box, 0 inside it; among equally near boxes
    the one with the nearer centre wins, then the first.

    Args:
        boxes_xyxy: at least one.
        image_hw: of the photo.
        step_px: side of a cell; the last cells of rows and columns may be cut by the photo's edge.
    """
    boxes = np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4)
    along_y, along_x = (_cell_centres(size, step_px) for size in image_hw)

    def distances(centres: NDArray[np.float64], low: int) -> NDArray[np.float64]:
        start, end = boxes[:, low, None], boxes[:, low + 2, None]
        outside = np.maximum(np.maximum(start - centres, centres - end), 0.0)
        return np.asarray(outside + _TIE * np.abs(centres - (start + end) / 2))

    distance_px = distances(along_y, 1)[:, :, None] + distances(along_x, 0)[:, None, :]
    return np.asarray(distance_px.argmin(axis=0))


def single_face_crops(
    boxes_xyxy: Sequence[Box],
    image_hw: tuple[int, int],
    *,
    step_px: int = GRID_STEP_PX,
    min_area_px: int = MIN_AREA_PX,
) -> list[FaceCrop]:
    """The bounding rectangles of the partition, one per box, with the boxes moved into them.

    A rectangle is grown where needed so that it holds its whole box: a small or covered face may own few cells. Other
    faces can reach into it. Rectangles of fewer than `min_area_px` pixels are left out.

    Args:
        boxes_xyxy: inside the photo.
        image_hw: of the photo.
        step_px: side of a grid cell.
        min_area_px: least area of a crop.
    """
    if not boxes_xyxy:
        return []
    height, width = image_hw
    owner = nearest_box_partition(boxes_xyxy, image_hw, step_px)
    crops = []
    for index, (x0, y0, x1, y1) in enumerate(boxes_xyxy):
        left, top, right, bottom = math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)
        rows, columns = np.nonzero(owner == index)
        if rows.size:
            left, right = min(left, int(columns.min()) * step_px), max(right, (int(columns.max()) + 1) * step_px)
            top, bottom = min(top, int(rows.min()) * step_px), max(bottom, (int(rows.max()) + 1) * step_px)
        crop_xyxy = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
        left, top = crop_xyxy[:2]
        crops.append(FaceCrop(index, crop_xyxy, (x0 - left, y0 - top, x1 - left, y1 - top)))
    return [crop for crop in crops if crop.area_px >= min_area_px]


def flipped_box(box_xyxy: Box, width_px: int) -> Box:
    """A box after its photo of this width is mirrored left to right."""
    x0, y0, x1, y1 = box_xyxy
    return width_px - x1, y0, width_px - x0, y1


def _cell_centres(size_px: int, step_px: int) -> NDArray[np.float64]:
    """Centres of the grid cells along one axis, the last cell cut at the photo's edge."""
    starts = np.arange(0, size_px, step_px, dtype=np.float64)
    return (starts + np.minimum(starts + step_px, size_px)) / 2
