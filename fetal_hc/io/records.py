"""Records that annotation files, predictors and measurements exchange, and the order to draw them in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class InstancePrediction:
    """One detected object in one image.

    Attributes:
        box_xyxy: float32 (4,), x0, y0, x1, y1 in px of the original image, corner convention: pixel i covers [i, i+1].
        score: confidence in [0, 1].
        label: 0-based class.
        soft_mask: float32 (M, M), rows downwards, probability in [0, 1] that the object covers a cell of the M x M grid
            over the box. Never thresholded.
    """

    box_xyxy: NDArray[np.float32]
    score: float
    label: int
    soft_mask: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class CocoImage:
    """One image record; `extra` holds the keys outside the COCO format (pixel size, examination, ...)."""

    id: int
    file_name: str
    height: int
    width: int
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CocoAnnotation:
    """One annotated object.

    Attributes:
        bbox_xywh: left, top, width, height in px, corner convention.
        area: px squared.
        segmentation: polygons, each flat x0, y0, x1, y1, ... in px (corner convention), or an RLE dict, or None.
        extra: keys outside the COCO format (the ellipse, ...).
    """

    id: int
    image_id: int
    category_id: int
    bbox_xywh: tuple[float, float, float, float]
    area: float
    segmentation: list[list[float]] | dict[str, Any] | None
    iscrowd: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CocoCategory:
    """One class of objects."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class CocoDataset:
    """A COCO file; `info["image_root"]` is the image folder relative to the file's own folder, in POSIX form."""

    images: tuple[CocoImage, ...]
    annotations: tuple[CocoAnnotation, ...]
    categories: tuple[CocoCategory, ...]
    info: Mapping[str, Any] = field(default_factory=dict)


def draw_key(seed: int, name: str) -> bytes:
    """Sorting key that puts names in a random order: the same on every machine and for every library version."""
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()
