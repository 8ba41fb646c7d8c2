"""Photos with one mask file each: the checks that all such datasets share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from face_mask.data.masks import MaskReading, mask_box
from face_mask.data.photos import probe_photo, relative_name, unreadable_image
from fetal_hc.errors import ImageError, Problem

LEFT_OUT = "photo left out"


class Pair(NamedTuple):
    """A photo and its mask file, which need not exist."""

    photo: Path
    mask: Path | None


class PairReading(NamedTuple):
    """A photo's size and fingerprint, and its masks by name, bool (H, W), at least one of them with pixels."""

    image_hw: tuple[int, int]
    fingerprint: int
    masks: dict[str, NDArray[np.bool_]]


def match_pairs(photos: dict[str, Path], masks: dict[str, Path], root: Path) -> tuple[dict[str, Pair], list[Problem]]:
    """Photos with the mask of the same name, and the masks without a photo as problems.

    Args:
        photos: by the name they share with their mask.
        masks: by the same name.
        root: folder of the dataset.
    """
    problems = [
        Problem.in_file("missing_image", relative_name(masks[name], root), f"has no photo '{name}'", "mask left out")
        for name in sorted(masks.keys() - photos.keys())
    ]
    return {name: Pair(photos[name], masks.get(name)) for name in sorted(photos)}, problems


def read_pair(
    pair: Pair, root: Path, read_mask: Callable[[Path], MaskReading]
) -> tuple[PairReading | None, list[Problem]]:
    """A photo with its masks; None and the problem if either cannot be used."""
    photo_name = relative_name(pair.photo, root)
    if pair.mask is None:
        return None, [Problem.in_file("missing_mask", photo_name, "has no mask file", LEFT_OUT)]
    mask_name = relative_name(pair.mask, root)
    name = photo_name
    try:
        image_hw, fingerprint = probe_photo(pair.photo)
        name = mask_name
        masks, fault = read_mask(pair.mask)
    except ImageError as error:
        return None, [unreadable_image(name, error)]
    if fault:
        return None, [Problem.in_file("unexpected_colours", mask_name, fault, LEFT_OUT)]
    mask_hw = next(iter(masks.values())).shape
    if mask_hw != image_hw:
        value = f"has {mask_hw[1]} x {mask_hw[0]} px, its photo {image_hw[1]} x {image_hw[0]}"
        return None, [Problem.in_file("size_mismatch", mask_name, value, f"expected equal sizes; {LEFT_OUT}")]
    if mask_box(list(masks.values())) is None:
        return None, [Problem.in_file("empty_mask", mask_name, "has no labelled pixel", LEFT_OUT)]
    return PairReading(image_hw, fingerprint, masks), []
