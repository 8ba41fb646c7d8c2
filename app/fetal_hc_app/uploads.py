"""Reads an uploaded file as an image, a DICOM cine, a table or an annotation, or says in a sentence why it cannot.

The content decides, never the name. Names are shown in the session that uploaded them and stored nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from fetal_hc.errors import FetalHCError, ImageError
from fetal_hc.io.images import MAX_PIXELS, TooManyPixels, picture_format, read_image
from fetal_hc_app.wording import display_name, sentence
from hc18.dataset.annotation import fit_annotation
from hc18.dataset.pixel_size_table import PixelSizeRow, pixel_size_table_from_text
from hc18.dicom import is_dicom
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.frames import check_side
from hc18.reviews.images import DicomToPrepare, ImageFile, StillImage, open_dicom

_ANNOTATION_SUFFIX = "_annotation"
_MOST_PROBLEMS = 3


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
            return open_dicom(name, data)
        known = picture_format(data)
        if known is not None:
            return _from_picture(name, data, known.name)
        return _from_table(name, data)
    except FetalHCError as error:
        return Refusal(name, sentence(str(error)))


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
