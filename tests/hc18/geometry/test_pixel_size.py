"""Pixel sizes, their sources and what is said about odd ones."""

import math

import pytest

from fetal_hc.errors import MeasurementError
from hc18.geometry import pixel_size as calibration
from hc18.geometry.pixel_size import Calibration, CalibrationSource


def test_table_value_names_its_line() -> None:
    found = calibration.from_table(0.0691, row=12)
    assert found.pixel_size_xy_mm == (0.0691, 0.0691)
    assert found.source is CalibrationSource.CSV
    assert found.detail == "From the table of pixel sizes, line 12: 0.0691 mm per pixel."
    assert found.warnings == ()


def test_typed_value_names_who_typed_it() -> None:
    found = calibration.from_user(0.2, "Dr Example")
    assert found.source is CalibrationSource.USER
    assert found.detail == "Typed by Dr Example: 0.2 mm per pixel."


def test_typed_value_may_differ_along_x_and_y() -> None:
    found = calibration.from_user((0.2, 0.21))
    assert found.pixel_size_xy_mm == (0.2, 0.21)
    assert found.detail == "Typed by hand: 0.2 mm across and 0.21 mm down per pixel."


def test_no_calibration_keeps_the_reason() -> None:
    found = calibration.uncalibrated("The image is a photograph.")
    assert (found.pixel_size_xy_mm, found.source, found.detail) == (
        None,
        CalibrationSource.NONE,
        "The image is a photograph.",
    )


@pytest.mark.parametrize("size", [0.0494, 0.1, 0.3933])
def test_sizes_of_hc18_are_not_remarked_upon(size: float) -> None:
    assert calibration.from_user(size).warnings == ()


@pytest.mark.parametrize("size", [0.02, 0.6, 1.9])
def test_unusual_size_is_taken_with_a_warning(size: float) -> None:
    (warning,) = calibration.from_user(size).warnings
    assert f"The pixel size {size:g} mm is unusual for a fetal head" in warning


def test_warning_suggests_the_unit_in_which_the_number_is_usual() -> None:
    (warning,) = calibration.from_user(0.02).warnings
    assert warning.endswith("Check the number and its unit; 0.02 centimetres would be 0.2 mm.")


@pytest.mark.parametrize("size", [0.0, -0.1, 0.0099, 2.01, 200.0, math.nan, math.inf])
def test_impossible_size_is_refused(size: float) -> None:
    with pytest.raises(MeasurementError, match=r"expected millimetres per pixel between 0\.01 and 2"):
        calibration.from_user(size)


def test_refusal_suggests_micrometres() -> None:
    with pytest.raises(MeasurementError, match=r"200 micrometres would be 0\.2 mm"):
        calibration.from_table(200.0)


def test_refusal_names_the_axis() -> None:
    with pytest.raises(MeasurementError, match="The pixel size along y is 0 mm"):
        calibration.from_user((0.2, 0.0))


def test_very_different_sides_are_warned_of() -> None:
    (warning,) = calibration.from_region((0.1, 0.2), "ultrasound region 1 of 1").warnings
    assert "0.1 mm across and 0.2 mm down" in warning
    assert "stretched" in warning


def test_pixel_spacing_always_carries_a_warning() -> None:
    found = calibration.from_pixel_spacing((0.2, 0.2))
    assert found.source is CalibrationSource.DICOM_PIXEL_SPACING
    assert "Pixel Spacing was used" in found.warnings[0]


def test_second_pixel_size_is_warned_of() -> None:
    found = calibration.warn_of_other_size(calibration.from_user(0.2), (0.2, 0.25))
    assert found.pixel_size_xy_mm == (0.2, 0.2)
    assert "second pixel size, 0.2 mm across and 0.25 mm down per pixel, which was not used" in found.warnings[0]


def test_same_pixel_size_twice_is_not_warned_of() -> None:
    found = calibration.from_user(0.2)
    assert calibration.warn_of_other_size(found, (0.2001, 0.2)) is found


@pytest.mark.parametrize(
    ("size", "source"), [(None, CalibrationSource.USER), ((0.2, 0.2), CalibrationSource.NONE)], ids=["no size", "none"]
)
def test_size_without_source_or_source_without_size_is_refused(
    size: tuple[float, float] | None, source: CalibrationSource
) -> None:
    with pytest.raises(MeasurementError, match="expected one exactly when the source is not 'none'"):
        Calibration(size, source, "made up")


def test_impossible_size_is_refused_by_the_record_itself() -> None:
    with pytest.raises(MeasurementError, match="The pixel size along x is 5 mm"):
        Calibration((5.0, 5.0), CalibrationSource.USER, "made up")


REGION = calibration.from_region((0.2, 0.2), "region 1 of 1")
TABLE = calibration.from_table(0.25)
TYPED = calibration.from_user(0.3, "ann")
SPACING = calibration.from_pixel_spacing((0.35, 0.35))


@pytest.mark.parametrize(
    ("candidates", "chosen"),
    [
        ([TYPED, TABLE, SPACING, REGION], CalibrationSource.DICOM_REGION),
        ([SPACING, TYPED, TABLE], CalibrationSource.CSV),
        ([SPACING, TYPED], CalibrationSource.USER),
        ([SPACING], CalibrationSource.DICOM_PIXEL_SPACING),
        ([calibration.uncalibrated("No millimetres: seconds."), TABLE], CalibrationSource.CSV),
    ],
)
def test_region_then_table_then_person_counts(candidates: list[Calibration], chosen: CalibrationSource) -> None:
    assert calibration.choose_pixel_size(candidates).source is chosen


def test_every_other_size_is_named() -> None:
    found = calibration.choose_pixel_size([TABLE, TYPED, REGION])
    assert found.pixel_size_xy_mm == (0.2, 0.2)
    assert found.other_sizes_xy_mm == ((0.25, 0.25), (0.3, 0.3))
    table, typed = found.warnings
    assert table.startswith("The table of pixel sizes gives 0.25 mm per pixel, which was not used.")
    assert typed.startswith("The pixel size that was typed is 0.3 mm per pixel, which was not used.")


def test_sizes_within_one_percent_are_one() -> None:
    found = calibration.choose_pixel_size([calibration.from_table(0.2019), REGION])
    assert found == REGION


def test_without_a_size_all_reasons_are_given() -> None:
    reasons = [calibration.uncalibrated("No millimetres: seconds."), calibration.uncalibrated("The row is empty.")]
    assert calibration.choose_pixel_size(reasons).detail == "No millimetres: seconds. The row is empty."


@pytest.mark.parametrize("size", [1e-300, 1e9, 0.009, 2.01])
def test_impossible_candidate_becomes_a_reason(size: float) -> None:
    found = calibration.candidate(calibration.from_table, size)
    assert found.pixel_size_xy_mm is None
    assert "expected millimetres per pixel between 0.01 and 2" in found.detail
