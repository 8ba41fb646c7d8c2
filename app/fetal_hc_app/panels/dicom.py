"""DICOM files of which a person chooses something first: frames of a clip, or the part that may be shown."""

from __future__ import annotations

import io

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from fetal_hc.errors import ImageError
from fetal_hc_app import access, resources, session, wording
from fetal_hc_app.editor.strip import StripFrame, frame_strip, slider_key
from fetal_hc_app.texts import text
from hc18.measurement.flags import flag_text
from hc18.measurement.groups import GroupBy, GroupResult, summarize_group
from hc18.measurement.rows import MeasurementRow, frame_number
from hc18.reviews.images import Box, DicomToPrepare, StillImage, clip_frames, still_of
from hc18.reviews.measuring import measure_clip

_LARGE_PX, _SMALL_PX = 640, 360  # width of the pictures on the page


def dicom_panel(key: str, prepared: DicomToPrepare, *, is_open: bool) -> list[StillImage]:
    """A preview with the choices that the file needs; the images to measure when a button was pressed.

    Args:
        key: of the upload.
        prepared: the file.
        is_open: whether the choices are unfolded.
    """
    n_frames = prepared.dicom.n_frames
    frames = text(", {count} frames", count=n_frames)
    what = frames if n_frames > 1 else text(": choose what is shown")
    with st.expander(f"{wording.plain(prepared.name)}{what}", expanded=is_open, icon=":material/movie:"):
        left, right = st.columns([2, 3], gap="medium")
        with left:
            frame = 1
            if n_frames > 1:
                if (best := session.uploads().best_frames.pop(key, None)) is not None:
                    st.session_state[slider_key(key)] = best
                frame = st.slider(text("Frame"), 1, n_frames, key=slider_key(key))
            box = _region_fields(key, prepared.dicom.image_hw) if prepared.needs_region else None
            is_pressed = st.button(
                text("Measure this frame") if n_frames > 1 else text("Measure this image"),
                key=f"measure-{key}",
                type="primary" if n_frames == 1 else "secondary",
            )
            chosen = _best_frames(key, prepared, box) if n_frames > 1 else []
        with right:
            try:
                if n_frames > 1:
                    _strip(key, prepared, box, frame)
                else:
                    st.image(prepared.dicom.visible_rgb(0, box), width=400, alt=text("Picture of the file"))
            except ImageError as error:
                st.error(wording.plain(wording.sentence(str(error))), icon=":material/error:")
                return []
        return [still_of(prepared, frame - 1, box)] if is_pressed else chosen


def _best_frames(key: str, prepared: DicomToPrepare, box: Box | None) -> list[StillImage]:
    """The search for the best frames, what it found, and the choice of those that become cases."""
    rows = _measured(key, prepared, box)
    if not rows:
        if st.button(text("Find the best frames"), key=f"best-{key}", type="primary", icon=":material/star:"):
            _search(key, prepared, box)
            st.rerun()
        st.caption(text("Measures the frames of the clip. Nothing is stored before you choose frames."))
        return []
    result = summarize_group(prepared.name, rows, GroupBy.CLIP)
    _result(result)
    values = {frame_number(row.file_name): row for row in rows if row.ellipse_px is not None}
    chosen = st.multiselect(
        text("Frames to measure"),
        list(values),
        sorted(map(frame_number, result.best_images)),
        format_func=lambda number: f"{number}: {_value(values[number])}",
        key=f"chosen-{key}",
        placeholder=text("Choose frames"),
    )
    is_pressed = st.button(
        text("Measure {count}", count=wording.count(len(chosen), "frame")),
        key=f"measure-chosen-{key}",
        type="primary",
        disabled=not chosen,
    )
    return [still_of(prepared, number - 1, box) for number in sorted(chosen)] if is_pressed else []


def _measured(key: str, prepared: DicomToPrepare, box: Box | None) -> tuple[MeasurementRow, ...]:
    """The rows of a clip; empty if it was not searched yet, in another part, or with another pixel size."""
    setting, rows = session.uploads().clips.get(key, (None, ()))
    return rows if setting == _setting(prepared, box) else ()


