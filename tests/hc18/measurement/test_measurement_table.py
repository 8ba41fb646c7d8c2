"""Measured rows in shards: nothing of a result is lost on the way."""

import json
from dataclasses import fields, replace

import pytest

from hc18.geometry.ellipse import Ellipse
from hc18.measurement.interval_model import Interval
from hc18.measurement.outline import Quality
from hc18.measurement.rows import MEASUREMENT_TABLE, MeasurementRow, RowStatus

FULL = MeasurementRow(
    file_name="a.dcm#2",
    status=RowStatus.OK,
    reason="none",
    hc_mm=175.31234567890123,
    hc_px=876.5,
    ellipse_px=Ellipse(400.0, 270.5, 160.0, 120.25, 0.5),
    ellipse_mm=Ellipse(80.0, 54.1, 32.0, 24.05, 0.75),
    confidence=1.0 / 3.0,
    flags=("low_score", "uncertain"),
    image_hw=(540, 800),
    pixel_size_xy_mm=(0.2, 0.3),
    pixel_size_source="dicom_region",
    calibration="region 1",
    interval=Interval(171.1, 180.0 / 7.0 + 150.0, 1.7, 0.9),
    quality=Quality(1.25, 0.125, 0.0625, 1.5, 0.75, 0.25),
    model_sha256="abc",
    other_sizes_xy_mm=((0.25, 0.3),),
    sharpness=0.25,
)


def test_sample_has_a_value_in_every_field():
    empty = MeasurementRow("", RowStatus.OK, "")
    assert [field.name for field in fields(FULL) if getattr(FULL, field.name) == getattr(empty, field.name)] == [
        "status"
    ]


@pytest.mark.parametrize("row", [FULL, MeasurementRow("a.png", RowStatus.NO_HEAD, "nothing detected")])
def test_row_comes_back_exactly_through_json(row: MeasurementRow):
    assert MEASUREMENT_TABLE.from_values(json.loads(json.dumps(MEASUREMENT_TABLE.to_values(row)))) == row


def test_values_of_a_full_row_have_the_types_of_their_columns():
    values = MEASUREMENT_TABLE.to_values(replace(FULL, pixel_size_xy_mm=(0.2, 0.2)))
    assert {name: type(value) for name, value in values.items()} == {
        column.name: column.kind for column in MEASUREMENT_TABLE.columns
    }


def test_missing_values_are_left_out():
    assert "hc_mm" not in MEASUREMENT_TABLE.to_values(replace(FULL, hc_mm=None))
