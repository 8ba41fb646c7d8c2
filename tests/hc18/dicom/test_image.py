"""DICOM ultrasound images as a whole: the named test files, calibration, what may be shown, what is refused."""

import pickle

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedUSVolumeStorage,
    SecondaryCaptureImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from fetal_hc.errors import ImageError
from hc18.dicom import NeedsRegion, read_dicom
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import CalibrationSource
from tests.synthetic_dicom import dicom_file, region, written

OB_MM = 0.2622878766196998  # ten times the delta in the file, which is in centimetres
OB_BOX = (120, 60, 800, 519)
HEAD = Ellipse(50.0, 40.0, 20.0, 15.0, 0.0)


class TestNamedFiles:
    @pytest.mark.parametrize(
        ("name", "n_frames"),
        [
            ("OBXXXX1A.dcm", 1),
            ("OBXXXX1A_2frame.dcm", 2),
            ("OBXXXX1A_expb.dcm", 1),
            ("OBXXXX1A_expb_2frame.dcm", 2),
            ("OBXXXX1A_rle.dcm", 1),
            ("OBXXXX1A_rle_2frame.dcm", 2),
        ],
    )
    def test_obstetric_image_is_calibrated(self, name: str, n_frames: int) -> None:
        image = read_dicom(dicom_file(name))
        found = image.calibrate(Ellipse(460.0, 300.0, 200.0, 150.0, 0.3))
        assert (image.n_frames, image.image_hw, image.modality) == (n_frames, (600, 800), "US")
        assert found.source is CalibrationSource.DICOM_REGION
        assert found.pixel_size_xy_mm == pytest.approx((OB_MM, OB_MM), rel=1e-12)
        assert found.detail == "From the DICOM file, ultrasound region 1 of 2: 0.2623 mm per pixel."
        assert found.warnings == ()

    def test_obstetric_image_shows_its_tissue_region_only(self) -> None:
        image = read_dicom(dicom_file("OBXXXX1A.dcm"))
        shown = image.visible_rgb()
        assert image.tissue_boxes_xyxy() == (OB_BOX,)
        assert image.frame_rgb()[:60].max() == 255  # the banner with the examination's number
        assert not shown[:60].any()
        assert shown[60:519, 120:].max() == 255

    def test_ellipse_in_the_ecg_trace_has_no_millimetres(self) -> None:
        found = read_dicom(dicom_file("OBXXXX1A.dcm")).calibrate(Ellipse(400.0, 548.0, 30.0, 20.0, 0.0))
        assert found.source is CalibrationSource.NONE
        assert "outside the calibrated region" in found.detail

    def test_cine_is_calibrated(self) -> None:
        image = read_dicom(dicom_file("color3d_jpeg_baseline.dcm"))
        found = image.calibrate(Ellipse(320.0, 200.0, 100.0, 80.0, 0.0), frame_index=60)
        assert (image.n_frames, image.image_hw) == (120, (480, 640))
        assert found.pixel_size_xy_mm == pytest.approx((0.5104970559477806, 0.5104970559477806))
        assert "unusual for a fetal head" in found.warnings[0]

    def test_jpeg_lossless_image_is_calibrated(self) -> None:
        image = read_dicom(dicom_file("JPGLosslessP14SV1_1s_1f_8b.dcm"))
        assert image.calibrate().pixel_size_xy_mm == pytest.approx((0.25476696592, 0.25476696592))
        assert not image.may_show_identity

    @pytest.mark.parametrize("name", ["examples_ybr_color.dcm", "examples_palette.dcm"])
    def test_image_resized_after_calibration_has_no_millimetres(self, name: str) -> None:
        image = read_dicom(dicom_file(name))
        for ellipse_px in (None, Ellipse(150.0, 120.0, 40.0, 30.0, 0.0)):
            found = image.calibrate(ellipse_px)
            assert found.source is CalibrationSource.NONE
            assert "cropped or resized after it was calibrated" in found.detail

    @pytest.mark.parametrize("name", ["examples_ybr_color.dcm", "examples_palette.dcm"])
    def test_box_of_a_resized_image_is_not_trusted_to_hide_anything(self, name: str) -> None:
        image = read_dicom(dicom_file(name))
        assert image.tissue_boxes_xyxy() == ()

    @pytest.mark.parametrize("name", ["gdcm-US-ALOKA-16.dcm", "gdcm-US-ALOKA-16_big.dcm"])
    def test_two_equal_panes_are_calibrated_and_both_shown(self, name: str) -> None:
        image = read_dicom(dicom_file(name))
        assert image.calibrate().pixel_size_xy_mm == pytest.approx((0.3826530650258064, 0.3826530650258064))
        assert image.calibrate(Ellipse(480.0, 200.0, 100.0, 80.0, 0.0)).detail.startswith(
            "From the DICOM file, ultrasound region 2 of 3"
        )
        assert image.tissue_boxes_xyxy() == ((32, 24, 336, 416), (336, 24, 640, 416))

    @pytest.mark.parametrize(
        "name",
        [
            "US1_J2KI.dcm",
            "US1_J2KR.dcm",
            "US1_UNCI.dcm",
            "US1_UNCR.dcm",
            "color-pl.dcm",
            "color-px.dcm",
            "examples_rgb_color.dcm",
            "examples_jpeg2k.dcm",
            "ExplVR_BigEnd.dcm",
        ],
    )
    def test_image_without_regions_has_no_millimetres(self, name: str) -> None:
        image = read_dicom(dicom_file(name))
        assert image.calibrate().detail == (
            "No millimetres: the DICOM file does not say how large its pixels are (it has no ultrasound region)."
        )
        assert image.tissue_boxes_xyxy() == ()
        assert image.frame_rgb().shape == (*image.image_hw, 3)


