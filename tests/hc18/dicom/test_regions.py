"""Which ultrasound region calibrates an ellipse, and when none does."""

import dataclasses

import pytest
from pydicom.dataset import Dataset

from hc18.dicom import regions as dicom_regions
from hc18.dicom.regions import UltrasoundRegion, calibrate_by_region, why_no_region
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration, CalibrationSource
from tests.synthetic_dicom import region

IMAGE_HW = (80, 200)
LEFT, RIGHT = (0, 0, 99, 79), (100, 0, 199, 79)
IN_LEFT = Ellipse(50.0, 40.0, 30.0, 20.0, 0.0)
IN_RIGHT = Ellipse(150.0, 40.0, 30.0, 20.0, 0.0)
ACROSS = Ellipse(95.0, 40.0, 30.0, 20.0, 0.0)


def regions_of(*items: Dataset) -> tuple[UltrasoundRegion, ...]:
    dataset = Dataset()
    dataset.SequenceOfUltrasoundRegions = list(items)
    return dicom_regions.from_dataset(dataset)


def calibrate(ellipse_px: Ellipse | None, *items: Dataset) -> Calibration:
    found = calibrate_by_region(regions_of(*items), IMAGE_HW, ellipse_px)
    assert found is not None
    return found


def test_centimetres_per_pixel_become_millimetres_along_each_axis() -> None:
    found = calibrate(IN_LEFT, region(LEFT, (0.02, 0.021)))
    assert found.source is CalibrationSource.DICOM_REGION
    assert found.pixel_size_xy_mm == pytest.approx((0.2, 0.21))
    assert found.detail == "From the DICOM file, ultrasound region 1 of 1: 0.2 mm across and 0.21 mm down per pixel."


def test_box_covers_its_last_column_and_row() -> None:
    (only,) = regions_of(region((10, 5, 89, 69)))
    assert only.box_xyxy == (10, 5, 90, 70)


def test_negative_delta_is_a_direction_not_a_size() -> None:
    assert calibrate(IN_LEFT, region(LEFT, (0.02, -0.02))).pixel_size_xy_mm == pytest.approx((0.2, 0.2))


@pytest.mark.parametrize(("ellipse_px", "expected"), [(IN_LEFT, 0.2), (IN_RIGHT, 0.3)])
def test_region_that_contains_the_ellipse_is_used(ellipse_px: Ellipse, expected: float) -> None:
    found = calibrate(ellipse_px, region(LEFT), region(RIGHT, (0.03, 0.03)))
    assert found.pixel_size_xy_mm == pytest.approx((expected, expected))
    assert found.warnings == ()


def test_sentence_names_the_region_used() -> None:
    assert "region 2 of 2" in calibrate(IN_RIGHT, region(LEFT), region(RIGHT, (0.03, 0.03))).detail


@pytest.mark.parametrize("ellipse_px", [None, ACROSS], ids=["nothing drawn", "across both"])
def test_two_panes_that_disagree_are_refused(ellipse_px: Ellipse | None) -> None:
    found = calibrate(ellipse_px, region(LEFT), region(RIGHT, (0.03, 0.03)))
    assert found.source is CalibrationSource.NONE
    assert found.detail == (
        "No millimetres: 2 regions of the DICOM image have different pixel sizes. "
        "Place the ellipse inside one of them, or type the pixel size."
    )


def test_disagreement_along_y_alone_is_refused() -> None:
    assert calibrate(None, region(LEFT), region(RIGHT, (0.02, 0.03))).source is CalibrationSource.NONE


def test_inset_of_another_scale_around_the_ellipse_is_refused() -> None:
    inset = region((10, 10, 90, 70), (0.01, 0.01))
    assert "different pixel sizes" in calibrate(IN_LEFT, region(LEFT), inset).detail


def test_color_flow_box_of_the_same_scale_is_no_disagreement() -> None:
    color_flow = region((10, 10, 90, 70), RegionDataType=2)
    assert calibrate(IN_LEFT, region(LEFT), color_flow).pixel_size_xy_mm == pytest.approx((0.2, 0.2))


def test_two_panes_that_agree_need_no_ellipse() -> None:
    assert calibrate(None, region(LEFT), region(RIGHT)).pixel_size_xy_mm == pytest.approx((0.2, 0.2))


def test_ellipse_across_two_panes_that_agree_is_warned_of() -> None:
    found = calibrate(ACROSS, region(LEFT), region(RIGHT))
    assert found.pixel_size_xy_mm == pytest.approx((0.2, 0.2))
    assert found.warnings == (
        "The ellipse reaches across two regions of the image. Check that both show the same head.",
    )


