"""Choosing a frame of a cine, and the part of a picture that may be shown."""

from __future__ import annotations

import streamlit as st

from fetal_hc.errors import ImageError
from fetal_hc_app import wording
from fetal_hc_app.texts import text
from fetal_hc_app.uploads import DicomToPrepare, StillImage, still_of


def dicom_panel(key: str, prepared: DicomToPrepare, *, is_open: bool) -> StillImage | None:
    """A preview with the choices that the file needs; the image to measure when the button was pressed.

    Args:
        key: of the upload.
        prepared: the file.
        is_open: whether the choices are unfolded.
    """
    n_frames = prepared.dicom.n_frames
    frames = text(", {count} frames: choose one", count=n_frames)
    what = frames if n_frames > 1 else text(": choose what is shown")
    with st.expander(f"{wording.plain(prepared.name)}{what}", expanded=is_open, icon=":material/movie:"):
        left, right = st.columns([2, 3], gap="medium")
        with left:
            frame = 1
            if n_frames > 1:
                frame = st.slider(text("Frame"), 1, n_frames, 1, key=f"frame-{key}")
            box = _region_fields(key, prepared.dicom.image_hw) if prepared.needs_region else None
            is_pressed = st.button(
                text("Measure this frame") if n_frames > 1 else text("Measure this image"),
                key=f"measure-{key}",
                type="primary",
            )
        with right:
            try:
                preview = prepared.dicom.visible_rgb(frame - 1, box)
            except ImageError as error:
                st.error(wording.plain(wording.sentence(str(error))), icon=":material/error:")
                return None
            st.image(preview, width=400)
        return still_of(prepared, frame - 1, box) if is_pressed else None


def _region_fields(key: str, image_hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of the picture that may be shown, px, corner convention."""
    height, width = image_hw
    st.warning(
        text(
            "The file does not say where the ultrasound picture lies, and names may be written into the rest. Choose "
            "the part without names: only that is shown and stored."
        ),
        icon=":material/visibility_off:",
    )
    left, right = st.slider(text("Columns shown"), 0, width, (0, width), key=f"columns-{key}")
    top, bottom = st.slider(text("Rows shown"), 0, height, (height // 8, height), key=f"rows-{key}")
    return left, top, max(right, left + 1), max(bottom, top + 1)
