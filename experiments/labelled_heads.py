"""Labelled heads of a COCO file that fetal-hc convert wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fetal_hc.errors import DatasetError
from fetal_hc.io.coco import read_coco, resolve_image_path
from hc18.geometry.ellipse import Ellipse


@dataclass(frozen=True)
class LabelledHead:
    """An image with its reference.

    Attributes:
        path: of the image.
        pixel_size_mm: mm per px along both axes.
        hc_mm: reference circumference.
        ellipse_px: reference ellipse.
    """

    path: Path
    pixel_size_mm: float
    hc_mm: float
    ellipse_px: Ellipse


def read_labelled_heads(path: Path, limit: int | None = None) -> list[LabelledHead]:
    """The heads of a COCO file; with `limit`, that many, evenly spread.

    Raises:
        DatasetError: if the file cannot be read or an image has no ellipse or no circumference.
    """
    dataset = read_coco(path)
    ellipses = {annotation.image_id: annotation.extra.get("ellipse_px") for annotation in dataset.annotations}
    heads = []
    for image in dataset.images:
        ellipse = ellipses.get(image.id)
        if ellipse is None or "hc_mm" not in image.extra:
            raise DatasetError(f"{path}: {image.file_name} has no ellipse and HC; convert it with fetal-hc convert")
        values = (ellipse[name] for name in ("center_x", "center_y", "semi_axis_a", "semi_axis_b", "angle_rad"))
        file = resolve_image_path(path, dataset, image)
        extra = image.extra
        heads.append(LabelledHead(file, extra["pixel_size_mm"], extra["hc_mm"], Ellipse.from_axes(*values)))
    if limit is not None and limit < len(heads):
        heads = [heads[index] for index in np.linspace(0, len(heads) - 1, limit).round().astype(int)]
    return heads