def test_head_cut_off_by_the_region_is_warned_of() -> None:
    found = calibrate(ACROSS, region(LEFT))
    assert found.pixel_size_xy_mm == pytest.approx((0.2, 0.2))
    assert found.warnings == (
        "The ellipse reaches beyond the calibrated region of the image. Check that the head is cut off there.",
    )


def test_ellipse_may_stick_out_by_the_width_of_a_line() -> None:
    touching = Ellipse(50.0, 40.0, 50.5, 20.0, 0.0)
    assert calibrate(touching, region(LEFT)).warnings == ()


def test_ellipse_outside_every_calibrated_region_is_refused() -> None:
    found = calibrate(IN_RIGHT, region(LEFT))
    assert found.source is CalibrationSource.NONE
    assert found.detail.startswith("No millimetres: the ellipse lies outside the calibrated region of the DICOM image.")


def test_ellipse_in_a_pane_without_calibration_is_refused() -> None:
    found = calibrate(IN_RIGHT, region(LEFT), region(RIGHT, (0.0, 0.0)))
    assert "outside the calibrated region" in found.detail


@pytest.mark.parametrize(
    "box",
    [(0, 0, 201, 79), (0, 0, 199, 81), (0, 0, 595, 414), (50, 0, 49, 79)],
    ids=["too wide", "too high", "twice the image", "empty"],
)
def test_box_that_leaves_the_image_is_refused(box: tuple[int, int, int, int]) -> None:
    found = calibrate(IN_LEFT, region(box))
    assert found.source is CalibrationSource.NONE
    assert found.detail == (
        "No millimetres: the calibrated region in the DICOM file is larger than the image, so the image was cropped or "
        "resized after it was calibrated. Export the original image, or type the pixel size."
    )


def test_one_box_outside_spoils_the_others() -> None:
    assert "cropped or resized" in calibrate(IN_LEFT, region(LEFT), region((100, 0, 400, 79))).detail


def test_box_one_column_and_row_too_large_is_tolerated() -> None:
    assert calibrate(IN_LEFT, region((0, 0, 200, 80))).pixel_size_xy_mm == pytest.approx((0.2, 0.2))


def test_trace_outside_the_image_does_not_matter() -> None:
    trace = region((0, 500, 99, 600), RegionSpatialFormat=4, RegionDataType=10)
    assert calibrate(IN_LEFT, region(LEFT), trace).pixel_size_xy_mm == pytest.approx((0.2, 0.2))


@pytest.mark.parametrize("delta_cm", [0.5, 1e-4])
def test_impossible_calibration_is_refused(delta_cm: float) -> None:
    found = calibrate(IN_LEFT, region(LEFT, (delta_cm, delta_cm)))
    assert found.source is CalibrationSource.NONE
    assert found.detail.startswith("No millimetres: the DICOM file has an impossible calibration. The pixel size")


@pytest.mark.parametrize(
    "changes",
    [
        {"PhysicalUnitsXDirection": 4},
        {"PhysicalUnitsYDirection": 0},
        {"PhysicalUnitsYDirection": None},
        {"PhysicalDeltaX": 0.0},
        {"PhysicalDeltaY": 0.0},
        {"PhysicalDeltaX": float("nan")},
        {"PhysicalDeltaY": float("inf")},
        {"PhysicalDeltaX": None},
    ],
    ids=str,
)
def test_region_not_in_centimetres_does_not_calibrate(changes: dict[str, float | None]) -> None:
    regions = regions_of(region(LEFT, **changes))
    assert calibrate_by_region(regions, IMAGE_HW, IN_LEFT) is None
    assert why_no_region(regions) == (
        "No millimetres: the 2D region of the DICOM file is not measured in centimetres along both axes."
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"RegionSpatialFormat": 2},
        {"RegionSpatialFormat": 0},
        {"RegionSpatialFormat": None},
        {"RegionDataType": 3},
        {"RegionDataType": 13},
        {"RegionDataType": None},
    ],
    ids=str,
)
def test_region_that_is_no_2d_tissue_does_not_calibrate(changes: dict[str, int | None]) -> None:
    regions = regions_of(region(LEFT, **changes))
    assert calibrate_by_region(regions, IMAGE_HW, IN_LEFT) is None
    assert "no region of the DICOM file is a 2D image of tissue" in why_no_region(regions)


def test_no_region_at_all_says_so() -> None:
    assert dicom_regions.from_dataset(Dataset()) == ()
    assert calibrate_by_region((), IMAGE_HW, IN_LEFT) is None
    assert "it has no ultrasound region" in why_no_region(())


def test_item_without_a_box_is_no_region() -> None:
    assert regions_of(region(LEFT, RegionLocationMaxX1=None)) == ()


def test_region_is_immutable() -> None:
    (only,) = regions_of(region(LEFT))
    with pytest.raises(dataclasses.FrozenInstanceError):
        only.is_tissue = False  # type: ignore[misc]
