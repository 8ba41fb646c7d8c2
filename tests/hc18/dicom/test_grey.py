"""Grey values on the scale of a screen."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from fetal_hc.errors import ImageError
from hc18.dicom import read_dicom
from tests.synthetic_dicom import gradient, repeated, to_bytes, ultrasound, written


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


def table(entries: list[int], first: int, bits: int, **changes: object) -> Dataset:
    """An item of a sequence of grey tables; the entries are written as 16-bit numbers unless LUTData is given."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "OW", np.array(entries, "<u2").tobytes())
    for keyword, value in changes.items():
        item[keyword].value = value
    return item


STEPS = np.tile(np.array([0, 1, 2, 3, 9], np.uint8), (4, 1))


def shown(values: np.ndarray = STEPS, **changes: object) -> list[int]:
    return read_dicom(written(values, **changes)).frame_rgb()[0, :, 0].tolist()


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_voi_table_gives_the_grey_values(bits: int) -> None:
    top = (1 << bits) - 1
    assert shown(VOILUTSequence=[table([top, 0, top // 5, top], 1, bits)]) == [255, 255, 0, 51, 255]


def test_voi_table_goes_before_a_window() -> None:
    assert shown(VOILUTSequence=[table([0, 255], 1, 8)], WindowCenter="2", WindowWidth="2") == [0, 0, 255, 255, 255]


def test_voi_table_of_many_8_bit_entries_is_read_to_its_end() -> None:
    entries = [min(value // 16, 255) for value in range(4096)]
    values = np.tile(np.array([0, 160, 1600, 4095], np.uint16), (4, 1))
    changes = {"BitsStored": 12, "HighBit": 11, "VOILUTSequence": [table(entries, 0, 8)]}
    assert shown(values, **changes) == [0, 10, 100, 255]


def test_voi_table_of_packed_bytes_is_read() -> None:
    item = table([0, 0, 0, 0], 0, 8, LUTData=bytes([10, 20, 30, 40]))
    assert shown(VOILUTSequence=[item]) == [10, 20, 30, 40, 40]


def test_tables_are_read_in_files_without_explicit_types() -> None:
    dataset = ultrasound(STEPS, VOILUTSequence=[table([0, 51, 102, 255], 0, 8)])
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    assert read_dicom(to_bytes(dataset)).frame_rgb()[0, :, 0].tolist() == [0, 51, 102, 255, 255]


def test_modality_table_comes_before_the_window() -> None:
    item = table([0, 1000, 2000, 3000], 0, 12)
    window = {"WindowCenter": "1500", "WindowWidth": "3000", "VOILUTFunction": "LINEAR_EXACT"}
    assert shown(ModalityLUTSequence=[item], **window) == [0, 85, 170, 255, 255]


def test_modality_table_alone_fills_the_grey_scale() -> None:
    assert shown(ModalityLUTSequence=[table([100, 200, 300, 400], 0, 12)]) == [0, 85, 170, 255, 255]


def test_damaged_table_is_refused() -> None:
    item = table([0, 1, 2, 3], 0, 8, LUTData=b"\1\2")
    with pytest.raises(ImageError, match="table of grey values of this DICOM image is damaged"):
        read_dicom(written(STEPS, VOILUTSequence=[item]))


def test_inverse_presentation_is_inverted() -> None:
    assert shown(PresentationLUTShape="INVERSE") == [255, 254, 253, 252, 246]


def test_monochrome1_with_an_inverse_presentation_is_inverted_once() -> None:
    changes = {"PresentationLUTShape": "INVERSE", "PhotometricInterpretation": "MONOCHROME1"}
    assert shown(**changes) == [255, 254, 253, 252, 246]


def test_presentation_table_is_applied_last() -> None:
    window = {"WindowCenter": "1.5", "WindowWidth": "3", "VOILUTFunction": "LINEAR_EXACT"}
    inverse = [255 - value for value in range(256)]
    assert shown(PresentationLUTSequence=[table(inverse, 0, 8)], **window) == [255, 170, 85, 0, 0]


def test_values_in_the_upper_bits_are_moved_down() -> None:
    values = np.tile(np.array([0, 1000, 2000, 4095], np.uint16), (4, 1))
    plain = shown(values, BitsStored=12, HighBit=11)
    assert shown(values << 4 | 7, BitsStored=12, HighBit=15) == plain
    assert plain == [0, 62, 125, 255]


def test_signed_values_in_the_upper_bits_keep_their_sign() -> None:
    values = np.tile(np.array([-100, 0, 100], np.int16), (4, 1))
    changes = {"BitsStored": 12, "PixelRepresentation": 1}
    assert shown((values << 4).view(np.uint16), HighBit=15, **changes) == [0, 128, 255]


@pytest.mark.parametrize("high_bit", [0, 3, 16, 99])
def test_impossible_high_bit_is_ignored(high_bit: int) -> None:
    values = np.tile(np.array([0, 1000, 2000, 4095], np.uint16), (4, 1))
    assert shown(values, BitsStored=12, HighBit=high_bit) == [0, 62, 125, 255]
