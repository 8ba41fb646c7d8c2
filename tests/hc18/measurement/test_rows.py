"""Rows of details.csv and of shards: columns, number formats, and names that no spreadsheet executes."""

import json
from dataclasses import fields, replace

import pytest

from hc18.measurement.rows import MEASUREMENT_TABLE, MeasurementRow, RowStatus
from tests.measured_rows import FULL_ROW


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
    assert _fields(FULL_ROW) == {
        "filename": "a.png", "status": "ok", "reason": "none", "hc_mm": "175.3123",
        "center_x_px": "400.0000", "center_y_px": "270.5000", "semi_axis_a_px": "160.0000",
        "semi_axis_b_px": "120.2500", "angle_rad": "0.50000000",
        "center_x_mm": "80.0000", "center_y_mm": "54.1000", "semi_axis_a_mm": "32.0000", "semi_axis_b_mm": "24.0500",
        "confidence": "0.987654", "flags": "low_score;touches_border", "hc_px": "876.5000",
        "image_width_px": "800", "image_height_px": "540",
        "pixel_size_mm": "", "pixel_size_source": "dicom_region", "model_sha256": "abc",
        "pixel_size_x_mm": "0.2", "pixel_size_y_mm": "0.3", "angle_in_mm_rad": "0.75000000", "calibration": "region 1",
        "hc_low_mm": "171.5000", "hc_high_mm": "179.1235", "expected_error_mm": "1.5000",
        "residual_percent": "1.250000", "disagreement_percent": "0.125000", "mask_entropy": "0.062500",
        "hc_interval_coverage": "0.9", "other_pixel_sizes_mm": "0.25x0.3;0.1x0.1",
        "stages_percent": "1.500000", "plane_score": "0.750000", "unfamiliarity": "0.250000", "sharpness": "0.1250",
    }  # fmt: skip


def test_only_equal_pixel_sizes_have_a_common_value() -> None:
    assert _fields(FULL_ROW)["pixel_size_mm"] == ""
    assert _fields(replace(FULL_ROW, pixel_size_xy_mm=(0.2, 0.2)))["pixel_size_mm"] == "0.2"


def test_what_does_not_apply_is_empty_and_never_zero() -> None:
    texts = _fields(
        MeasurementRow("a.png", RowStatus.UNREADABLE, "no image", pixel_size_source="none", model_sha256="abc")
    )
    filled = {name: value for name, value in texts.items() if value}
    assert filled == {
        "filename": "a.png",
        "status": "unreadable",
        "reason": "no image",
        "pixel_size_source": "none",
        "model_sha256": "abc",
    }


def test_reason_and_name_are_defused_in_the_row() -> None:
    texts = _fields(MeasurementRow("=1.png", RowStatus.UNREADABLE, "=1.png: no image"))
    assert texts["filename"] == "'=1.png"
    assert texts["reason"] == "'=1.png: no image"


def test_pixel_sizes_that_were_not_used_survive_the_file() -> None:
    assert MEASUREMENT_TABLE.from_texts(_fields(FULL_ROW)).other_sizes_xy_mm == ((0.25, 0.3), (0.1, 0.1))
    with pytest.raises(ValueError, match="not pixel sizes"):
        MEASUREMENT_TABLE.from_texts({**_fields(FULL_ROW), "other_pixel_sizes_mm": "0.25"})


def test_sample_has_a_value_in_every_field() -> None:
    empty = MeasurementRow("", RowStatus.OK, "")
    unset = [item.name for item in fields(FULL_ROW) if getattr(FULL_ROW, item.name) == getattr(empty, item.name)]
    assert unset == ["status"]


@pytest.mark.parametrize("row", [FULL_ROW, MeasurementRow("a.png", RowStatus.NO_HEAD, "nothing detected")])
def test_row_comes_back_exactly_through_json(row: MeasurementRow) -> None:
    assert MEASUREMENT_TABLE.from_values(json.loads(json.dumps(MEASUREMENT_TABLE.to_values(row)))) == row


def test_values_of_a_full_row_have_the_types_of_their_columns() -> None:
    values = MEASUREMENT_TABLE.to_values(replace(FULL_ROW, pixel_size_xy_mm=(0.2, 0.2)))
    assert {name: type(value) for name, value in values.items()} == {
        column.name: column.kind for column in MEASUREMENT_TABLE.columns
    }


def test_missing_values_are_left_out() -> None:
    assert "hc_mm" not in MEASUREMENT_TABLE.to_values(replace(FULL_ROW, hc_mm=None))
