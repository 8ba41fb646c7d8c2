"""The result of one image and its row in `details.csv`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from fetal_hc.errors import MeasurementError
from fetal_hc.io.tables import from_safe_cell, to_safe_cell
from hc18.geometry.ellipse import Ellipse


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
class MeasurementRow:
    """The result of one image; what does not apply is None, never 0.

    Attributes:
        file_name: bare name of the image, or its id in the manifest; `name#2` is the second frame of a DICOM file.
        status: what became of it.
        reason: why it was not measured (in millimetres); empty if it was.
        hc_mm: head circumference.
        hc_px: head circumference in pixels of the original image.
        ellipse_px: in pixels of the original image, pixel centres at integers.
        ellipse_mm: the same in millimetres.
        confidence: score of the detection, 0 to 1.
        flags: quality flags.
        image_hw: height and width in px.
        pixel_size_xy_mm: mm per pixel along x and y.
        pixel_size_source: where that came from, a `hc18.geometry.pixel_size.CalibrationSource`.
        calibration: what the image file itself says about its calibration, and its warnings; empty for others.
        hc_interval_mm: predictive interval of the head circumference; None if the model is not calibrated.
        expected_error_mm: expected |error| of the head circumference; None if the model is not calibrated.
        residual_percent: distance of the mask's contour from the ellipse, in percent of the mean semi-axis.
        disagreement_percent: of two ways to fit the ellipse, in percent of the circumference.
        mask_entropy: how undecided the mask is, 0 to ln 2.
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
    pixel_size_xy_mm: tuple[float, float] | None = None
    pixel_size_source: str = ""
    calibration: str = ""
    hc_interval_mm: tuple[float, float] | None = None
    expected_error_mm: float | None = None
    residual_percent: float | None = None
    disagreement_percent: float | None = None
    mask_entropy: float | None = None


_EVIDENCE_COLUMNS = ("residual_percent", "disagreement_percent", "mask_entropy")
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
    "pixel_size_x_mm",
    "pixel_size_y_mm",
    "angle_in_mm_rad",
    "calibration",
    "hc_low_mm",
    "hc_high_mm",
    "expected_error_mm",
    *_EVIDENCE_COLUMNS,
)
_ADDED_COLUMNS = (
    *("pixel_size_x_mm", "pixel_size_y_mm", "angle_in_mm_rad", "calibration"),
    *("hc_low_mm", "hc_high_mm", "expected_error_mm", *_EVIDENCE_COLUMNS),
)
REQUIRED_COLUMNS = tuple(name for name in DETAILS_COLUMNS if name not in _ADDED_COLUMNS)  # older files have only these


def to_details_fields(row: MeasurementRow, model_sha256: str) -> list[str]:
    """The fields of a row of `details.csv`, in the order of `DETAILS_COLUMNS`; empty where a value does not apply.

    Args:
        row: result of one image.
        model_sha256: hex digest of the model file that was used.
    """
    height, width = row.image_hw or (None, None)
    size_x_mm, size_y_mm = row.pixel_size_xy_mm or (None, None)
    low_mm, high_mm = row.hc_interval_mm or (None, None)
    angle_px, angle_mm = (None if item is None else item.angle_rad for item in (row.ellipse_px, row.ellipse_mm))
    return [
        to_safe_cell(row.file_name),
        row.status.value,
        to_safe_cell(row.reason),
        _number(row.hc_mm, 4),
        *_ellipse_numbers(row.ellipse_px),
        _number(angle_px, 8),
        *_ellipse_numbers(row.ellipse_mm),
        _number(row.confidence, 6),
        ";".join(row.flags),
        _number(row.hc_px, 4),
        "" if width is None else str(width),
        "" if height is None else str(height),
        _exact(size_x_mm) if size_x_mm == size_y_mm else "",
        row.pixel_size_source,
        model_sha256,
        _exact(size_x_mm),
        _exact(size_y_mm),
        _number(angle_mm, 8),
        to_safe_cell(row.calibration),
        _number(low_mm, 4),
        _number(high_mm, 4),
        _number(row.expected_error_mm, 4),
        *(_number(getattr(row, name), 6) for name in _EVIDENCE_COLUMNS),
    ]


