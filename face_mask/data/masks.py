"""Mask files of photos: three-colour masks of face and mask, and black-and-white masks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from face_mask.data.records import Box, Label
from fetal_hc.io.images import read_image
from fetal_hc.io.masks import mask_to_rle

FACE_RGB = (128, 0, 0)
MASK_RGB = (0, 128, 0)
BACKGROUND_RGB = (0, 0, 0)

_BLACK_UP_TO = 64  # grey values between black and white are compression noise at edges
_WHITE_FROM = 192
_GREY_SHARE = 0.05  # of a mask's pixels; with more the picture is not a black-and-white mask
_SHOWN_COLOURS = 3


class MaskReading(NamedTuple):
    """Masks by name, bool (H, W), and what is wrong with the file ("" if nothing)."""

    masks: dict[str, NDArray[np.bool_]]
    fault: str


def read_colour_mask(path: str | os.PathLike[str]) -> MaskReading:
    """The "face" and "mask" pixels of a three-colour PNG; any other colour is a fault.

    Raises:
        ImageError: if the file cannot be read.
    """
    image = read_image(path)
    face, mask, background = (cv2.inRange(image, colour, colour) > 0 for colour in (FACE_RGB, MASK_RGB, BACKGROUND_RGB))
    unexpected = ~(face | mask | background)
    if unexpected.any():
        colours, counts = np.unique(image[unexpected], axis=0, return_counts=True)
        order = np.argsort(-counts, kind="stable")[:_SHOWN_COLOURS]
        shown = ", ".join(f"{tuple(colours[index].tolist())} on {counts[index]} px" for index in order)
        return MaskReading({}, f"has {len(colours)} unexpected colours, such as RGB {shown}")
    return MaskReading({"face": face, "mask": mask}, "")


def read_binary_mask(path: str | os.PathLike[str]) -> MaskReading:
    """The white pixels of a black-and-white image as "mask"; colours or much grey are a fault.

    Raises:
        ImageError: if the file cannot be read.
    """
    image = read_image(path)
    red, green, blue = cv2.split(image)  # plane by plane: reductions over the last axis are far slower
    low, high = cv2.min(cv2.min(red, green), blue), cv2.max(cv2.max(red, green), blue)
    if low.size and int(high.max()) == 1:  # stored as 0 and 1
        return MaskReading({"mask": low > 0}, "")
    off = (high > _BLACK_UP_TO) & (low < _WHITE_FROM)
    share = float(off.mean())
    if share > _GREY_SHARE:
        row, column = np.argwhere(off)[0]
        colour = tuple(int(value) for value in image[row, column])
        return MaskReading({}, f"{share:.1%} of its pixels are neither black nor white, such as RGB {colour}")
    total = red.astype(np.uint16) + green + blue
    return MaskReading({"mask": total >= 3 * (_BLACK_UP_TO + _WHITE_FROM) // 2}, "")


def mask_box(masks: Sequence[NDArray[np.bool_]]) -> Box | None:
    """The box around all pixels of the masks (H, W), corner convention; None if they are empty."""
    covered = np.logical_or.reduce(masks)
    columns, rows = np.flatnonzero(covered.any(axis=0)), np.flatnonzero(covered.any(axis=1))
    if not columns.size:
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def to_label(category: str, mask: NDArray[np.bool_], box_xyxy: Box) -> Label:
    """A label with the mask's pixels, or with the box alone if the mask is empty."""
    area_px = int(mask.sum())
    return Label(category, box_xyxy, mask_to_rle(mask) if area_px else None, area_px)