class TestPixelSpacing:
    def test_rows_come_first(self) -> None:
        found = read_dicom(written(PixelSpacing=["0.3", "0.2"])).calibrate(HEAD)
        assert found.source is CalibrationSource.DICOM_PIXEL_SPACING
        assert found.pixel_size_xy_mm == (0.2, 0.3)
        assert "Pixel Spacing was used" in found.warnings[0]

    def test_region_counts_first(self) -> None:
        found = read_dicom(written(regions=[region()], PixelSpacing=["0.2", "0.2"])).calibrate(HEAD)
        assert found.source is CalibrationSource.DICOM_REGION
        assert found.warnings == ()

    def test_spacing_that_contradicts_the_region_is_warned_of(self) -> None:
        found = read_dicom(written(regions=[region()], PixelSpacing=["0.25", "0.25"])).calibrate(HEAD)
        assert found.pixel_size_xy_mm == pytest.approx((0.2, 0.2))
        assert "second pixel size, 0.25 mm per pixel, which was not used" in found.warnings[0]

    def test_spacing_helps_where_the_region_has_other_units(self) -> None:
        uncalibrated = region(PhysicalUnitsXDirection=4)
        found = read_dicom(written(regions=[uncalibrated], PixelSpacing=["0.2", "0.2"])).calibrate(HEAD)
        assert found.source is CalibrationSource.DICOM_PIXEL_SPACING

    def test_spacing_does_not_rescue_a_resized_image(self) -> None:
        data = written(regions=[region((0, 0, 400, 300))], PixelSpacing=["0.2", "0.2"])
        assert read_dicom(data).calibrate(HEAD).source is CalibrationSource.NONE

    def test_spacing_does_not_rescue_two_panes_that_disagree(self) -> None:
        panes = [region((0, 0, 49, 79)), region((50, 0, 99, 79), (0.03, 0.03))]
        data = written(regions=panes, PixelSpacing=["0.2", "0.2"])
        assert "different pixel sizes" in read_dicom(data).calibrate(HEAD).detail

    @pytest.mark.parametrize("spacing", [["0", "0"], ["0.2", "5"], ["-0.2", "0.2"]], ids=str)
    def test_impossible_spacing_is_refused(self, spacing: list[str]) -> None:
        found = read_dicom(written(PixelSpacing=spacing)).calibrate(HEAD)
        assert found.source is CalibrationSource.NONE
        assert found.detail.startswith("No millimetres: the Pixel Spacing of the DICOM file is impossible.")

    @pytest.mark.parametrize("spacing", ["0.2", ["0.2", "0.2", "0.2"], ""], ids=["one", "three", "empty"])
    def test_incomplete_spacing_is_none(self, spacing: object) -> None:
        found = read_dicom(written(PixelSpacing=spacing)).calibrate(HEAD)
        assert "does not say how large its pixels are" in found.detail

    def test_spacing_that_is_no_number_is_none(self) -> None:
        data = written(PixelSpacing=["0.25", "0.25"]).replace(b"0.25\\0.25", b"0.25\\0.2x")
        assert read_dicom(data).calibrate(HEAD).source is CalibrationSource.NONE

    def test_imager_pixel_spacing_is_ignored(self) -> None:
        assert read_dicom(written(ImagerPixelSpacing=["0.2", "0.2"])).calibrate().source is CalibrationSource.NONE

    def test_frames_of_a_volume_have_their_own(self) -> None:
        image = read_dicom(
            written(
                np.zeros((2, 80, 100), np.uint8),
                SOPClassUID=EnhancedUSVolumeStorage,
                PerFrameFunctionalGroupsSequence=[_measures("0.2"), _measures("0.3")],
            )
        )
        assert [image.calibrate(HEAD, frame).pixel_size_xy_mm for frame in (0, 1)] == [(0.2, 0.2), (0.3, 0.3)]

    def test_frames_of_a_volume_may_share_one(self) -> None:
        image = read_dicom(
            written(
                np.zeros((2, 80, 100), np.uint8),
                SharedFunctionalGroupsSequence=[_measures("0.25")],
                PerFrameFunctionalGroupsSequence=[Dataset(), Dataset()],
            )
        )
        assert image.calibrate(HEAD, 1).pixel_size_xy_mm == (0.25, 0.25)


