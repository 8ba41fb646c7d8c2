"""What an uploaded file is taken for; every bad one is answered with a sentence."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from fetal_hc_app.uploads import Annotation, PixelTable, Refusal, UploadedItem, from_upload
from hc18.geometry.ellipse import Ellipse
from hc18.reviews.images import DicomToPrepare, StillImage, still_of
from tests.synthetic_hc18 import draw_ring

PICTURE = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)


def encoded(suffix: str, picture: np.ndarray = PICTURE) -> bytes:
    return cv2.imencode(suffix, picture)[1].tobytes()


def refusal(name: str, data: bytes) -> str:
    item = from_upload(name, data)
    assert isinstance(item, Refusal), item
    return item.reason


def bomb() -> bytes:
    """A PNG that claims 60000 x 60000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tiff", ".bmp"])
def test_pictures_are_taken_whatever_their_name(suffix: str) -> None:
    item = from_upload("scan.dcm", encoded(suffix))
    assert isinstance(item, StillImage)
    assert item.image_rgb.shape == (120, 160, 3)


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.png", b"", "The file is empty"),
        ("a.png", b"hello" * 40, "not an image the app can read"),
        ("a.png", encoded(".png")[:3000], "The PNG picture is damaged or incomplete"),
        ("a.jpg", encoded(".jpg")[:400], "The JPEG picture is damaged or incomplete"),
        ("a.png", bomb(), "too many pixels"),
        ("a.png", encoded(".png", PICTURE[:20, :20]), "only 20 x 20 pixels"),
        ("a.csv", b"filename,size\nx.png,1\n", "The table cannot be used"),
        ("a_Annotation.png", encoded(".png", np.zeros((120, 160, 3), np.uint8)), "The annotation shows no ellipse"),
    ],
)
def test_bad_file_is_answered_with_a_sentence(name: str, data: bytes, sentence: str) -> None:
    reason = refusal(name, data)
    assert sentence in reason
    assert reason.endswith((".", "?"))


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "rtplan.dcm"])
def test_other_modalities_are_refused(name: str) -> None:
    assert "not an ultrasound image" in refusal(name, Path(str(get_testdata_file(name))).read_bytes())


def test_dicom_without_pixels_is_refused(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(str(get_testdata_file("examples_rgb_color.dcm")))
    del dataset.PixelData
    dataset.save_as(tmp_path / "no_pixels.dcm")
    assert "no p" in refusal("no_pixels.dcm", (tmp_path / "no_pixels.dcm").read_bytes()).lower()


def test_truncated_dicom_is_refused() -> None:
    content = Path(str(get_testdata_file("examples_rgb_color.dcm"))).read_bytes()
    assert refusal("a.dcm", content[: len(content) // 2]).endswith(".")


def test_cine_waits_for_a_frame_and_a_region() -> None:
    content = Path(str(get_testdata_file("examples_ybr_color.dcm"))).read_bytes()
    item: UploadedItem = from_upload("cine.dcm", content)
    assert isinstance(item, DicomToPrepare)
    assert item.needs_region
    still = still_of(item, 4, (80, 30, 240, 200))
    assert (still.file.name, still.file.frame_index) == ("cine.dcm, frame 5", 4)
    assert not still.image_rgb[:30].any()
    assert not still.image_rgb[:, 240:].any()
    assert still.image_rgb[30:200, 80:240].any()


def test_table_gives_rows_by_name() -> None:
    item = from_upload("sizes.csv", b"\xef\xbb\xbffilename,pixel size(mm)\r\na.png,0.2\r\nb.png,oops\r\n")
    assert isinstance(item, PixelTable)
    assert item.rows["a.png"].pixel_size_mm == 0.2
    assert len(item.problems) == 1


def test_annotation_gives_the_ellipse_of_its_image() -> None:
    ellipse = Ellipse(80.0, 60.0, 50.0, 35.0, 0.4)
    item = from_upload("010_HC_Annotation.png", encoded(".png", draw_ring(ellipse, (120, 160))))
    assert isinstance(item, Annotation)
    assert item.image_stem == "010_HC"
    assert item.ellipse_px.semi_axis_a == pytest.approx(50.0, abs=0.5)


def test_path_and_script_in_a_name_are_only_text() -> None:
    item = from_upload("../../<script>alert(1)</script>.png", b"\x00" * 50)
    assert isinstance(item, Refusal)
    assert "/" not in item.name
