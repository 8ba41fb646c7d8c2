"""Faces drawn on a photo: one colour per class, masks as a tint, scores as text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from face_mask.data.sheet import CLASS_RGB
from face_mask.predict.face_model import Face
from fetal_hc.io.drawing import draw_label, draw_mask, draw_outline
from fetal_hc.io.masks import rle_to_mask

_MASK_OPACITY = 0.45
_LARGEST_TEXT_PX = 14
_SMALLEST_TEXT_PX = 7
_TEXT_RGB = (255, 255, 255)


def class_colours(class_names: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """The colour of each class, by its place in the model's list."""
    return {name: CLASS_RGB[index % len(CLASS_RGB)] for index, name in enumerate(class_names)}


def draw_faces(image_rgb: NDArray[np.uint8], faces: Sequence[Face], class_names: Sequence[str]) -> NDArray[np.uint8]:
    """A copy of a photo, uint8 (h, w, 3), with its faces.

    Args:
        image_rgb: the photo.
        faces: what a model found in it.
        class_names: of the model, in label order.
    """
    colours = class_colours(class_names)
    drawn = np.array(image_rgb, dtype=np.uint8, order="C")
    thickness_px = max(1, round(max(drawn.shape[:2]) / 500))
    for face in faces:
        if face.mask_rle is not None and face.mask_area_px:
            _tint(drawn, face, colours[face.class_name])
    for face in reversed(faces):  # the best one last, on top of the others
        colour = colours[face.class_name]
        text = f"{face.class_name} {face.score:.2f}".encode("ascii", "replace").decode("ascii")
        if face.box_xyxy is None:
            drawn = draw_label(drawn, text, _TEXT_RGB)
            continue
        x0, y0, x1, y1 = (value - 0.5 for value in face.box_xyxy)
        drawn = draw_outline(drawn, [(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour, thickness_px=thickness_px)
        height_px = int(min(_LARGEST_TEXT_PX, max(_SMALLEST_TEXT_PX, (y1 - y0) / 8)))
        drawn = draw_label(drawn, text, _TEXT_RGB, position_xy=(max(int(x0), 0), int(y1) + 2), height_px=height_px)
    return drawn


def _tint(drawn: NDArray[np.uint8], face: Face, colour: tuple[int, int, int]) -> None:
    """Tints the pixels of a face's mask in place; only the part of the photo around them is touched."""
    assert face.mask_rle is not None
    mask = rle_to_mask(face.mask_rle)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    drawn[window] = draw_mask(drawn[window], mask[window], colour, opacity=_MASK_OPACITY)
