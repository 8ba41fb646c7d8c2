"""What became of one job, exactly as it was measured: how it travels between processes and rests in part files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fetal_hc.io.storage import FileStamp
from hc18.geometry.ellipse import Ellipse
from hc18.measure.rows import MeasurementRow, RowStatus

_AXES = ("center_x", "center_y", "semi_axis_a", "semi_axis_b")
# Name of each field of a row in a part file, and whether it is text, a whole number or a number in double precision.
RECORD_FIELDS: dict[str, type] = {
    "file_name": str,
    "status": str,
    "reason": str,
    "hc_mm": float,
    "hc_px": float,
    **{f"{name}_px": float for name in _AXES},
    "angle_in_px_rad": float,
    **{f"{name}_mm": float for name in _AXES},
    "angle_in_mm_rad": float,
    "confidence": float,
    "flags": str,
    "image_height_px": int,
    "image_width_px": int,
    "pixel_size_x_mm": float,
    "pixel_size_y_mm": float,
    "pixel_size_source": str,
    "calibration": str,
    "hc_low_mm": float,
    "hc_high_mm": float,
    "expected_error_mm": float,
    "residual_percent": float,
    "disagreement_percent": float,
    "mask_entropy": float,
}


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The rows of one image file.

    Attributes:
        index: number of the job in its batch, from 0.
        path: the file; None if the job names none.
        stamp: its state when it was read; None if it could not be read.
        rows: one per frame, at least one.
    """

    index: int
    path: str | None
    stamp: FileStamp | None
    rows: tuple[MeasurementRow, ...]


def to_record(row: MeasurementRow) -> dict[str, Any]:
    """The fields of a row that have a value, by the names of `RECORD_FIELDS`; numbers are exact."""
    height, width = row.image_hw or (None, None)
    size_x_mm, size_y_mm = row.pixel_size_xy_mm or (None, None)
    low_mm, high_mm = row.hc_interval_mm or (None, None)
    values: dict[str, Any] = {
        "file_name": row.file_name,
        "status": row.status.value,
        "reason": row.reason,
        "hc_mm": row.hc_mm,
        "hc_px": row.hc_px,
        **_ellipse_fields(row.ellipse_px, "px"),
        **_ellipse_fields(row.ellipse_mm, "mm"),
        "confidence": row.confidence,
        "flags": ";".join(row.flags),
        "image_height_px": height,
        "image_width_px": width,
        "pixel_size_x_mm": size_x_mm,
        "pixel_size_y_mm": size_y_mm,
        "pixel_size_source": row.pixel_size_source,
        "calibration": row.calibration,
        "hc_low_mm": low_mm,
        "hc_high_mm": high_mm,
        "expected_error_mm": row.expected_error_mm,
        "residual_percent": row.residual_percent,
        "disagreement_percent": row.disagreement_percent,
        "mask_entropy": row.mask_entropy,
    }
    return {name: RECORD_FIELDS[name](value) for name, value in values.items() if value is not None}


def from_record(fields: Mapping[str, Any]) -> MeasurementRow:
    """The row that `to_record` took apart; fields without a value may be missing or None.

    Raises:
        ValueError, KeyError: if the fields are none of a row.
    """
    height, width = fields.get("image_height_px"), fields.get("image_width_px")
    size_x_mm, size_y_mm = fields.get("pixel_size_x_mm"), fields.get("pixel_size_y_mm")
    low_mm, high_mm = fields.get("hc_low_mm"), fields.get("hc_high_mm")
    return MeasurementRow(
        file_name=fields["file_name"],
        status=RowStatus(fields["status"]),
        reason=fields["reason"],
        hc_mm=fields.get("hc_mm"),
        hc_px=fields.get("hc_px"),
        ellipse_px=_ellipse(fields, "px"),
        ellipse_mm=_ellipse(fields, "mm"),
        confidence=fields.get("confidence"),
        flags=tuple(fields["flags"].split(";")) if fields["flags"] else (),
        image_hw=None if height is None or width is None else (height, width),
        pixel_size_xy_mm=None if size_x_mm is None or size_y_mm is None else (size_x_mm, size_y_mm),
        pixel_size_source=fields["pixel_size_source"],
        calibration=fields["calibration"],
        hc_interval_mm=None if low_mm is None or high_mm is None else (low_mm, high_mm),
        expected_error_mm=fields.get("expected_error_mm"),
        residual_percent=fields.get("residual_percent"),
        disagreement_percent=fields.get("disagreement_percent"),
        mask_entropy=fields.get("mask_entropy"),
    )


def _ellipse_fields(ellipse: Ellipse | None, unit: str) -> dict[str, float]:
    """Centre, semi-axes and angle of an ellipse in px or mm."""
    if ellipse is None:
        return {}
    return {**{f"{name}_{unit}": getattr(ellipse, name) for name in _AXES}, f"angle_in_{unit}_rad": ellipse.angle_rad}


def _ellipse(fields: Mapping[str, Any], unit: str) -> Ellipse | None:
    """The ellipse in px or mm; None if there is none."""
    if fields.get(f"center_x_{unit}") is None:
        return None
    center_x, center_y, axis_a, axis_b = (fields[f"{name}_{unit}"] for name in _AXES)
    return Ellipse(center_x, center_y, axis_a, axis_b, fields[f"angle_in_{unit}_rad"])
