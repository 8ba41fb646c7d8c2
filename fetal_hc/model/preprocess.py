"""Image -> network input, exactly as Detectron2 prepares a test image (the resize is part of the model).

Rules: resize first, on uint8, with Pillow's antialiased bilinear filter; keep values 0..255 and the channel order the
network was trained with. Normalisation and padding belong to the network.

Shape legend: h, w original image; H, W network input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

ChannelOrder = Literal["BGR", "RGB"]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What a network expects of its input image.

    Attributes:
        channel_order: order of the three input planes (`INPUT.FORMAT`).
        min_size: length in px of the shorter side after the resize (`INPUT.MIN_SIZE_TEST`); 0 means no resize.
        max_size: largest length in px of the longer side after the resize (`INPUT.MAX_SIZE_TEST`).

    Raises:
        ValueError: if a value is outside its range.
    """

    channel_order: ChannelOrder
    min_size: int
    max_size: int

    def __post_init__(self) -> None:
        if self.channel_order not in ("BGR", "RGB"):
            raise ValueError(f"channel order is {self.channel_order!r}; expected 'BGR' or 'RGB'")
        if self.min_size < 0:
            raise ValueError(f"shorter side is {self.min_size} px; expected a positive length, or 0 for no resize")
        if self.min_size and self.max_size < 1:
            raise ValueError(f"longer side is limited to {self.max_size} px; expected a positive length")


def resized_hw(image_hw: tuple[int, int], min_size: int, max_size: int) -> tuple[int, int]:
    """Height and width in px of the network input for an image of `image_hw`.

    The shorter side becomes `min_size`, unless the longer one would then exceed `max_size`; each side is rounded as
    floor(x + 0.5). The operations come in Detectron2's order, because a half pixel decides the rounding. Unlike there,
    a very elongated image keeps at least one pixel per side.

    Args:
        image_hw: original height and width in px, both positive.
        min_size: see `InputSpec`; 0 means no resize.
        max_size: see `InputSpec`.

    References: Detectron2, `ResizeShortestEdge.get_output_shape`.
    """
    height, width = image_hw
    if min_size == 0:
        return height, width
    size = float(min_size)
    scale = size / min(height, width)
    new_height, new_width = (size, scale * width) if height < width else (scale * height, size)
    longest = max(new_height, new_width)
    if longest > max_size:
        scale = float(max_size) / longest
        new_height, new_width = new_height * scale, new_width * scale
    return max(int(new_height + 0.5), 1), max(int(new_width + 0.5), 1)


def resize_image(image: NDArray[np.uint8], new_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """`image` resized by Pillow's bilinear filter, antialiased when it shrinks.

    Args:
        image: uint8 (h, w) grey or (h, w, 3).
        new_hw: H, W in px.

    Returns:
        uint8 (H, W) or (H, W, 3); `image` itself when it already has that size.
    """
    if image.shape[:2] == new_hw:
        return image
    height, width = new_hw
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def to_grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 (h, w) luma of a grey (h, w) or RGB (h, w, 3) image; equal channels keep their values."""
    if image.ndim == 2:
        return image
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)


def to_network_input(image_rgb: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """Network input for an image: resized, planes first, values 0..255.

    Pillow filters each channel alone, so an image with three equal channels (a decoded grey image) is resized once and
    repeated: the same numbers in a third of the time.

    Args:
        image_rgb: uint8 (h, w, 3), RGB.
        spec: size and channel order the network expects.

    Returns:
        float32 (3, H, W), contiguous, planes in `spec.channel_order`.
    """
    new_hw = resized_hw((image_rgb.shape[0], image_rgb.shape[1]), spec.min_size, spec.max_size)
    red = image_rgb[..., 0]
    if np.array_equal(red, image_rgb[..., 1]) and np.array_equal(red, image_rgb[..., 2]):
        plane = resize_image(np.ascontiguousarray(red), new_hw).astype(np.float32)
        return np.repeat(plane[None], 3, axis=0)
    planes = resize_image(image_rgb, new_hw).transpose(2, 0, 1)
    ordered = planes if spec.channel_order == "RGB" else planes[::-1]
    return np.ascontiguousarray(ordered, dtype=np.float32)
