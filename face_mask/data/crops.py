"""One crop per face: the part of a photo that is nearer to a face's box than to any other.

The grid of pixels is that of the first report, section 3.1. Boxes and crops are x0, y0, x1, y1 in px, corner
convention: pixel i covers [i, i + 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face_mask.data.records import Box

# A pixel (x, y) is looked at if (x + y) % GRID_PERIOD == GRID_REMAINDER: one in five, in every row and column.
GRID_PERIOD, GRID_REMAINDER = 5, 2
NOT_LOOKED_AT = -1
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


def nearest_box_partition(boxes_xyxy: Sequence[Box], image_hw: tuple[int, int]) -> NDArray[np.intp]:
    """Index (H, W) of the box nearest to each pixel of the grid; `NOT_LOOKED_AT` at the other pixels.

    The distance is the Manhattan distance from the pixel's centre to the box, 0 inside it; among equally near boxes
    the one with the nearer centre wins, then the first.

    Args:
        boxes_xyxy: at least one.
        image_hw: of the photo.
    """
    boxes = np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4)
    rows, columns = np.nonzero(np.add.outer(*map(np.arange, image_hw)) % GRID_PERIOD == GRID_REMAINDER)

    def distances(centres: NDArray[np.float64], low: int) -> NDArray[np.float64]:
        start, end = boxes[:, low, None], boxes[:, low + 2, None]
        outside = np.maximum(np.maximum(start - centres, centres - end), 0.0)
        return np.asarray(outside + _TIE * np.abs(centres - (start + end) / 2))

    owner = np.full(image_hw, NOT_LOOKED_AT, dtype=np.intp)
    centres_y, centres_x = (indices.astype(np.float64) + 0.5 for indices in (rows, columns))
    owner[rows, columns] = np.add(distances(centres_y, 1), distances(centres_x, 0)).argmin(axis=0)
    return owner


def single_face_crops(
    boxes_xyxy: Sequence[Box],
    image_hw: tuple[int, int],
    *,
    min_area_px: int = MIN_AREA_PX,
) -> list[FaceCrop]:
    """The bounding rectangles of the partition, one per box, with the boxes moved into them.

    A rectangle is grown where needed so that it holds its whole box: a small or covered face may own few pixels. Other
    faces can reach into it. Rectangles of fewer than `min_area_px` pixels are left out.

    Args:
        boxes_xyxy: inside the photo.
        image_hw: of the photo.
        min_area_px: least area of a crop.
    """
    if not boxes_xyxy:
        return []
    height, width = image_hw
    owner = nearest_box_partition(boxes_xyxy, image_hw)
    crops = []
    for index, (x0, y0, x1, y1) in enumerate(boxes_xyxy):
        left, top, right, bottom = math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)
        rows, columns = np.nonzero(owner == index)
        if rows.size:
            left, right = min(left, int(columns.min())), max(right, int(columns.max()) + 1)
            top, bottom = min(top, int(rows.min())), max(bottom, int(rows.max()) + 1)
        crop_xyxy = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
        left, top = crop_xyxy[:2]
        crops.append(FaceCrop(index, crop_xyxy, (x0 - left, y0 - top, x1 - left, y1 - top)))
    return [crop for crop in crops if crop.area_px >= min_area_px]


def flipped_box(box_xyxy: Box, width_px: int) -> Box:
    """A box after its photo of this width is mirrored left to right."""
    x0, y0, x1, y1 = box_xyxy
    return width_px - x1, y0, width_px - x0, y1