def _setting(prepared: DicomToPrepare, box: Box | None) -> tuple[object, ...]:
    """What the result of a search depends on besides the file."""
    sizes = session.sizes(access.reviewer())
    return box, sizes.typed_mm, sizes.table.get(prepared.name)


def _search(key: str, prepared: DicomToPrepare, box: Box | None) -> None:
    """Measures the frames of a clip, with a bar."""
    frames = clip_frames(prepared.dicom.n_frames)
    progress, rows = st.progress(0.0), []
    for row in measure_clip(resources.model_for_many(), prepared, box, frames, session.sizes(access.reviewer())):
        rows.append(row)
        progress.progress(len(rows) / len(frames), text("Measured {done} of {all}", done=len(rows), all=len(frames)))
    progress.empty()
    session.uploads().clips[key] = (_setting(prepared, box), tuple(rows))
    best = summarize_group(prepared.name, rows, GroupBy.CLIP).best_images
    if best:
        session.uploads().best_frames[key] = frame_number(best[0])


def _result(result: GroupResult) -> None:
    """Median, interval and spread of the best frames."""
    if result.hc_median_mm is None:
        st.warning(
            text("No frame has a head with millimetres: choose frames yourself, or give the pixel size first."),
            icon=":material/movie:",
        )
        return
    with st.container(horizontal=True, gap="medium"):  # one under the other in a narrow window
        st.metric(text("Median HC of the best frames"), f"{result.hc_median_mm:.1f} mm", width="content")
        st.metric(text("Largest minus smallest"), f"{result.spread_mm or 0.0:.1f} mm", width="content")
    if result.low_mm is not None and result.high_mm is not None:
        st.caption(text("90 % interval {low:.1f} to {high:.1f} mm", low=result.low_mm, high=result.high_mm))
    if result.flags:
        names = ", ".join(text(flag_text(flag).name) for flag in result.flags)
        st.warning(text("Look at: {flags}", flags=names), icon=":material/flag:")


def _strip(key: str, prepared: DicomToPrepare, box: Box | None, frame: int) -> None:
    """The frames with play; the best ones carry a star.

    Raises:
        ImageError: if a frame cannot be decoded.
    """
    rows = {frame_number(row.file_name): row for row in _measured(key, prepared, box)}
    best = set(summarize_group(prepared.name, list(rows.values()), GroupBy.CLIP).best_images) if rows else set()
    pictures = _strip_pictures(key, box, prepared)
    shown = []
    for index, picture in pictures.items():
        row = rows.get(index + 1)
        words = f"{text('Frame')} {index + 1}"
        is_best = row is not None and row.file_name in best
        title = ", ".join(part for part in (words, row and _value(row), is_best and text("among the best")) if part)
        label = f"{index + 1}" if row is None or row.hc_mm is None else f"{row.hc_mm:.1f}"
        shown.append(
            StripFrame(index + 1, resources.media_url(picture, "image/jpeg", f"{key}-{index}"), label, title, is_best)
        )
    large = _jpeg(prepared.dicom.visible_rgb(frame - 1, box), _LARGE_PX)
    large_url = resources.media_url(large, "image/jpeg", f"{key}-large")
    frame_strip(key, shown, frame, large_url, prepared.dicom.n_frames)


def _value(row: MeasurementRow) -> str:
    """The circumference of a frame in words."""
    if row.hc_mm is not None:
        return f"{row.hc_mm:.1f} mm"
    return text("no head") if row.hc_px is None else f"{row.hc_px:.0f} px"


@st.cache_resource(max_entries=8, show_spinner=False)
def _strip_pictures(key: str, box: Box | None, _prepared: DicomToPrepare) -> dict[int, bytes]:
    """Pictures of the frames of a clip as JPEG, by their 0-based number.

    Raises:
        ImageError: if a frame cannot be decoded.
    """
    frames = clip_frames(_prepared.dicom.n_frames)
    return {index: _jpeg(_prepared.dicom.visible_rgb(index, box), _SMALL_PX) for index in frames}


def _jpeg(image_rgb: NDArray[np.uint8], width_px: int) -> bytes:
    """A picture for looking, at most so wide."""
    picture = Image.fromarray(image_rgb)
    picture.thumbnail((width_px, width_px))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=85)
    return stream.getvalue()


def _region_fields(key: str, image_hw: tuple[int, int]) -> Box:
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
