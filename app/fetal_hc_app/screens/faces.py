"""Faces in photos: drop photos, see how each face wears its mask, download the table. Nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit.runtime.uploaded_file_manager import UploadedFile

from face_mask.predict.face_model import DEFAULT_MIN_SCORE, FaceModel, face_model_path
from face_mask.predict.pictures import class_colours, draw_faces
from face_mask.predict.results import TABLE, PhotoResult, found_in, to_rows, to_table_text
from fetal_hc.batch.tasks import Failure
from fetal_hc.errors import FetalHCError
from fetal_hc.io.images import MAX_PIXELS, read_image
from fetal_hc_app import wording

_THREADS = 2  # of the network: one photo at a time and per person
_LEAST_SCORE = 0.2  # of faces that are kept for the slider
_SHOWN_SIDE_PX = 1280  # of photos in the browser; the table has coordinates of the original
_COLUMNS = 2
_KEY = "faces-photos"


@dataclass(frozen=True, slots=True, eq=False)
class _Photo:
    """An uploaded photo in this session: its pixels, and all its faces down to `_LEAST_SCORE`."""

    result: PhotoResult
    image_rgb: NDArray[np.uint8] | None


@st.cache_resource(show_spinner="Loading the face-mask model")
def face_model() -> FaceModel:
    """The shipped face-mask model, or the one FACE_MASK_MODEL names.

    Raises:
        ModelError: if it is missing or damaged.
    """
    return FaceModel(face_model_path(), _THREADS)


def faces_page() -> None:
    """Upload field, photos with their faces, table."""
    model = face_model()
    st.caption(
        "A second use of the same library: faces in photos and how each wears its mask. Photos and results stay in "
        "this session and are stored nowhere. The model was trained on few photos; do not decide about people with it."
    )
    left, right = st.columns([3, 1], gap="medium")
    files = left.file_uploader(
        "Photos: PNG, JPEG, TIFF or BMP",
        accept_multiple_files=True,
        help=f"At most {MAX_PIXELS // 1_000_000} million pixels each.",
        key="faces-files",
    )
    min_score = right.slider("Smallest score", _LEAST_SCORE, 0.95, DEFAULT_MIN_SCORE, 0.05)
    _legend(model.spec.class_names)
    if not files:
        st.markdown("**Start here.** Drop one or more photos above.")
        return
    photos = [_with_faces_from(photo, min_score) for photo in _looked_at(files, model)]
    _table([photo.result for photo in photos])
    _pictures(photos, model.spec.class_names)


def _looked_at(files: Sequence[UploadedFile], model: FaceModel) -> list[_Photo]:
    """Every uploaded photo with its faces; each is looked at once."""
    known: dict[str, _Photo] = st.session_state.setdefault(_KEY, {})
    new = [file for file in files if file.file_id not in known]
    progress = st.progress(0.0) if len(new) > 1 else None
    for number, file in enumerate(new, start=1):
        known[file.file_id] = _look_at(wording.display_name(file.name), file.getvalue(), model)
        if progress is not None:
            progress.progress(number / len(new), f"Looked at {number} of {len(new)}")
    if progress is not None:
        progress.empty()
    present = {file.file_id for file in files}
    for gone in known.keys() - present:
        del known[gone]
    return [known[file.file_id] for file in files]


def _look_at(name: str, data: bytes, model: FaceModel) -> _Photo:
    """One photo; a failure becomes a row with a reason."""
    try:
        image_rgb = read_image(data, name=name)
        faces = model.predict(image_rgb, _LEAST_SCORE)
    except FetalHCError as error:
        return _Photo(PhotoResult(name, Failure.UNREADABLE, str(error)), None)
    return _Photo(found_in(name, (image_rgb.shape[0], image_rgb.shape[1]), faces), image_rgb)


def _with_faces_from(photo: _Photo, min_score: float) -> _Photo:
    """The photo with the faces that reach a score."""
    result = photo.result
    if result.image_hw is None:
        return photo
    faces = [face for face in result.faces if face.score >= min_score]
    return replace(photo, result=found_in(result.file_name, result.image_hw, faces))


def _legend(class_names: Sequence[str]) -> None:
    """The classes in their colours."""
    parts = [
        f'<span style="border-left:0.9rem solid rgb{colour}; padding-left:0.4rem; margin-right:1.2rem">'
        f"{name.replace('_', ' ')}</span>"
        for name, colour in class_colours(class_names).items()
    ]
    st.html(f"<div>{''.join(parts)}</div>")


def _table(results: Sequence[PhotoResult]) -> None:
    """One row per face, and the button that downloads them."""
    failed = [result for result in results if result.image_hw is None]
    for result in failed:
        st.error(wording.plain(result.reason), icon=":material/error:")
    n_faces = sum(len(result.faces) for result in results)
    left, right = st.columns([4, 1], vertical_alignment="center")
    left.markdown(f"{wording.count(n_faces, 'face')} in {wording.count(len(results) - len(failed), 'photo')}")
    right.download_button(
        "Download table",
        to_table_text(results),
        "faces.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        width="stretch",
    )
    shown = [index for index, name in enumerate(TABLE.names) if name not in ("frame", "time_s")]
    rows = [[row[index] for index in shown] for row in to_rows(results)]
    columns = {TABLE.names[index]: [row[place] for row in rows] for place, index in enumerate(shown)}
    st.dataframe(columns, hide_index=True, height=min(36 * (len(rows) + 1) + 2, 300))


def _pictures(photos: Sequence[_Photo], class_names: Sequence[str]) -> None:
    """The photos with their faces, in columns."""
    columns = st.columns(_COLUMNS)
    readable = [photo for photo in photos if photo.image_rgb is not None]
    for number, photo in enumerate(readable):
        assert photo.image_rgb is not None
        drawn = _scaled_down(draw_faces(photo.image_rgb, photo.result.faces, class_names))
        with columns[number % _COLUMNS]:
            st.image(drawn, caption=wording.plain(photo.result.file_name), output_format="JPEG")


def _scaled_down(image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture no larger than a screen shows it."""
    scale = _SHOWN_SIDE_PX / max(image_rgb.shape[:2])
    if scale >= 1.0:
        return image_rgb
    size_wh = (max(1, round(image_rgb.shape[1] * scale)), max(1, round(image_rgb.shape[0] * scale)))
    return np.asarray(cv2.resize(image_rgb, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)
