"""The result of every reader: photos with their labels, before classes are merged and parts are split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fetal_hc.errors import Problem

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Label:
    """One labelled object, or the label of a whole photo.

    Attributes:
        category: name of the class.
        box_xyxy: x0, y0, x1, y1 in px, corner convention (pixel i covers [i, i + 1]), inside the photo; None for the
            label of a whole photo.
        mask_rle: COCO run lengths of the object's mask; None where the dataset has only a box.
        mask_area_px: pixels of that mask.
    """

    category: str
    box_xyxy: Box | None = None
    mask_rle: Mapping[str, Any] | None = None
    mask_area_px: int = 0


@dataclass(frozen=True, slots=True)
class LabelledPhoto:
    """One readable photo.

    Attributes:
        file_name: relative to the dataset's image folder, in POSIX form.
        image_hw: height and width in px, after the orientation tag.
        fingerprint: difference hash of 64 bits; near-duplicates differ in few bits.
        group: photos of one group stay on one side of a split.
        labels: in the order of the annotation file.
    """

    file_name: str
    image_hw: tuple[int, int]
    fingerprint: int
    group: str
    labels: tuple[Label, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """Photos and problems that a reader found in a dataset folder.

    Attributes:
        image_root: folder that the file names of `photos` are relative to.
        photos: the usable photos, by file name.
        problems: everything that was left out or changed.
        n_found: annotation files or labelled photos that were looked at, usable or not.
        default_classes: source class -> class, in category order, unless the caller gives another map.
    """

    image_root: Path
    photos: tuple[LabelledPhoto, ...]
    problems: tuple[Problem, ...]
    n_found: int
    default_classes: Mapping[str, str] = field(default_factory=dict)
