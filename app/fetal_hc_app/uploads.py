"""Reads an uploaded file as an image, a DICOM cine, a table or an annotation, or says in a sentence why it cannot.

The content decides, never the name. Names are shown in the session that uploaded them and stored nowhere.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fetal_hc.errors import FetalHCError, ImageError
from fetal_hc.io.images import MAX_PIXELS, TooManyPixels, picture_format, read_image
from fetal_hc_app.wording import display_name, sentence
from hc18.dataset.annotation import fit_annotation
from hc18.dataset.pixel_size_table import PixelSizeRow, pixel_size_table_from_text
from hc18.dicom import DicomImage, is_dicom, read_dicom
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.frames import check_side

_ANNOTATION_SUFFIX = "_annotation"
_MOST_PROBLEMS = 3


@dataclass(frozen=True, slots=True, eq=False)
class ImageFile:
    """The file that an image comes from, and which frame of it.

    Attributes:
        file_name: of the whole file, as tables of pixel sizes name it.
        dicom: what was read of a DICOM file; None for a picture file.
        dicom_data: content of a DICOM file, for the identifiers of a report; empty for a picture file.
        frame_index: 0-based.
    """

    file_name: str
    dicom: DicomImage | None = None
    dicom_data: bytes = b""
    frame_index: int = 0

    @property
    def name(self) -> str:
        """What the image is called in this session."""
        if self.dicom is None or self.dicom.n_frames == 1:
            return self.file_name
        return f"{self.file_name}, frame {self.frame_index + 1}"


@dataclass(frozen=True, slots=True, eq=False)
class StillImage:
    """An image that can be measured at once.

    Attributes:
        file: where it comes from.
        image_rgb: (H, W, 3) uint8, only the pixels that may be shown.
    """

    file: ImageFile
    image_rgb: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class DicomToPrepare:
    """A DICOM file of which a person has to choose something first: a frame, or the part that may be shown.

    Attributes:
        name: of the file.
        dicom: what was read of it.
        data: its content.
    """

    name: str
    dicom: DicomImage
    data: bytes

    @property
    def needs_region(self) -> bool:
        """Whether a person has to choose the part that may be shown."""
        return self.dicom.needs_region


@dataclass(frozen=True, slots=True)
class PixelTable:
    """A table of pixel sizes: its rows by file name, and what is wrong with others."""

    name: str
    rows: dict[str, PixelSizeRow]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Annotation:
    """The annotated ellipse of an image, in px, pixel centres at integers."""

    name: str
    image_stem: str
    ellipse_px: Ellipse


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file that cannot be used, and why, as a sentence."""

    name: str
    reason: str


Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in px, corner convention
UploadedItem = StillImage | DicomToPrepare | PixelTable | Annotation | Refusal


def from_upload(file_name: str, data: bytes) -> UploadedItem:
    """What a file is; never raises for its content.

    Args:
        file_name: as uploaded.
        data: its content.
    """
    name = display_name(file_name)
    if not data:
        return Refusal(name, "The file is empty (0 bytes). Export or copy it again.")
    try:
        if is_dicom(data):
            return _from_dicom(name, data)
        known = picture_format(data)
        if known is not None:
            return _from_picture(name, data, known.name)
        return _from_table(name, data)
    except FetalHCError as error:
        return Refusal(name, sentence(str(error)))


def still_of(dicom: DicomToPrepare, frame_index: int, box_xyxy: Box | None) -> StillImage:
    """The chosen frame as an image to measure.

    Args:
        dicom: the file.
        frame_index: 0-based.
        box_xyxy: the part that a person chose, px, corner convention; None leaves the choice to the file.

    Raises:
        ImageError: if the frame cannot be decoded; `NeedsRegion` if a part has to be chosen first.
    """
    image_rgb = dicom.dicom.visible_rgb(frame_index, box_xyxy)
    return StillImage(ImageFile(dicom.name, dicom.dicom, dicom.data, frame_index), image_rgb)


def clip_code(clip: DicomToPrepare) -> str:
    """A code that the frames of a clip have in common; it follows from the content of the file and names nobody."""
    return f"clip-{hashlib.sha256(clip.data).hexdigest()[:8]}"


def _from_dicom(name: str, data: bytes) -> UploadedItem:
    """A DICOM file.

    Raises:
        FetalHCError: with a sentence, if it is damaged, of another modality or without a picture.
    """
    prepared = DicomToPrepare(name, read_dicom(data), data)
    check_side(prepared.dicom.image_hw)
    if prepared.dicom.n_frames > 1 or prepared.needs_region:
        return prepared
    return still_of(prepared, 0, None)


def _from_picture(name: str, data: bytes, format_name: str) -> UploadedItem:
    """A picture file: an image, or the annotation of one.

    Raises:
        ImageError: if it is too small.
    """
    try:
        image_rgb = read_image(data)
    except ImageError as error:
        return Refusal(name, _picture_problem(format_name, error))
    check_side((image_rgb.shape[0], image_rgb.shape[1]))
    stem = name.rpartition(".")[0]
    if not stem.lower().endswith(_ANNOTATION_SUFFIX):
        return StillImage(ImageFile(name), image_rgb)
    fit = fit_annotation(image_rgb[:, :, 1])
    if fit.ellipse is None:
        return Refusal(name, f"The annotation shows no ellipse: {sentence(fit.reason)}")
    return Annotation(name, stem[: -len(_ANNOTATION_SUFFIX)], fit.ellipse)


def _picture_problem(format_name: str, error: ImageError) -> str:
    """Why a picture file cannot be read, without the technical part of the message."""
    if isinstance(error, TooManyPixels):
        return (
            "The image has too many pixels for an ultrasound picture, so it was not opened. Export the single frame at "
            f"its original size (at most {MAX_PIXELS // 1_000_000} million pixels)."
        )
    return f"The {format_name} picture is damaged or incomplete. Export or copy the file again."


def _from_table(name: str, data: bytes) -> UploadedItem:
    """A table of pixel sizes, or a file of which nothing can be made."""
    text = _text_of(data)
    if text is None or not name.lower().endswith((".csv", ".txt")):
        return Refusal(
            name, "This is not an image the app can read. Choose a PNG, JPEG, TIFF or BMP picture or a DICOM file."
        )
    table = pixel_size_table_from_text(text, name)
    problems = tuple(sentence(problem.message) for problem in table.problems)
    if not table.rows:
        return Refusal(name, "The table cannot be used. " + " ".join(problems[:_MOST_PROBLEMS]))
    return PixelTable(name, {row.filename: row for row in table.rows}, problems)


def _text_of(data: bytes) -> str | None:
    """UTF-8 text; None for anything else."""
    try:
        return None if b"\0" in data else data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
