"""Grey values on the scale of a screen."""

import numpy as np
import pytest

from hc18.dicom.image import read_dicom
from tests.synthetic_dicom import gradient, repeated, written


def test_8_bits_are_shown_as_they_are() -> None:
    np.testing.assert_array_equal(read_dicom(written()).frame_rgb(), repeated(gradient()))


def test_monochrome1_is_inverted() -> None:
    shown = read_dicom(written(PhotometricInterpretation="MONOCHROME1")).frame_rgb()
    np.testing.assert_array_equal(shown, 255 - repeated(gradient()))


def test_12_bits_without_a_window_fill_the_grey_scale() -> None:
    values = np.tile(np.linspace(100, 3900, 100).astype(np.uint16), (80, 1))
    shown = read_dicom(written(values, BitsStored=12, HighBit=11)).frame_rgb()[0, :, 0]
    expected = np.rint((values[0] - 100.0) / 3800.0 * 255.0)
    np.testing.assert_array_equal(shown, expected)


def test_12_bits_with_a_window_follow_it() -> None:
    values = np.tile(np.array([0, 1000, 1500, 2000, 4095], np.uint16), (4, 1))
    data = written(values, BitsStored=12, HighBit=11, WindowCenter="1500.5", WindowWidth="1001")
    assert read_dicom(data).frame_rgb()[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_first_of_several_windows_counts() -> None:
    values = np.tile(np.array([0, 255], np.uint8), (4, 1))
    data = written(values, WindowCenter=["500", "128"], WindowWidth=["10", "256"])
    assert read_dicom(data).frame_rgb()[0, :, 0].tolist() == [0, 0]


def test_rescaling_comes_before_the_window() -> None:
    values = np.tile(np.array([0, 100, 200], np.uint8), (4, 1))
    data = written(
        values,
        RescaleSlope="2",
        RescaleIntercept="-200",
        WindowCenter="0",
        WindowWidth="400",
        VOILUTFunction="LINEAR_EXACT",
    )
    assert read_dicom(data).frame_rgb()[0, :, 0].tolist() == [0, 128, 255]


def test_sigmoid_window_is_half_at_its_center() -> None:
    values = np.tile(np.array([0, 100, 200], np.uint8), (4, 1))
    data = written(values, WindowCenter="100", WindowWidth="50", VOILUTFunction="SIGMOID")
    assert read_dicom(data).frame_rgb()[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("width", ["0", "-5"])
def test_impossible_window_is_ignored(width: str) -> None:
    shown = read_dicom(written(WindowCenter="100", WindowWidth=width)).frame_rgb()
    np.testing.assert_array_equal(shown, repeated(gradient()))


def test_inverted_12_bits_start_white() -> None:
    values = np.tile(np.array([0, 4095], np.uint16), (4, 1))
    data = written(values, BitsStored=12, HighBit=11, PhotometricInterpretation="MONOCHROME1")
    assert read_dicom(data).frame_rgb()[0, :, 0].tolist() == [255, 0]


def test_signed_values_fill_the_grey_scale() -> None:
    values = np.tile(np.array([-100, 0, 100], np.int16), (4, 1))
    data = written(values.view(np.uint16), PixelRepresentation=1)
    assert read_dicom(data).frame_rgb()[0, :, 0].tolist() == [0, 128, 255]


def test_even_image_of_16_bits_is_black() -> None:
    assert read_dicom(written(np.full((4, 4), 777, np.uint16))).frame_rgb().max() == 0
