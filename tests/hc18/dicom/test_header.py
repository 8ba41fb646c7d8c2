"""What counts as a DICOM file, and what reading one tells when it fails."""

import io
import logging
import tracemalloc
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.valuerep import VR

from fetal_hc.errors import ImageError
from fetal_hc.io.images import MAX_FILE_BYTES
from hc18.dicom.header import count_of, number_of, read_attributes, read_bytes
from hc18.dicom.signature import VALUE_REPRESENTATIONS, is_dicom
from tests.faults.large_pictures import deflated_dicom
from tests.synthetic_dicom import dicom_file, encoded, gradient, region, ultrasound, written


def without_preamble(*, implicit: bool, little_endian: bool = True) -> bytes:
    dataset = ultrasound()
    del dataset.file_meta
    stream = io.BytesIO()
    dataset.save_as(stream, implicit_vr=implicit, little_endian=little_endian)
    return stream.getvalue()


ENCODINGS = pytest.mark.parametrize(
    ("implicit", "little_endian"), [(True, True), (False, True), (False, False)], ids=["implicit", "explicit", "big"]
)


def test_preamble_makes_a_dicom_file() -> None:
    assert is_dicom(written())
    assert is_dicom(written()[:132])


@ENCODINGS
def test_file_without_preamble_is_recognised_and_read(implicit: bool, little_endian: bool) -> None:
    data = without_preamble(implicit=implicit, little_endian=little_endian)
    assert data[128:132] != b"DICM"
    assert is_dicom(data)
    assert read_attributes(read_bytes(data), ["Modality", "Rows"]).Rows == 80


@pytest.mark.parametrize("name", ["ExplVR_BigEndNoMeta.dcm", "ExplVR_LitEndNoMeta.dcm", "OT-PAL-8-face.dcm"])
def test_real_files_without_preamble_are_recognised(name: str) -> None:
    assert is_dicom(dicom_file(name))


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "ICO"])
def test_other_images_are_no_dicom(file_format: str) -> None:
    assert not is_dicom(encoded(gradient(), file_format))


@pytest.mark.parametrize("data", [b"", b"\x08\x00", b"%PDF-1.7 and so on", bytes(200), b"filename,pixel size(mm)\n"])
def test_other_bytes_are_no_dicom(data: bytes) -> None:
    assert not is_dicom(data)


def test_extension_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "scan.png").write_bytes(written())
    (tmp_path / "scan.dcm").write_bytes(encoded(gradient(), "PNG"))
    assert is_dicom(tmp_path / "scan.png")
    assert not is_dicom(tmp_path / "scan.dcm")


@pytest.mark.parametrize("name", ["missing.dcm", ".", "zero\0byte.dcm"])
def test_file_that_cannot_be_opened_is_no_dicom(tmp_path: Path, name: str) -> None:
    assert not is_dicom(tmp_path / name)


@pytest.mark.parametrize("name", ["Identitas.dcm", "zero\0byte.dcm"])
def test_missing_file_is_refused_without_its_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match="The file cannot be read") as caught:
        read_bytes(tmp_path / name)
    assert "dcm" not in str(caught.value)


def test_empty_file_is_refused() -> None:
    with pytest.raises(ImageError, match="The file is empty; copy or export it again"):
        read_bytes(b"")


def test_other_file_is_refused() -> None:
    with pytest.raises(ImageError, match="is not a DICOM file, whatever its name says"):
        read_bytes(encoded(gradient(), "PNG"))


def test_large_file_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "large.dcm").open("wb") as stream:
        stream.truncate(MAX_FILE_BYTES + 1)
    tracemalloc.start()
    with pytest.raises(ImageError, match="holds more than 256 MiB"):
        read_bytes(tmp_path / "large.dcm")
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most_bytes < 1 << 20


def test_many_bytes_are_refused() -> None:
    with pytest.raises(ImageError, match="export single frames or a shorter sequence"):
        read_bytes(bytes(MAX_FILE_BYTES + 1))


def test_file_that_inflates_too_far_is_refused() -> None:
    data = deflated_dicom(MAX_FILE_BYTES + (1 << 20))
    assert len(data) < 1 << 20
    with pytest.raises(ImageError, match="holds more than 256 MiB"):
        read_attributes(read_bytes(data), ["Rows"])


def test_only_named_attributes_are_kept() -> None:
    kept = read_attributes(
        written(regions=[region(RegionFlags=2)]), ["Rows", "SequenceOfUltrasoundRegions", "PhysicalDeltaX"]
    )
    assert [element.keyword for element in kept.iterall()] == ["SequenceOfUltrasoundRegions", "PhysicalDeltaX", "Rows"]


def test_unreadable_attribute_counts_as_absent() -> None:
    data = written(PixelSpacing=["0.25", "0.25"]).replace(b"\x28\0\x30\0DS", b"\x28\0\x30\0XX")
    assert [element.keyword for element in read_attributes(data, ["PixelSpacing", "Rows"])] == ["Rows"]


def test_damaged_file_is_refused() -> None:
    with pytest.raises(ImageError, match="The DICOM file is damaged or incomplete; copy or export it again"):
        read_attributes(
            read_bytes(Path(dicom_file("emri_small_jpeg_2k_lossless_too_short.dcm")).read_bytes()), ["Rows"]
        )


@pytest.mark.parametrize(
    ("value", "number", "count"), [("3", 3.0, 3), ("2.5", 2.5, 0), ("-1", -1.0, 0), ("", np.nan, 0), (None, np.nan, 0)]
)
def test_number_of_an_attribute(value: str | None, number: float, count: int) -> None:
    dataset = ultrasound(RescaleSlope=value)
    np.testing.assert_equal(number_of(dataset, "RescaleSlope"), number)
    assert count_of(dataset, "RescaleSlope") == count


def test_several_numbers_are_not_one() -> None:
    assert np.isnan(number_of(ultrasound(PixelSpacing=["1", "2"]), "PixelSpacing"))


def test_pydicom_itself_is_left_as_it_was() -> None:
    before = pydicom.config.settings.reading_validation_mode
    read_attributes(written(), ["Rows"])
    assert pydicom.config.settings.reading_validation_mode == before
    assert not logging.getLogger("pydicom").disabled


def test_every_value_representation_is_known_without_the_library() -> None:
    assert {member.value.encode() for member in VR if len(member.value) == 2} == VALUE_REPRESENTATIONS
