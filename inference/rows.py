"""The result of one image and its row in `details.csv`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hc18.ellipse import Ellipse


class RowStatus(StrEnum):
    """What became of an image; only `OK` rows have millimetres and a row in the submission."""

    OK = "ok"
    NO_PIXEL_SIZE = "no_pixel_size"
    NO_HEAD = "no_head"
    FIT_FAILED = "fit_failed"
    UNREADABLE = "unreadable"
    MISSING_FILE = "missing_file"
    MODEL_FAILED = "model_failed"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """The result of one image; what does not apply is None, never 0.

    Attributes:
        file_name: bare name of the image.
        status: what became of it.
        reason: why it was not measured (in millimetres); empty if it was.
        hc_mm: head circumference.
        hc_px: head circumference in pixels of the original image.
        ellipse_px: in pixels of the original image, pixel centres at integers.
        ellipse_mm: the same in millimetres.
        confidence: score of the detection, 0 to 1.
        flags: quality flags.
        image_hw: height and width in px.
        pixel_size_mm: mm per pixel in both directions.
        pixel_size_source: where that came from: `csv`, or `none`.
    """

    file_name: str
    status: RowStatus
    reason: str
    hc_mm: float | None = None
    hc_px: float | None = None
    ellipse_px: Ellipse | None = None
    ellipse_mm: Ellipse | None = None
    confidence: float | None = None
    flags: tuple[str, ...] = ()
    image_hw: tuple[int, int] | None = None
    pixel_size_mm: float | None = None
    pixel_size_source: str = ""


_ELLIPSE_FIELDS = ("center_x", "center_y", "semi_axis_a", "semi_axis_b")
# The order is a contract: columns are only ever added at the end.
DETAILS_COLUMNS = (
    "filename",
    "status",
    "reason",
    "hc_mm",
    *(f"{name}_px" for name in _ELLIPSE_FIELDS),
    "angle_rad",
    *(f"{name}_mm" for name in _ELLIPSE_FIELDS),
    "confidence",
    "flags",
    "hc_px",
    "image_width_px",
    "image_height_px",
    "pixel_size_mm",
    "pixel_size_source",
    "model_sha256",
)


def to_details_fields(row: ScoreRow, model_sha256: str) -> list[str]:
    """The fields of a row of `details.csv`, in the order of `DETAILS_COLUMNS`; empty where a value does not apply.

    Args:
        row: result of one image.
        model_sha256: hex digest of the model file that was used.
    """
    height, width = row.image_hw or (None, None)
    angle = None if row.ellipse_px is None else row.ellipse_px.angle_rad
    return [
        to_safe_text(row.file_name),
        row.status.value,
        to_safe_text(row.reason),
        _number(row.hc_mm, 4),
        *_ellipse_numbers(row.ellipse_px),
        _number(angle, 8),
        *_ellipse_numbers(row.ellipse_mm),
        _number(row.confidence, 6),
        ";".join(row.flags),
        _number(row.hc_px, 4),
        "" if width is None else str(width),
        "" if height is None else str(height),
        "" if row.pixel_size_mm is None else repr(row.pixel_size_mm),
        row.pixel_size_source,
        model_sha256,
    ]


def to_safe_text(text: str) -> str:
    """`text` as one line that no spreadsheet takes for a formula.

    Control characters become spaces; a leading `=`, `+`, `-`, `@` or `'` gets an apostrophe before it (so that removing
    one leading apostrophe restores the text).

    References: OWASP, CSV Injection.
    """
    line = "".join(character if character.isprintable() else " " for character in text)
    return f"'{line}" if line.lstrip()[:1] in tuple("=+-@'") else line


def _ellipse_numbers(ellipse: Ellipse | None) -> list[str]:
    """Centre and semi-axes with 4 decimals, or empty fields."""
    return [_number(None if ellipse is None else getattr(ellipse, name), 4) for name in _ELLIPSE_FIELDS]


def _number(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}f}"
