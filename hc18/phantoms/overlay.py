"""What an ultrasound machine and the anonymisation draw over the picture: grey bar, covered text, calipers."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from hc18.geometry.ellipse import Ellipse

_REFERENCE_HW = (540, 800)


def draw_grey_bar(image: NDArray[np.uint8]) -> None:
    """Draws the grey scale of HC18 images into the upper left corner, in place."""
    height, width = image.shape
    sy, sx = height / _REFERENCE_HW[0], width / _REFERENCE_HW[1]
    top, bottom, left, right = int(24 * sy), int(205 * sy), int(3 * sx), max(int(13 * sx), int(3 * sx) + 1)
    image[:, :left] = 0
    image[top:bottom, left:right] = np.linspace(255, 0, bottom - top).astype(np.uint8)[:, None]


def draw_covered_text(image: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Blackens the corners where the machine wrote patient text, and the margin to the right, in place."""
    height, width = image.shape
    sy, sx = height / _REFERENCE_HW[0], width / _REFERENCE_HW[1]

    def cover(x0: float, y0: float, x1: float, y1: float) -> None:
        image[int(y0 * sy) : int(y1 * sy), int(x0 * sx) : int(x1 * sx)] = 0

    cover(785, 0, 801, 541)
    if rng.random() < 0.93:
        cover(rng.uniform(580, 605), rng.choice([334, 385, 422, 443, 500]), 786, 523)
    if rng.random() < 0.5:
        cover(rng.choice([690, 705, 742]), 0, 786, rng.uniform(60, 110))
    if rng.random() < 0.1:
        cover(24, 24, 50, 44)


def draw_machine_text(image: NDArray[np.uint8], text: str) -> None:
    """Writes a short dim text next to the grey bar, in place; images under 400 px wide have no room for it."""
    scale = image.shape[1] / _REFERENCE_HW[1]
    if scale >= 0.5:
        cv2.putText(image, text, (int(43 * scale), int(40 * scale)), cv2.FONT_HERSHEY_PLAIN, 0.8 * scale, 30, 1)


def draw_calipers(image: NDArray[np.uint8], ellipse: Ellipse) -> None:
    """Draws the crosses that a measurement leaves at the four ends of the axes, in place."""
    arm = max(image.shape[1] // 130, 2)
    cos, sin = np.cos(ellipse.angle_rad), np.sin(ellipse.angle_rad)
    for along, across in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        x = ellipse.center_x + along * ellipse.semi_axis_a * cos - across * ellipse.semi_axis_b * sin
        y = ellipse.center_y + along * ellipse.semi_axis_a * sin + across * ellipse.semi_axis_b * cos
        cv2.drawMarker(image, (round(x), round(y)), 235, cv2.MARKER_CROSS, 2 * arm + 1, 1)
