"""Controlled damage to an image, each kind at several strengths, to see how a measurement holds up.

Each function takes a grey or RGB uint8 image and returns the damaged one with the factor by which the length of a pixel
grew; the head in it keeps its circumference in mm, also where part of it is cut off.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hc18.geometry.ellipse import Ellipse

Uint8Image = NDArray[np.uint8]
SPECKLE_GRAIN_PX = 2.0
_CALIPER_LEVEL = 235


@dataclass(frozen=True, slots=True)
class Degraded:
    """A damaged image.

    Attributes:
        image: uint8, (H, W) or (H, W, 3) as the original.
        pixel_size_factor: length of its pixels over that of the original.
    """

    image: Uint8Image
    pixel_size_factor: float = 1.0


Degradation = Callable[[Uint8Image, Ellipse, float, np.random.Generator], Degraded]


def change_gain(image: Uint8Image, head: Ellipse, factor: float, rng: np.random.Generator) -> Degraded:
    """All grey values times `factor`, clipped."""
    return Degraded(np.clip(np.rint(image * factor), 0, 255).astype(np.uint8))


def add_speckle(image: Uint8Image, head: Ellipse, sd: float, rng: np.random.Generator) -> Degraded:
    """Multiplicative noise of standard deviation `sd` with a grain of two pixels."""
    noise = cv2.GaussianBlur(rng.standard_normal(image.shape[:2]), (0, 0), SPECKLE_GRAIN_PX / 2.0)
    factor = 1.0 + sd * noise / noise.std()
    return Degraded(_scaled(image, factor))


def blur(image: Uint8Image, head: Ellipse, sigma_px: float, rng: np.random.Generator) -> Degraded:
    """Gaussian blur."""
    return Degraded(np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), dtype=np.uint8))


def compress_jpeg(image: Uint8Image, head: Ellipse, quality: float, rng: np.random.Generator) -> Degraded:
    """JPEG at a quality of 1 to 95, decoded again."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="JPEG", quality=int(quality))
    return Degraded(np.asarray(Image.open(stream), dtype=np.uint8))


def resize(image: Uint8Image, head: Ellipse, scale: float, rng: np.random.Generator) -> Degraded:
    """The image with fewer or more pixels; the pixel size follows, to the rounding of the sides."""
    size_wh = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    resized = Image.fromarray(image).resize(size_wh, Image.Resampling.BILINEAR)
    factor = float(np.sqrt(image.shape[1] / size_wh[0] * image.shape[0] / size_wh[1]))
    return Degraded(np.asarray(resized, dtype=np.uint8), factor)


def rotate(image: Uint8Image, head: Ellipse, angle_deg: float, rng: np.random.Generator) -> Degraded:
    """The image turned about its centre on a canvas that holds all of it."""
    turned = Image.fromarray(image).rotate(angle_deg, Image.Resampling.BICUBIC, expand=True)
    return Degraded(np.asarray(turned, dtype=np.uint8))


def crop(image: Uint8Image, head: Ellipse, lost_share: float, rng: np.random.Generator) -> Degraded:
    """The image without what lies to the right of a line that cuts off `lost_share` of the head's width.

    A negative share leaves that much room between head and line.
    """
    left, _, right, _ = head.box_xyxy()
    stop = round(right - lost_share * (right - left)) + 1
    return Degraded(np.ascontiguousarray(image[:, : min(max(stop, 1), image.shape[1])]))


def draw_overlay(image: Uint8Image, head: Ellipse, n_parts: float, rng: np.random.Generator) -> Degraded:
    """What machines draw: 1 crosses at the axes' ends, 2 and dotted axes, 3 and a text, 4 and a dotted outline.

    Crosses, axes and outline lie on a slightly wrong ellipse, as an operator would leave them.
    """
    drawn = np.array(image)
    wrong = Ellipse.from_axes(
        head.center_x + rng.normal(0, 0.02) * head.semi_axis_a,
        head.center_y + rng.normal(0, 0.02) * head.semi_axis_a,
        head.semi_axis_a * rng.uniform(0.95, 1.05),
        head.semi_axis_b * rng.uniform(0.95, 1.05),
        head.angle_rad + rng.normal(0, 0.03),
    )
    ends = wrong.outline(4)
    color = (_CALIPER_LEVEL,) * (1 if image.ndim == 2 else 3)
    for x, y in ends:
        cv2.drawMarker(drawn, (round(x), round(y)), color, cv2.MARKER_CROSS, 15, 1)
    if n_parts >= 2:
        for start, stop in ((ends[0], ends[2]), (ends[1], ends[3])):
            _draw_dots(drawn, start + (stop - start) * np.linspace(0, 1, 40)[:, None], color)
    if n_parts >= 3:
        for line, text in enumerate(("1 HC 181.4 mm", "  GA 20w4d", "  BPD 48.9 mm")):
            cv2.putText(drawn, text, (20, 40 + 22 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.6, color, 1)
    if n_parts >= 4:
        _draw_dots(drawn, wrong.outline(120), color)
    return Degraded(drawn)


@dataclass(frozen=True, slots=True)
class DegradationSeries:
    """One kind of damage at rising strengths.

    Attributes:
        apply: the function.
        strengths: mildest first.
        unit: what a strength is.
    """

    apply: Degradation
    strengths: tuple[float, ...]
    unit: str


DEGRADATIONS: dict[str, DegradationSeries] = {
    "gain": DegradationSeries(change_gain, (1.5, 0.5, 2.5, 0.2), "factor on grey values"),
    "speckle": DegradationSeries(add_speckle, (0.1, 0.2, 0.4, 0.8), "standard deviation of the factor"),
    "blur": DegradationSeries(blur, (1.0, 2.0, 4.0, 8.0), "Gaussian sigma in px"),
    "jpeg": DegradationSeries(compress_jpeg, (70.0, 40.0, 15.0, 5.0), "quality"),
    "resize": DegradationSeries(resize, (1.5, 0.5, 0.25, 0.125), "scale"),
    "rotation": DegradationSeries(rotate, (5.0, 15.0, 45.0, 90.0), "degrees"),
    "crop": DegradationSeries(crop, (-0.05, 0.0, 0.1, 0.25), "share of the head's width cut off"),
    "overlay": DegradationSeries(draw_overlay, (1.0, 2.0, 3.0, 4.0), "parts: crosses, axes, text, outline"),
}


def _scaled(image: Uint8Image, factor: NDArray[np.float64]) -> Uint8Image:
    """Image times a field (H, W), clipped."""
    field = factor if image.ndim == 2 else factor[..., None]
    return np.clip(np.rint(image * field), 0, 255).astype(np.uint8)


def _draw_dots(image: Uint8Image, points_xy: NDArray[np.float64], color: tuple[int, ...]) -> None:
    """Single bright pixels, in place; those outside are left out."""
    for x, y in np.rint(points_xy).astype(int):
        if 0 <= x < image.shape[1] and 0 <= y < image.shape[0]:
            image[y, x] = color if image.ndim == 3 else color[0]
