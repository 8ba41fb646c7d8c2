"""From a dataset record to the unrolled band around a head's rough outline: the input of the outline refiner."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.data import augment
from fetal_hc.engine.data.mapper import CACHE_LIMIT_BYTES, ImageCache, Uint8Image, read_record_image
from fetal_hc.errors import DatasetError, raise_problems
from fetal_hc.model.preprocess import to_grey
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.details import read_details
from hc18.measurement.polar_band import band_input, mirror_radii, relative_radii, sample_band

# Largest share of a head's width or height that a cut takes away.
MAX_CUT_SHARE = 0.3


class PolarBandMapper:
    """Maps a record to {"band", "radii"} for training, else to {"image_grey", "start"}.

    In training the start is the reference ellipse, moved at random (INPUT.BAND), so that the network meets every error
    a detector may make; otherwise it is what a detector measured in the image (DATASETS.START_OUTLINES).

    Args:
        cfg: reads INPUT.BAND, INPUT.AUG, INPUT.RANDOM_FLIP, DATASETS.START_OUTLINES and DATALOADER.CACHE_IMAGES.
        is_train: random starts and grey values, or starts from files.
        cache_limit_bytes: memory for decoded images.

    Raises:
        ConfigError: if values of INPUT.AUG are outside their ranges.
        DatasetError: if a file of START_OUTLINES cannot be read or two files name one image.
    """

    def __init__(self, cfg: CfgNode, is_train: bool, *, cache_limit_bytes: int = CACHE_LIMIT_BYTES) -> None:
        augment.check_augmentation(cfg.INPUT.AUG)
        self.input = cfg.INPUT
        self.is_train = is_train
        self.cache = ImageCache(cache_limit_bytes if is_train and cfg.DATALOADER.CACHE_IMAGES else 0)
        self.starts = {} if is_train else read_start_outlines([Path(name) for name in cfg.DATASETS.START_OUTLINES])

    def __call__(self, record: Mapping[str, Any], seed: Sequence[int] = (0,)) -> dict[str, Any]:
        """Model input of one record; `seed` fixes every random choice.

        Raises:
            DatasetError: if the image cannot be read, its size differs from the record, or no start is known for it.
        """
        sample = {key: value for key, value in record.items() if key != "annotations"}
        image = self.cache.get(str(record["file_name"]), lambda: to_grey(read_record_image(record)))
        if not self.is_train:
            return {**sample, "image_grey": image, "start": self._start_of(record)}
        rng = np.random.default_rng(seed)
        reference = Ellipse(**record["annotations"][0]["ellipse_px"])
        if rng.random() < self.input.BAND.CUT_PROB:
            image, reference = cut_head(image, reference, rng)
        start = self._draw_start(reference, rng)
        band, radii = sample_band(image, start), relative_radii(reference, start)
        if self.input.RANDOM_FLIP == "horizontal" and rng.random() < 0.5:
            band, radii = band.mirrored(), mirror_radii(radii)
        if rng.random() < 0.5:
            band, radii = band.half_turned(), np.roll(radii, len(radii) // 2)
        changed = augment.change_grey_values(np.rint(band.grey).astype(np.uint8), self.input.AUG, rng)
        sample["band"] = torch.from_numpy(band_input(band.with_grey(changed)))
        sample["radii"] = torch.from_numpy(radii.astype(np.float32))
        return sample

    def _start_of(self, record: Mapping[str, Any]) -> Ellipse | None:
        name = Path(str(record["file_name"])).name
        if name not in self.starts:
            raise DatasetError(
                f"{name}: no file of DATASETS.START_OUTLINES has a row for it; measure it with the detector "
                "(fetal-hc score) and name the details file there"
            )
        return self.starts[name]

    def _draw_start(self, reference: Ellipse, rng: np.random.Generator) -> Ellipse:
        """A random ellipse near the reference; one in five is twice as far off."""
        node = self.input.BAND
        far = 1.0 if rng.random() < 0.8 else 2.0
        radius = math.sqrt(reference.semi_axis_a * reference.semi_axis_b)
        shift_x, shift_y = rng.normal(0.0, far * node.CENTER_SD * radius, 2)
        stretch_a, stretch_b = np.exp(rng.normal(0.0, far * node.AXES_SD, 2))
        return Ellipse.from_axes(
            reference.center_x + shift_x,
            reference.center_y + shift_y,
            reference.semi_axis_a * stretch_a,
            reference.semi_axis_b * stretch_b,
            reference.angle_rad + math.radians(rng.normal(0.0, far * node.ANGLE_SD_DEG)),
        )


def cut_head(image: Uint8Image, head: Ellipse, rng: np.random.Generator) -> tuple[Uint8Image, Ellipse]:
    """The image without what lies beyond a random line through the head, left, right or below, and the head in it.

    A field of view ends there often enough, and hardly ever in training images.
    """
    x0, y0, x1, y1 = (round(value) for value in head.box_xyxy())
    share = rng.uniform(0.0, MAX_CUT_SHARE)
    side = int(rng.integers(3))
    if side == 0:
        left = max(round(x0 + share * (x1 - x0)), 0)
        return np.ascontiguousarray(image[:, left:]), replace(head, center_x=head.center_x - left)
    if side == 1:
        return np.ascontiguousarray(image[:, : round(x1 - share * (x1 - x0))]), head
    return np.ascontiguousarray(image[: round(y1 - share * (y1 - y0))]), head


def read_start_outlines(paths: Sequence[Path]) -> dict[str, Ellipse | None]:
    """Ellipse in px of each image in details files of fetal-hc score; None where no head was found.

    Raises:
        DatasetError: if a file cannot be read or two rows are about one image.
    """
    starts: dict[str, Ellipse | None] = {}
    problems = []
    for path in paths:
        for row in read_details(path):
            if row.file_name in starts:
                problems.append(f"{path}: {row.file_name} has a second row; keep one per image")
            starts[row.file_name] = row.ellipse_px
    if problems:
        raise_problems(DatasetError, problems, "DATASETS.START_OUTLINES")
    return starts
