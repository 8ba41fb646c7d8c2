"""Drawing of outlines and masks on images; no disk access.

Coordinates: x right, y down, pixel centres at integers. Truth and prediction keep one colour each everywhere.

References: colours from M. Okabe, K. Ito, Color universal design (2008), safe for colour-blind readers.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

TRUTH_RGB = (0x00, 0x72, 0xB2)
PREDICTION_RGB = (0xE6, 0x9F, 0x00)

_FRACTION_BITS = 4  # of a pixel, in OpenCV's fixed-point coordinates
_LARGEST_COORDINATE_PX = 30_000.0


def draw_outline(
    image_rgb: NDArray[np.uint8], outline_xy: ArrayLike, color_rgb: tuple[int, int, int], *, thickness_px: int = 2
) -> NDArray[np.uint8]:
    """A copy of an image with a closed, anti-aliased outline.

    Args:
        image_rgb: uint8 (H, W, 3).
        outline_xy: (n, 2) x, y in px, for example `Ellipse.outline(360)`; may leave the image.
        color_rgb: such as `TRUTH_RGB` or `PREDICTION_RGB`.
        thickness_px: width of the line.
    """
    drawn = np.array(image_rgb, dtype=np.uint8, order="C")
    points = np.clip(np.asarray(outline_xy, dtype=np.float64), -_LARGEST_COORDINATE_PX, _LARGEST_COORDINATE_PX)
    fixed_point = np.rint(points * 2**_FRACTION_BITS).astype(np.int32)
    cv2.polylines(drawn, [fixed_point.reshape(-1, 1, 2)], True, color_rgb, thickness_px, cv2.LINE_AA, _FRACTION_BITS)
    return drawn


def draw_mask(
    image_rgb: NDArray[np.uint8], mask: ArrayLike, color_rgb: tuple[int, int, int], *, opacity: float = 0.35
) -> NDArray[np.uint8]:
    """A copy of an image with a coloured mask blended over it.

    Args:
        image_rgb: uint8 (H, W, 3).
        mask: (H, W), bool or probabilities in [0, 1], which scale the opacity.
        color_rgb: such as `TRUTH_RGB` or `PREDICTION_RGB`.
        opacity: of the colour where the mask is 1, in [0, 1].
    """
    weight = opacity * np.clip(np.asarray(mask, dtype=np.float32), 0.0, 1.0)[:, :, None]
    blended = image_rgb + weight * (np.asarray(color_rgb, dtype=np.float32) - image_rgb)
    return np.rint(blended).astype(np.uint8)


def draw_label(
    image_rgb: NDArray[np.uint8],
    text: str,
    color_rgb: tuple[int, int, int],
    *,
    position_xy: tuple[int, int] = (8, 8),
    height_px: int = 14,
) -> NDArray[np.uint8]:
    """A copy of an image with a line of ASCII text on a dark strip.

    Args:
        image_rgb: uint8 (H, W, 3).
        text: printable ASCII.
        color_rgb: of the letters.
        position_xy: top-left corner of the strip in px.
        height_px: of capital letters.
    """
    drawn = np.array(image_rgb, dtype=np.uint8, order="C")
    face, scale = cv2.FONT_HERSHEY_SIMPLEX, height_px / 22.0
    (width, height), below = cv2.getTextSize(text, face, scale, 1)
    left, top = position_xy
    cv2.rectangle(drawn, (left, top), (left + width + 8, top + height + below + 8), (16, 16, 16), cv2.FILLED)
    cv2.putText(drawn, text, (left + 4, top + height + 4), face, scale, color_rgb, 1, cv2.LINE_AA)
    return drawn


def draw_contact_sheet(tiles: Sequence[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    """Pictures of one size in rows, left to right, the last row filled up with white: uint8 (H, W, 3).

    Args:
        tiles: at least one, uint8 (h, w, 3) each.
        columns: most pictures in a row.
    """
    from skimage.util import montage  # takes half a second, which only those who draw sheets should wait

    columns = min(columns, len(tiles))
    grid_shape = (-(-len(tiles) // columns), columns)
    sheet = montage(np.stack(tiles), fill=(255, 255, 255), grid_shape=grid_shape, channel_axis=-1)
    return np.asarray(sheet, dtype=np.uint8)
