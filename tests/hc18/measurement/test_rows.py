"""Rows of details.csv: columns, number formats, and names that no spreadsheet executes."""

from dataclasses import replace

import pytest

from hc18.geometry.ellipse import Ellipse
from hc18.measurement.interval_model import Interval
from hc18.measurement.outline import Quality
from hc18.measurement.rows import MEASUREMENT_TABLE, MeasurementRow, RowStatus

MEASURED = MeasurementRow(
    file_name="a.png",
    status=RowStatus.OK,
    reason="",
    hc_mm=175.31234567,
    hc_px=876.5,
    ellipse_px=Ellipse(400.0, 270.5, 160.0, 120.25, 0.5),
    ellipse_mm=Ellipse(80.0, 54.1, 32.0, 24.05, 0.5),
    confidence=0.98765432,
    flags=("low_score", "touches_border"),
    image_hw=(540, 800),
    pixel_size_xy_mm=(0.2, 0.2),
    pixel_size_source="csv",
    interval=Interval(171.5, 179.12345678, 1.5, 0.9),
    quality=Quality(1.25, 0.125, 0.0625, 1.5, 0.75, 0.25),
    model_sha256="abc",
    other_sizes_xy_mm=((0.25, 0.3), (0.1, 0.1)),
    sharpness=0.125,
)


def _fields(row: MeasurementRow) -> dict[str, str]:
    return dict(zip(MEASUREMENT_TABLE.names, MEASUREMENT_TABLE.to_texts(row), strict=True))


def test_columns_and_their_order_are_stable() -> None:
    assert MEASUREMENT_TABLE.names == (
        "filename", "status", "reason", "hc_mm",
        "center_x_px", "center_y_px", "semi_axis_a_px", "semi_axis_b_px", "angle_rad",
        "center_x_mm", "center_y_mm", "semi_axis_a_mm", "semi_axis_b_mm",
        "confidence", "flags", "hc_px", "image_width_px", "image_height_px",
        "pixel_size_mm", "pixel_size_source", "model_sha256",
        "pixel_size_x_mm", "pixel_size_y_mm", "angle_in_mm_rad", "calibration",
        "hc_low_mm", "hc_high_mm", "expected_error_mm",
        "residual_percent", "disagreement_percent", "mask_entropy", "hc_interval_coverage",
        "other_pixel_sizes_mm", "stages_percent", "plane_score", "unfamiliarity", "sharpness",
    )  # fmt: skip


def test_measured_image() -> None:
    assert _fields(MEASURED) == {
        "filename": "a.png", "status": "ok", "reason": "", "hc_mm": "175.3123",
        "center_x_px": "400.0000", "center_y_px": "270.5000", "semi_axis_a_px": "160.0000",
        "semi_axis_b_px": "120.2500", "angle_rad": "0.50000000",
        "center_x_mm": "80.0000", "center_y_mm": "54.1000", "semi_axis_a_mm": "32.0000", "semi_axis_b_mm": "24.0500",
        "confidence": "0.987654", "flags": "low_score;touches_border", "hc_px": "876.5000",
        "image_width_px": "800", "image_height_px": "540",
        "pixel_size_mm": "0.2", "pixel_size_source": "csv", "model_sha256": "abc",
        "pixel_size_x_mm": "0.2", "pixel_size_y_mm": "0.2", "angle_in_mm_rad": "0.50000000", "calibration": "",
        "hc_low_mm": "171.5000", "hc_high_mm": "179.1235", "expected_error_mm": "1.5000",
        "residual_percent": "1.250000", "disagreement_percent": "0.125000", "mask_entropy": "0.062500",
        "hc_interval_coverage": "0.9", "other_pixel_sizes_mm": "0.25x0.3;0.1x0.1",
        "stages_percent": "1.500000", "plane_score": "0.750000", "unfamiliarity": "0.250000", "sharpness": "0.1250",
    }  # fmt: skip


def test_unequal_pixel_sizes_have_no_common_value() -> None:
    fields = _fields(replace(MEASURED, pixel_size_xy_mm=(0.2, 0.3), ellipse_mm=Ellipse(80.0, 81.0, 32.0, 24.05, 0.75)))
    assert (fields["pixel_size_mm"], fields["pixel_size_x_mm"], fields["pixel_size_y_mm"]) == ("", "0.2", "0.3")
    assert (fields["angle_rad"], fields["angle_in_mm_rad"]) == ("0.50000000", "0.75000000")


def test_what_does_not_apply_is_empty_and_never_zero() -> None:
    fields = _fields(
        MeasurementRow("a.png", RowStatus.UNREADABLE, "no image", pixel_size_source="none", model_sha256="abc")
    )
    filled = {name: value for name, value in fields.items() if value}
    assert filled == {
        "filename": "a.png",
        "status": "unreadable",
        "reason": "no image",
        "pixel_size_source": "none",
        "model_sha256": "abc",
    }


def test_reason_and_name_are_defused_in_the_row() -> None:
    fields = _fields(MeasurementRow("=1.png", RowStatus.UNREADABLE, "=1.png: no image"))
    assert fields["filename"] == "'=1.png"
    assert fields["reason"] == "'=1.png: no image"


def test_pixel_sizes_that_were_not_used_survive_the_file() -> None:
    assert MEASUREMENT_TABLE.from_texts(_fields(MEASURED)).other_sizes_xy_mm == ((0.25, 0.3), (0.1, 0.1))
    with pytest.raises(ValueError, match="not pixel sizes"):
        MEASUREMENT_TABLE.from_texts({**_fields(MEASURED), "other_pixel_sizes_mm": "0.25"})