class TestWhatMayBeShown:
    @pytest.mark.parametrize(("value", "expected"), [(None, True), ("YES", True), ("", True), ("NO", False)])
    def test_text_in_the_pixels_is_expected_unless_excluded(self, value: str | None, expected: bool) -> None:
        assert read_dicom(written(BurnedInAnnotation=value)).may_show_identity is expected

    def test_tissue_region_without_calibration_is_shown(self) -> None:
        image = read_dicom(written(regions=[region(PhysicalDeltaX=0.0)]))
        assert image.tissue_boxes_xyxy() == ((10, 5, 90, 70),)

    def test_other_regions_are_not_shown(self) -> None:
        trace = region((0, 70, 99, 79), RegionSpatialFormat=4, RegionDataType=10)
        assert read_dicom(written(regions=[region(), trace])).tissue_boxes_xyxy() == ((10, 5, 90, 70),)

    def test_box_one_column_too_wide_is_cut(self) -> None:
        assert read_dicom(written(regions=[region((10, 5, 100, 80))])).tissue_boxes_xyxy() == ((10, 5, 100, 80),)

    def test_frame_without_a_region_is_measured_but_not_shown(self) -> None:
        image = read_dicom(written())
        assert image.needs_region
        np.testing.assert_array_equal(image.measured_rgb(), image.frame_rgb())
        with pytest.raises(NeedsRegion, match=r"a name may be burned into it; upload it .* choose the part"):
            image.visible_rgb()

    def test_frame_with_a_region_beyond_the_image_is_not_shown(self) -> None:
        with pytest.raises(NeedsRegion):
            read_dicom(written(regions=[region(), region((0, 0, 300, 300))])).visible_rgb()

    def test_part_that_a_person_chose_is_shown(self) -> None:
        image = read_dicom(written())
        shown = image.visible_rgb(0, (20, 30, 60, 70))
        np.testing.assert_array_equal(shown[30:70, 20:60], image.frame_rgb()[30:70, 20:60])
        shown[30:70, 20:60] = 0
        assert not shown.any()

    def test_whole_frame_is_shown_if_the_file_excludes_text(self) -> None:
        image = read_dicom(written(BurnedInAnnotation="NO"))
        assert not image.needs_region
        np.testing.assert_array_equal(image.visible_rgb(), image.frame_rgb())

    def test_measured_pixels_are_the_visible_ones_where_the_region_is_known(self) -> None:
        image = read_dicom(written(regions=[region()]))
        np.testing.assert_array_equal(image.measured_rgb(), image.visible_rgb())
        assert not image.visible_rgb()[:5].any()


