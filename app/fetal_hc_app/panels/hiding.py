"""Boxes over burned-in text: what they cover is black before an image is measured and stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import streamlit as st

from fetal_hc_app import drafts, resources, wording
from fetal_hc_app.editor import BOX, EditorView, ellipse_editor, read_boxes
from fetal_hc_app.resources import Picture
from fetal_hc_app.texts import text
from hc18.reviews.images import StillImage
from hc18.reviews.pictures import to_png

HIDE_KEY = "hide_text_first"


def hide_parts(still: StillImage, boxes_xyxy: Sequence[tuple[float, float, float, float]]) -> StillImage:
    """An image with black boxes.

    Args:
        still: the image.
        boxes_xyxy: in px, pixel centres at integers; every pixel that a box touches becomes black.
    """
    image_rgb = still.image_rgb.copy()
    for x0, y0, x1, y1 in boxes_xyxy:
        rows = slice(max(math.floor(y0 + 0.5), 0), max(math.floor(y1 + 0.5) + 1, 0))
        columns = slice(max(math.floor(x0 + 0.5), 0), max(math.floor(x1 + 0.5) + 1, 0))
        image_rgb[rows, columns] = 0
    return replace(still, image_rgb=image_rgb)


def hiding_panel(waiting: list[StillImage]) -> list[StillImage]:
    """Shows the first waiting image with its boxes; the images that are ready to be measured when a button was pressed.

    Args:
        waiting: images of this session; those that are returned are taken out.
    """
    still = waiting[0]
    case = f"hide-{still.file.name}-{len(waiting)}"
    boxes = read_boxes(case)
    st.markdown(f"**{wording.plain(still.file.name)}**")
    st.caption(
        text("Draw boxes over names and numbers in the picture; Backspace removes one. They become black for good.")
    )
    same = [other for other in waiting if other.image_rgb.shape == still.image_rgb.shape]
    left, middle = st.columns(2)
    label = text("Hide boxes ({count}) and measure", count=len(boxes)) if boxes else text("Nothing to hide: measure")
    is_one = left.button(label, key="hide-one", type="primary", width="stretch")
    is_all = middle.button(
        text("The same for all {count} images of this size", count=len(same)),
        key="hide-all",
        disabled=len(same) < 2,
        width="stretch",
    )
    _show(case, still)
    chosen = same if is_all else [still] if is_one else []
    for taken in chosen:
        waiting.remove(taken)
    return [hide_parts(taken, boxes) for taken in chosen]


def _show(case: str, still: StillImage) -> None:
    picture = Picture(to_png(still.image_rgb), still.image_rgb, np.empty((0, 2)))
    ellipse_editor(
        EditorView(
            case=case,
            image_url=resources.picture_url(picture, "picture"),
            next_image_url="",
            image_hw=(still.image_rgb.shape[0], still.image_rgb.shape[1]),
            pixel_size_xy_mm=None,
            ellipse=None,
            model_ellipse=None,
            reference_ellipse=None,
            mask_edge_xy=np.empty((0, 2)),
            is_read_only=True,
            is_reviewers=False,
            seq=0,
            session=drafts.editor_session(),
            tools=(BOX,),
        )
    )
