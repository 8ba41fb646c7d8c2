"""An ultrasound image in a PDF with ellipses drawn over it as vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from reportlab.lib.colors import Color, HexColor
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable

from hc18.geometry.ellipse import Ellipse

_LINE_PT = 1.2
_CASING = Color(0, 0, 0, alpha=0.55)  # under every line, so that it shows on bright echoes too


@dataclass(frozen=True, slots=True)
class DrawnEllipse:
    """An ellipse in px of the original image, with its colour ("#rrggbb") and whether it is dashed."""

    ellipse_px: Ellipse
    color: str
    is_dashed: bool = False


class OutlinedImage(Flowable):
    """An image scaled to fit a box, with ellipses clipped to it."""

    def __init__(
        self,
        image_rgb: NDArray[np.uint8],
        origin_xy: tuple[int, int],
        outlines: Sequence[DrawnEllipse],
        largest_wh_pt: tuple[float, float],
    ) -> None:
        super().__init__()
        height_px, width_px = image_rgb.shape[:2]
        self._scale = min(largest_wh_pt[0] / width_px, largest_wh_pt[1] / height_px)
        self._image_rgb = image_rgb
        self._origin_xy = origin_xy
        self._outlines = tuple(outlines)
        self.width, self.height = width_px * self._scale, height_px * self._scale

    def wrap(self, _available_width: float, _available_height: float) -> tuple[float, float]:
        """Width and height in points, whatever is available."""
        return self.width, self.height

    def draw(self) -> None:
        """Draws into the frame's canvas, whose origin is the bottom-left corner of the image."""
        canvas: Canvas = self.canv
        canvas.drawImage(ImageReader(_to_pil(self._image_rgb)), 0, 0, self.width, self.height)
        canvas.saveState()
        border = canvas.beginPath()
        border.rect(0, 0, self.width, self.height)
        canvas.clipPath(border, stroke=0)
        for outline in self._outlines:
            self._draw_outline(canvas, outline)
        canvas.restoreState()

    def _draw_outline(self, canvas: Canvas, outline: DrawnEllipse) -> None:
        """One ellipse: y turns upwards, and pixel centres move to half-integers."""
        ellipse, scale = outline.ellipse_px, self._scale
        canvas.saveState()
        canvas.translate(
            (ellipse.center_x - self._origin_xy[0] + 0.5) * scale,
            self.height - (ellipse.center_y - self._origin_xy[1] + 0.5) * scale,
        )
        canvas.rotate(-math.degrees(ellipse.angle_rad))
        half_width, half_height = ellipse.semi_axis_a * scale, ellipse.semi_axis_b * scale
        for color, width_pt in ((_CASING, 2.0 * _LINE_PT), (HexColor(outline.color), _LINE_PT)):
            canvas.setStrokeColor(color)
            canvas.setLineWidth(width_pt)
            canvas.setDash([4, 3] if outline.is_dashed else [])
            canvas.ellipse(-half_width, -half_height, half_width, half_height, stroke=1, fill=0)
        canvas.restoreState()


def _to_pil(image_rgb: NDArray[np.uint8]) -> Image.Image:
    """The image for embedding; a grey one with a single channel."""
    is_grey = bool((image_rgb == image_rgb[:, :, :1]).all())
    return Image.fromarray(np.ascontiguousarray(image_rgb[:, :, 0] if is_grey else image_rgb))