class TestModality:
    @pytest.mark.parametrize(
        ("name", "what"),
        [
            ("CT_small.dcm", r"computed tomography \(modality CT\)"),
            ("693_J2KI.dcm", r"computed tomography \(modality CT\)"),
            ("MR_small.dcm", r"magnetic resonance \(modality MR\)"),
            ("MR_truncated.dcm", r"magnetic resonance \(modality MR\)"),
            ("RG1_UNCI.dcm", r"a radiograph \(modality CR\)"),
            ("JPEG2000.dcm", r"nuclear medicine \(modality NM\)"),
            ("SC_rgb.dcm", r"of an unnamed kind \(modality OT\)"),
            ("rtdose.dcm", r"a radiotherapy dose \(modality RTDOSE\)"),
            ("reportsi.dcm", r"a report \(modality SR\)"),
            ("waveform_ecg.dcm", r"an electrocardiogram \(modality ECG\)"),
        ],
    )
    def test_other_modality_is_refused_by_name(self, name: str, what: str) -> None:
        with pytest.raises(ImageError, match=rf"not an ultrasound image: it is {what}\. Choose a file of modality US"):
            read_dicom(dicom_file(name))

    def test_directory_is_refused(self) -> None:
        with pytest.raises(ImageError, match=r"table of contents of a DICOM medium \(DICOMDIR\)"):
            read_dicom(dicom_file("DICOMDIR"))

    @pytest.mark.parametrize("sop_class", [CTImageStorage, SecondaryCaptureImageStorage, None])
    def test_missing_modality_is_refused(self, sop_class: str | None) -> None:
        with pytest.raises(ImageError, match="it does not name its modality"):
            read_dicom(written(Modality=None, SOPClassUID=sop_class))

    def test_unknown_modality_is_not_quoted(self) -> None:
        with pytest.raises(ImageError, match=r"it is of another modality\. Choose"):
            read_dicom(written(Modality="IDENTITAS"))

    @pytest.mark.parametrize("sop_class", [UltrasoundMultiFrameImageStorage, "1.2.840.10008.5.1.4.1.1.6"])
    def test_ultrasound_class_makes_up_for_a_missing_modality(self, sop_class: str) -> None:
        assert read_dicom(written(Modality=None, SOPClassUID=sop_class)).modality == "US"

    def test_screen_capture_of_an_ultrasound_is_read(self) -> None:
        assert read_dicom(written(SOPClassUID=SecondaryCaptureImageStorage)).n_frames == 1


def test_image_travels_to_a_worker_process() -> None:
    image = read_dicom(written(regions=[region()]))
    received = pickle.loads(pickle.dumps(image))
    np.testing.assert_array_equal(received.frame_rgb(), image.frame_rgb())
    assert received.calibrate(HEAD) == image.calibrate(HEAD)


def _measures(spacing: str) -> Dataset:
    """A functional group with that pixel spacing along both axes."""
    measures, group = Dataset(), Dataset()
    measures.PixelSpacing = [spacing, spacing]
    group.PixelMeasuresSequence = [measures]
    return group
