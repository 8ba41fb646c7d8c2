"""Colours, encodings and frames of a cine."""

import io

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import generate_frames
from pydicom.uid import (
    MPEG4HP41,
    UID,
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from fetal_hc.errors import ImageError
from hc18.dicom import pixel_sha256, read_dicom
from tests.synthetic_dicom import compressed, dicom_file, encoded, gradient, repeated, to_bytes, ultrasound, written

COLOR = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
CINE = np.stack([np.full((80, 100), 10 * index, np.uint8) for index in range(5)])


def test_rgb_is_kept() -> None:
    np.testing.assert_array_equal(read_dicom(written(COLOR)).frame_rgb(), COLOR)


def test_planes_become_pixels() -> None:
    dataset = ultrasound(COLOR, PlanarConfiguration=1)
    dataset.PixelData = COLOR.transpose(2, 0, 1).tobytes()
    np.testing.assert_array_equal(read_dicom(to_bytes(dataset)).frame_rgb(), COLOR)


def test_16_bit_colors_lose_their_lower_byte() -> None:
    data = written(COLOR.astype(np.uint16) * 256 + 255)
    np.testing.assert_array_equal(read_dicom(data).frame_rgb(), COLOR)


def test_uncompressed_ybr_is_converted_once() -> None:
    ybr = np.asarray(Image.fromarray(COLOR).convert("YCbCr"))
    shown = read_dicom(written(ybr, PhotometricInterpretation="YBR_FULL")).frame_rgb()
    assert np.abs(shown.astype(int) - COLOR).max() <= 3


def test_ybr_jpeg_is_converted_once() -> None:
    (first, *_) = generate_frames(pydicom.dcmread(dicom_file("examples_ybr_color.dcm")).PixelData, number_of_frames=30)
    expected = np.asarray(Image.open(io.BytesIO(first)).convert("RGB"))
    shown = read_dicom(dicom_file("examples_ybr_color.dcm")).frame_rgb(0)
    assert np.abs(shown.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("name", ["examples_ybr_color.dcm", "color3d_jpeg_baseline.dcm"])
def test_tissue_of_a_ybr_cine_is_grey(name: str) -> None:
    shown = read_dicom(dicom_file(name)).frame_rgb(5).astype(int)
    height, width = shown.shape[:2]
    tissue = shown[height // 8 : height * 3 // 4, width // 4 : width * 3 // 4]
    assert tissue.mean() > 10
    assert np.abs(tissue[:, :, 0] - tissue[:, :, 2]).mean() < 2


@pytest.mark.parametrize("interpretation", ["HSV", "CMYK", "YBR_PARTIAL_420", ""])
def test_unsupported_colors_are_refused(interpretation: str) -> None:
    with pytest.raises(ImageError, match="does not describe its picture in a way that can be read"):
        read_dicom(written(COLOR, PhotometricInterpretation=interpretation))


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("OBXXXX1A.dcm", "OBXXXX1A_rle.dcm"),
        ("OBXXXX1A.dcm", "OBXXXX1A_expb.dcm"),
        ("OBXXXX1A_2frame.dcm", "OBXXXX1A_rle_2frame.dcm"),
        ("OBXXXX1A_2frame.dcm", "OBXXXX1A_expb_2frame.dcm"),
        ("gdcm-US-ALOKA-16.dcm", "gdcm-US-ALOKA-16_big.dcm"),
        ("US1_UNCR.dcm", "US1_J2KR.dcm"),
        ("US1_UNCR.dcm", "examples_jpeg2k.dcm"),
        ("US1_UNCI.dcm", "US1_J2KI.dcm"),
        ("color-pl.dcm", "color-px.dcm"),
    ],
)
def test_lossless_pairs_have_one_key(name: str, same: str) -> None:
    one, other = read_dicom(dicom_file(name)), read_dicom(dicom_file(same))
    assert one.n_frames == other.n_frames
    for index in range(one.n_frames):
        assert pixel_sha256(one.frame_rgb(index)) == pixel_sha256(other.frame_rgb(index))


def test_jpeg_lossless_shows_an_image() -> None:
    shown = read_dicom(dicom_file("JPGLosslessP14SV1_1s_1f_8b.dcm")).frame_rgb()
    assert shown.shape == (768, 1024, 3)
    assert (shown[:, :, 0] == shown[:, :, 1]).all()
    assert np.median(shown) == 0
    assert shown.max() == 255


def test_rle_is_read() -> None:
    dataset = ultrasound()
    dataset.compress(RLELossless, generate_instance_uid=False)
    np.testing.assert_array_equal(read_dicom(to_bytes(dataset)).frame_rgb(), repeated(gradient()))


def test_deflated_file_is_read() -> None:
    dataset = ultrasound()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    np.testing.assert_array_equal(read_dicom(to_bytes(dataset)).frame_rgb(), repeated(gradient()))


def test_lossless_jpeg_2000_is_read() -> None:
    data = compressed([encoded(gradient(), "JPEG2000", no_jp2=True)], JPEG2000Lossless)
    np.testing.assert_array_equal(read_dicom(data).frame_rgb(), repeated(gradient()))


def test_jpeg_is_read() -> None:
    data = compressed([encoded(gradient(), "JPEG", quality=95)], JPEGBaseline8Bit)
    assert np.abs(read_dicom(data).frame_rgb().astype(int) - repeated(gradient())).max() <= 4


@pytest.mark.parametrize(
    ("syntax", "name"),
    [(MPEG4HP41, "MPEG-4 AVC/H.264"), (HTJ2KLossless, "High-Throughput JPEG 2000")],
    ids=["video", "htj2k"],
)
def test_encoding_without_a_decoder_is_refused_by_name(syntax: UID, name: str) -> None:
    with pytest.raises(ImageError, match=rf"compressed in a way that cannot be read here \({name}"):
        read_dicom(compressed([b"\0\0\0\1abcd"], syntax))


def test_private_encoding_is_refused_without_its_number() -> None:
    data = compressed([b"abcd"], JPEG2000Lossless).replace(b"1.2.840.10008.1.2.4.90", b"1.2.999.10008.1.2.4.90")
    with pytest.raises(ImageError, match=r"\(a private transfer syntax\)"):
        read_dicom(data)


def test_frames_are_chosen_by_index() -> None:
    image = read_dicom(written(CINE))
    assert image.n_frames == 5
    assert [int(image.frame_rgb(index).max()) for index in (4, 0, 2)] == [40, 0, 20]


@pytest.mark.parametrize("index", [5, -1])
def test_frame_that_does_not_exist_is_refused(index: int) -> None:
    with pytest.raises(ImageError, match=rf"There is no frame {index + 1}; the file has 5\."):
        read_dicom(written(CINE)).frame_rgb(index)


def test_one_damaged_frame_leaves_the_others() -> None:
    good = encoded(gradient(), "JPEG2000", no_jp2=True)
    image = read_dicom(compressed([b"garbage!", good], JPEG2000Lossless))
    np.testing.assert_array_equal(image.frame_rgb(1), repeated(gradient()))
    with pytest.raises(ImageError, match=r"Frame 1 of 2 cannot be decoded \(JPEG 2000"):
        image.frame_rgb(0)


@pytest.mark.parametrize("count", ["0", "", None])
def test_missing_number_of_frames_means_one(count: str | None) -> None:
    assert read_dicom(written(NumberOfFrames=count)).n_frames == 1
