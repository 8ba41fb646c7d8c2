"""Pixels that are missing, cut off, too many or described wrongly."""

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGBaseline8Bit,
)

from fetal_hc.errors import ImageError
from hc18.dicom import read_dicom
from tests.synthetic_dicom import compressed, encoded, gradient, to_bytes, ultrasound, written

CINE = np.zeros((5, 80, 100), np.uint8)


def test_cut_off_pixels_are_refused_with_both_sizes() -> None:
    with pytest.raises(ImageError, match=r"incomplete: its picture needs 8,000 bytes and 7,500 are there"):
        read_dicom(written()[:-500])


def test_cut_off_cine_is_refused() -> None:
    with pytest.raises(ImageError, match=r"incomplete: its picture needs 40,000 bytes and 39,999 are there"):
        read_dicom(written(CINE)[:-1])


def test_cut_off_compressed_file_is_refused() -> None:
    data = compressed([encoded(gradient(), "JPEG")], JPEGBaseline8Bit)
    with pytest.raises(ImageError, match="damaged or incomplete"):
        read_dicom(data[:-100])


def test_too_few_compressed_frames_are_refused() -> None:
    data = compressed([encoded(gradient(), "JPEG")], JPEGBaseline8Bit, NumberOfFrames=30)
    with pytest.raises(ImageError, match="incomplete: it announces 30 frames and holds 1 pieces"):
        read_dicom(data)


def test_compressed_frame_cut_off_inside_is_refused() -> None:
    data = compressed([encoded(gradient(), "JPEG2000", no_jp2=True)[:60]], JPEG2000Lossless)
    with pytest.raises(ImageError, match="Frame 1 of 1 cannot be decoded"):
        read_dicom(data).frame_rgb()


def test_uncompressed_pixels_announced_as_jpeg_are_refused() -> None:
    dataset = ultrasound()
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = encapsulate([gradient().tobytes()])
    dataset["PixelData"].VR = "OB"
    with pytest.raises(ImageError, match="Frame 1 of 1 cannot be decoded"):
        read_dicom(to_bytes(dataset)).frame_rgb()


@pytest.mark.parametrize("file_format", ["JPEG", "JPEG2000"])
def test_frame_coded_larger_than_announced_is_refused_undecoded(file_format: str) -> None:
    large = np.zeros((300, 400), np.uint8)
    options = {"no_jp2": True} if file_format == "JPEG2000" else {}
    syntax = JPEG2000Lossless if file_format == "JPEG2000" else JPEGBaseline8Bit
    with pytest.raises(ImageError, match="compressed as 400 x 300 pixels, but the file says 100 x 80"):
        read_dicom(compressed([encoded(large, file_format, **options)], syntax)).frame_rgb()


def test_too_many_pixels_are_refused_undecoded() -> None:
    with pytest.raises(ImageError, match=r"has 65535 x 65535 pixels; expected at most 25,000,000"):
        read_dicom(written(Rows=65535, Columns=65535))


def test_limit_of_pixels_can_be_chosen() -> None:
    with pytest.raises(ImageError, match=r"has 100 x 80 pixels; expected at most 7,999"):
        read_dicom(written(), max_pixels=7999)


@pytest.mark.parametrize(
    "changes",
    [
        {"Rows": None},
        {"Columns": 0},
        {"BitsAllocated": 32},
        {"BitsAllocated": 1},
        {"BitsStored": 9},
        {"SamplesPerPixel": 3},
        {"SamplesPerPixel": None},
        {"PhotometricInterpretation": None},
    ],
    ids=str,
)
def test_undescribed_pixels_are_refused(changes: dict[str, int | None]) -> None:
    with pytest.raises(ImageError, match="does not describe its picture in a way that can be read"):
        read_dicom(written(**changes))


@pytest.mark.parametrize("value", [None, b""], ids=["missing", "empty"])
def test_file_without_a_picture_is_refused(value: bytes | None) -> None:
    with pytest.raises(ImageError, match="holds no picture, or was cut off before it"):
        read_dicom(written(PixelData=value))