def from_details_fields(fields: Mapping[str, str]) -> MeasurementRow:
    """The result that a row of `details.csv` holds, numbers rounded as they were written.

    Args:
        fields: value of each column; further columns are ignored.

    Raises:
        ValueError: if a value cannot be understood.
        KeyError: if a column is missing.
    """
    width, height = fields["image_width_px"], fields["image_height_px"]
    return MeasurementRow(
        file_name=from_safe_cell(fields["filename"]),
        status=RowStatus(fields["status"]),
        reason=from_safe_cell(fields["reason"]),
        hc_mm=_optional_number(fields["hc_mm"]),
        hc_px=_optional_number(fields["hc_px"]),
        ellipse_px=_optional_ellipse(fields, "px", fields["angle_rad"]),
        ellipse_mm=_optional_ellipse(fields, "mm", fields.get("angle_in_mm_rad") or fields["angle_rad"]),
        confidence=_optional_number(fields["confidence"]),
        flags=tuple(fields["flags"].split(";")) if fields["flags"] else (),
        image_hw=(int(height), int(width)) if width and height else None,
        pixel_size_xy_mm=_optional_pixel_size(fields),
        pixel_size_source=fields["pixel_size_source"],
        calibration=from_safe_cell(fields.get("calibration", "")),
        hc_interval_mm=_optional_interval(fields),
        expected_error_mm=_optional_number(fields.get("expected_error_mm", "")),
        residual_percent=_optional_number(fields.get("residual_percent", "")),
        disagreement_percent=_optional_number(fields.get("disagreement_percent", "")),
        mask_entropy=_optional_number(fields.get("mask_entropy", "")),
    )


def _optional_number(text: str) -> float | None:
    """A finite number, or None for an empty field.

    Raises:
        ValueError: if it is anything else.
    """
    if not text:
        return None
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"'{text}' is not a finite number")
    return value


def _optional_pixel_size(fields: Mapping[str, str]) -> tuple[float, float] | None:
    """Mm per pixel along x and y, or None if the fields are empty.

    Raises:
        ValueError: if they are anything else than numbers.
    """
    size_x_mm = _optional_number(fields.get("pixel_size_x_mm") or fields["pixel_size_mm"])
    size_y_mm = _optional_number(fields.get("pixel_size_y_mm") or fields["pixel_size_mm"])
    return None if size_x_mm is None or size_y_mm is None else (size_x_mm, size_y_mm)


def _optional_interval(fields: Mapping[str, str]) -> tuple[float, float] | None:
    """The predictive interval in mm, or None if its fields are empty or missing."""
    low_mm, high_mm = (_optional_number(fields.get(name, "")) for name in ("hc_low_mm", "hc_high_mm"))
    return None if low_mm is None or high_mm is None else (low_mm, high_mm)


def _optional_ellipse(fields: Mapping[str, str], unit: str, angle_text: str) -> Ellipse | None:
    """The ellipse in px or mm, or None if its fields are empty.

    Raises:
        ValueError: if it is neither empty nor an ellipse.
    """
    center_x, center_y, axis_a, axis_b = (_optional_number(fields[f"{name}_{unit}"]) for name in _ELLIPSE_FIELDS)
    angle = _optional_number(angle_text)
    if center_x is None or center_y is None or axis_a is None or axis_b is None or angle is None:
        return None
    try:
        return Ellipse.from_axes(center_x, center_y, axis_a, axis_b, angle)
    except MeasurementError as error:
        raise ValueError(str(error)) from error


def _ellipse_numbers(ellipse: Ellipse | None) -> list[str]:
    """Centre and semi-axes with 4 decimals, or empty fields."""
    return [_number(None if ellipse is None else getattr(ellipse, name), 4) for name in _ELLIPSE_FIELDS]


def _exact(value: float | None) -> str:
    """The shortest text that reads back as `value`."""
    return "" if value is None else repr(value)


def _number(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}f}"
