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
Fit = Literal["shorter_side", "stretch", "pad"]
SHORTER_SIDE: Fit = "shorter_side"
STRETCH: Fit = "stretch"
PAD: Fit = "pad"


@dataclass(frozen=True, slots=True)
class InputSpec:
    """Size and channel order of a network's input image.

    Attributes:
        channel_order: order of the three input planes (`INPUT.FORMAT`).
        min_size: length in px of the shorter side after the resize (`INPUT.MIN_SIZE_TEST`); 0 means no resize.
        max_size: largest length in px of the longer side after the resize (`INPUT.MAX_SIZE_TEST`).
        fit: how the image fills the input: "shorter_side" keeps its aspect; into a square of `max_size`, "stretch" does
            not, and "pad" keeps it and fills the rest with 0.

    Raises:
        ValueError: if a value is outside its range.
    """

    channel_order: ChannelOrder
    min_size: int
    max_size: int
    fit: Fit = SHORTER_SIDE

    def __post_init__(self) -> None:
        if self.channel_order not in ("BGR", "RGB"):
            raise ValueError(f"channel order is {self.channel_order!r}; expected 'BGR' or 'RGB'")
        if self.min_size < 0:
            raise ValueError(f"shorter side is {self.min_size} px; expected a positive length, or 0 for no resize")
        if self.min_size and self.max_size < 1:
            raise ValueError(f"longer side is limited to {self.max_size} px; expected a positive length")
        if self.fit not in (SHORTER_SIDE, STRETCH, PAD):
            raise ValueError(f"fit is {self.fit!r}; expected '{SHORTER_SIDE}', '{STRETCH}' or '{PAD}'")
        if self.fit != SHORTER_SIDE and not self.min_size == self.max_size > 0:
            raise ValueError(
                f"sides are {self.min_size} and {self.max_size} px; expected a square for fit '{self.fit}'"
            )


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the resized image lies in the network input, in px."""

    top: int
    left: int
    height: int
    width: int

    def to_image(self, points_xy: NDArray[np.floating], image_hw: tuple[int, int]) -> NDArray[np.float32]:
        """Points (n, 2) of the network input in px of the original image, clipped to it; corner convention."""
        scale = np.array([image_hw[1] / self.width, image_hw[0] / self.height])
        moved = (np.asarray(points_xy, dtype=np.float64) - (self.left, self.top)) * scale
        clipped: NDArray[np.float32] = np.clip(moved, 0.0, (image_hw[1], image_hw[0])).astype(np.float32)
        return clipped

    def affine(self, image_hw: tuple[int, int]) -> NDArray[np.float64]:
        """Affine (3, 3) from the original image to the network input, corner convention."""
        scale_x, scale_y = self.width / image_hw[1], self.height / image_hw[0]
        return np.array([[scale_x, 0.0, self.left], [0.0, scale_y, self.top], [0.0, 0.0, 1.0]])


def place_in_square(image_hw: tuple[int, int], size: int, fit: Fit) -> Placement:
    """Where an image lies in a square input.

    Args:
        image_hw: original height and width in px.
        size: side of the square in px.
        fit: `STRETCH` or `PAD`, see `InputSpec`.
    """
    if fit == STRETCH:
        return Placement(0, 0, size, size)
    scale = size / max(image_hw)
    height, width = (max(1, round(scale * side)) for side in image_hw)
    return Placement((size - height) // 2, (size - width) // 2, height, width)


def to_square(image_rgb: NDArray[np.uint8], size: int, fit: Fit) -> NDArray[np.uint8]:
    """An image uint8 (h, w, 3) in a square (S, S, 3), black where it does not reach."""
    place = place_in_square((image_rgb.shape[0], image_rgb.shape[1]), size, fit)
    square = np.zeros((size, size, 3), dtype=np.uint8)
    resized = resize_image(image_rgb, (place.height, place.width))
    square[place.top : place.top + place.height, place.left : place.left + place.width] = resized
    return square


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
    if spec.fit != SHORTER_SIDE:
        return _to_planes(to_square(image_rgb, spec.max_size, spec.fit), spec)
    new_hw = resized_hw((image_rgb.shape[0], image_rgb.shape[1]), spec.min_size, spec.max_size)
    red = image_rgb[..., 0]
    if np.array_equal(red, image_rgb[..., 1]) and np.array_equal(red, image_rgb[..., 2]):
        plane = resize_image(np.ascontiguousarray(red), new_hw).astype(np.float32)
        return np.repeat(plane[None], 3, axis=0)
    return _to_planes(resize_image(image_rgb, new_hw), spec)


def _to_planes(image_rgb: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """An image (H, W, 3) as planes (3, H, W) in the order of the network."""
    planes = image_rgb.transpose(2, 0, 1)
    ordered = planes if spec.channel_order == "RGB" else planes[::-1]
    return np.ascontiguousarray(ordered, dtype=np.float32)
