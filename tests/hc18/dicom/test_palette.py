"""Palette images show the colours of their table."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian

from fetal_hc.errors import ImageError
from hc18.dicom import read_dicom
from tests.synthetic_dicom import dicom_file, gradient, to_bytes, ultrasound, written

TABLE = np.random.default_rng(1).integers(256, 65536, (200, 3))


def palette_image(indices: np.ndarray, table: np.ndarray, entry_bits: int, first: int = 0) -> Dataset:
    """A PALETTE COLOR image; the table is (N, 3), written with 8 or 16 bits per entry."""
    dataset = ultrasound(indices, PhotometricInterpretation="PALETTE COLOR")
    for color, column in zip(("Red", "Green", "Blue"), table.T, strict=True):
        setattr(dataset, f"{color}PaletteColorLookupTableDescriptor", [len(table) % 65536, first, entry_bits])
        data = column.astype("<u2" if entry_bits == 16 else "u1").tobytes()
        setattr(dataset, f"{color}PaletteColorLookupTableData", data + b"\0" * (len(data) % 2))
    return dataset


def test_16_bit_colors_lose_their_lower_byte() -> None:
    indices = np.arange(200, dtype=np.uint8).reshape(10, 20)
    shown = read_dicom(to_bytes(palette_image(indices, TABLE, 16))).frame_rgb()
    np.testing.assert_array_equal(shown, (TABLE >> 8)[indices])


def test_big_endian_table_is_read_in_its_order() -> None:
    indices = np.arange(200, dtype=np.uint8).reshape(10, 20)
    dataset = palette_image(indices, TABLE, 16)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset["PixelData"].VR = "OB"
    for color, column in zip(("Red", "Green", "Blue"), TABLE.T, strict=True):
        setattr(dataset, f"{color}PaletteColorLookupTableData", column.astype(">u2").tobytes())
    np.testing.assert_array_equal(read_dicom(to_bytes(dataset)).frame_rgb(), (TABLE >> 8)[indices])


def test_8_bit_colors_are_kept() -> None:
    indices = np.arange(200, dtype=np.uint8).reshape(10, 20)
    table = TABLE >> 8
    np.testing.assert_array_equal(read_dicom(to_bytes(palette_image(indices, table, 8))).frame_rgb(), table[indices])


def test_8_bit_colors_written_into_16_bits_are_not_black() -> None:
    indices = np.arange(200, dtype=np.uint8).reshape(10, 20)
    table = TABLE >> 8
    shown = read_dicom(to_bytes(palette_image(indices, table, 16))).frame_rgb()
    np.testing.assert_array_equal(shown, table[indices])


def test_values_beyond_the_table_get_its_ends() -> None:
    indices = np.array([[0, 49, 50, 249, 250, 255]], np.uint8)
    shown = read_dicom(to_bytes(palette_image(indices, TABLE, 16, first=50))).frame_rgb()
    np.testing.assert_array_equal(shown[0], (TABLE >> 8)[[0, 0, 0, 199, 199, 199]])


def test_missing_palette_is_refused() -> None:
    with pytest.raises(ImageError, match="colour palette of this DICOM image is missing or incomplete"):
        read_dicom(written(PhotometricInterpretation="PALETTE COLOR"))


def test_short_palette_is_refused() -> None:
    dataset = palette_image(gradient(), TABLE, 16)
    dataset.GreenPaletteColorLookupTableData = b"\1\2"
    with pytest.raises(ImageError, match="colour palette of this DICOM image is missing or incomplete"):
        read_dicom(to_bytes(dataset))


def test_real_palette_is_the_files_own_table() -> None:
    dataset = pydicom.dcmread(dicom_file("OBXXXX1A.dcm"))
    columns = [
        np.frombuffer(dataset[f"{color}PaletteColorLookupTableData"].value, "<u2") for color in ("Red", "Green", "Blue")
    ]
    expected = (np.stack(columns, axis=1) >> 8)[dataset.pixel_array]
    np.testing.assert_array_equal(read_dicom(dicom_file("OBXXXX1A.dcm")).frame_rgb(), expected)


def test_segmented_palette_is_expanded() -> None:
    dataset = ultrasound(np.arange(200, dtype=np.uint8).reshape(10, 20), PhotometricInterpretation="PALETTE COLOR")
    for color in ("Red", "Green", "Blue"):
        setattr(dataset, f"{color}PaletteColorLookupTableDescriptor", [200, 0, 16])
    ramp = [0, 1, 0x0000, 1, 199, 0xC700]  # one entry of 0, then 199 on a line up to 0xC700
    even = [0, 1, 0x3000, 1, 199, 0x3000]
    for color, segments in (("Red", ramp), ("Green", even), ("Blue", ramp)):
        setattr(dataset, f"Segmented{color}PaletteColorLookupTableData", np.array(segments, "<u2").tobytes())
    shown = read_dicom(to_bytes(dataset)).frame_rgb().reshape(-1, 3)
    assert shown[[0, 100, 199]].tolist() == [[0, 0x30, 0], [100, 0x30, 100], [199, 0x30, 199]]
