"""The pixels of an image that may be shown and stored, and the key by which a stored image is known."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from fetal_hc.errors import ImageError


class NeedsRegion(ImageError):
    """A DICOM image that nobody may see before a person has chosen the part of it without names."""


def hide_outside(image_rgb: NDArray[np.uint8], *boxes_xyxy: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """A copy of the image in which everything outside the boxes is black; the size and all coordinates stay.

    Args:
        image_rgb: uint8 (H, W, 3).
        boxes_xyxy: x0, y0, x1, y1 in px, corner convention: columns x0..x1-1, rows y0..y1-1. Parts beyond the image
            are ignored; without any box the whole image becomes black.

    Returns:
        A new array, uint8 (H, W, 3).
    """
    shown = np.zeros_like(image_rgb)
    for x0, y0, x1, y1 in boxes_xyxy:
        rows, columns = slice(max(y0, 0), max(y1, 0)), slice(max(x0, 0), max(x1, 0))
        shown[rows, columns] = image_rgb[rows, columns]
    return shown


def pixel_sha256(image_rgb: NDArray[np.uint8]) -> str:
    """The key of a review case: SHA-256, in hexadecimal, over the shape and the bytes of its image.

    Compute it from the pixels that are shown and stored, so that the stored picture can be checked against its key.

    Args:
        image_rgb: uint8 (H, W, 3).

    Raises:
        ValueError: for any other type or shape, which is a mistake of the caller.
    """
    if image_rgb.dtype != np.uint8 or image_rgb.ndim != 3 or image_rgb.shape[2] != 3:
        raise ValueError(f"an image of type {image_rgb.dtype} and shape {image_rgb.shape}; expected uint8 (H, W, 3)")
    digest = hashlib.sha256(f"{image_rgb.shape[0]}x{image_rgb.shape[1]}x3 uint8 ".encode())
    digest.update(np.ascontiguousarray(image_rgb).data)
    return digest.hexdigest()
