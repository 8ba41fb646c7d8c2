"""A contact sheet of labelled photos, to see at a glance whether a conversion is right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from face_mask.data.records import LabelledPhoto
from fetal_hc.io.drawing import draw_contact_sheet, draw_label, draw_mask, draw_outline
from fetal_hc.io.images import read_image
from fetal_hc.io.masks import rle_to_mask

# Okabe and Ito's colours, safe for colour-blind readers: blue, vermilion, yellow, green, purple, sky blue.
CLASS_RGB = (
    (0x00, 0x72, 0xB2),
    (0xD5, 0x5E, 0x00),
    (0xF0, 0xE4, 0x42),
    (0x00, 0x9E, 0x73),
    (0xCC, 0x79, 0xA7),
    (0x56, 0xB4, 0xE9),
)

_TILE_PX = 320
_COLUMNS = 6
_TEXT_PX = 9


def draw_sheet(
    photos: Sequence[LabelledPhoto], image_root: Path, names: Sequence[str], parts: Sequence[str]
) -> NDArray[np.uint8]:
    """Photos with their boxes and masks, one colour per class, as one picture uint8 (H, W, 3).

    Args:
        photos: at least one.
        image_root: folder of their file names.
        names: of the classes, in category order; they make the legend.
        parts: of each photo, shown with its name.

    Raises:
        ImageError: if a photo cannot be read.
    """
    colours = {name: CLASS_RGB[index % len(CLASS_RGB)] for index, name in enumerate(names)}
    tiles = [
        _tile(photo, read_image(image_root / photo.file_name), colours, part)
        for photo, part in zip(photos, parts, strict=True)
    ]
    sheet = draw_contact_sheet(tiles, _COLUMNS)
    return np.vstack([_legend(colours, sheet.shape[1]), sheet])


def _tile(
    photo: LabelledPhoto, image_rgb: NDArray[np.uint8], colours: dict[str, tuple[int, int, int]], part: str
) -> NDArray[np.uint8]:
    """One photo with its labels, fitted into a square."""
    for label in photo.labels:
        if label.mask_rle:
            image_rgb = draw_mask(image_rgb, rle_to_mask(label.mask_rle), colours[label.category], opacity=0.5)
    height, width = image_rgb.shape[:2]
    scale = _TILE_PX / max(height, width)
    size_wh = max(round(width * scale), 1), max(round(height * scale), 1)
    interpolation = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR
    scaled = np.asarray(cv2.resize(image_rgb, size_wh, interpolation=interpolation), dtype=np.uint8)
    for label in photo.labels:
        if label.box_xyxy:
            x0, y0, x1, y1 = (value * scale - 0.5 for value in label.box_xyxy)
            corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
            scaled = draw_outline(scaled, corners, colours[label.category], thickness_px=2)
    tile = np.full((_TILE_PX, _TILE_PX, 3), 255, dtype=np.uint8)
    tile[: size_wh[1], : size_wh[0]] = scaled
    colour = colours[photo.labels[0].category] if photo.labels else (255, 255, 255)
    name = photo.file_name.encode("ascii", "replace").decode("ascii")
    position_xy = (2, _TILE_PX - 2 * _TEXT_PX - 6)
    return draw_label(tile, f"{part}: {name[-34:]}", colour, position_xy=position_xy, height_px=_TEXT_PX)


def _legend(colours: dict[str, tuple[int, int, int]], width_px: int) -> NDArray[np.uint8]:
    """A strip with the class names in their colours."""
    strip = np.full((32, width_px, 3), 16, dtype=np.uint8)
    for index, (name, colour) in enumerate(colours.items()):
        left = index * width_px // len(colours)
        strip = draw_label(strip, name.encode("ascii", "replace").decode("ascii"), colour, position_xy=(left, 2))
    return strip
