"""Images and masks as the store keeps them: lossless PNG, the mask with 8 bits per cell."""

from __future__ import annotations

import hashlib
import struct

import cv2
import numpy as np
from numpy.typing import NDArray

from fetal_hc.errors import ImageError
from fetal_hc.io.images import read_image
from hc18.reviews.models import SoftMask, StoreError

_BOX = struct.Struct("<4f")


def to_png(image_rgb: NDArray[np.uint8]) -> bytes:
    """A lossless PNG, with one channel if the image is grey.

    Args:
        image_rgb: (H, W, 3) uint8.
    """
    is_grey = np.array_equal(image_rgb[:, :, 0], image_rgb[:, :, 1]) and np.array_equal(
        image_rgb[:, :, 0], image_rgb[:, :, 2]
    )
    return _encode(image_rgb[:, :, 0] if is_grey else image_rgb[:, :, ::-1])


def from_png(png: object) -> NDArray[np.uint8]:
    """The image that `to_png` wrote, (H, W, 3) uint8 RGB.

    Raises:
        StoreError: if the bytes are not an image any more.
    """
    if not isinstance(png, bytes):  # SQLite lets any type into a column
        raise StoreError(f"a stored image is damaged: it is {type(png).__name__}, not bytes")
    try:
        return read_image(png)
    except ImageError as error:
        raise StoreError(f"a stored image is damaged: {error}") from error


def to_mask_content(mask: SoftMask) -> bytes:
    """The box as four little-endian floats, then the mask as a PNG."""
    values = np.rint(np.clip(mask.mask, 0.0, 1.0) * 255.0).astype(np.uint8)
    return _BOX.pack(*(float(side) for side in mask.box_xyxy)) + _encode(values)


def from_mask_content(content: object) -> SoftMask:
    """The mask that `to_mask_content` wrote.

    Raises:
        StoreError: if the bytes are not a mask any more.
    """
    if not isinstance(content, bytes) or len(content) < _BOX.size:
        raise StoreError("a stored mask is damaged: it is too short")
    grey = from_png(content[_BOX.size :])[:, :, 0]
    return SoftMask(
        np.array(_BOX.unpack(content[: _BOX.size]), dtype=np.float32), grey.astype(np.float32) / np.float32(255.0)
    )


def content_sha256(content: object) -> str:
    """Hex SHA-256 of stored bytes; empty for what is not bytes (SQLite lets any type into a column)."""
    return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else ""


def _encode(values: NDArray[np.uint8]) -> bytes:
    """A PNG of (H, W) or (H, W, 3) BGR.

    Raises:
        StoreError: if there are no pixels or too many.
    """
    try:
        is_done, content = cv2.imencode(".png", np.ascontiguousarray(values))
    except cv2.error as error:
        raise StoreError(f"an image of shape {values.shape} cannot be stored as PNG: {error}") from error
    if not is_done:
        raise StoreError(f"an image of shape {values.shape} cannot be stored as PNG")
    return content.tobytes()
