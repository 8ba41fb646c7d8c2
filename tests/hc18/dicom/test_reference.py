"""Identifiers for a report that refers to its source image."""

import dataclasses

import pytest
from pydicom.uid import UltrasoundImageStorage

from fetal_hc.errors import ImageError
from hc18.dicom import SourceReference, source_reference
from tests.synthetic_dicom import SECRETS, dicom_file, written


def test_reference_holds_the_four_identifiers() -> None:
    assert source_reference(written()) == SourceReference(UltrasoundImageStorage, "1.2.3.4", "1.2.3", "1.2.3.5", None)


def test_reference_has_no_room_for_anything_else() -> None:
    names = [item.name for item in dataclasses.fields(SourceReference)]
    assert names == ["sop_class_uid", "sop_instance_uid", "study_instance_uid", "series_instance_uid", "frame_number"]
    assert not any(secret in repr(source_reference(written())) for secret in SECRETS)


def test_frame_of_a_cine_is_counted_from_one() -> None:
    assert source_reference(dicom_file("examples_ybr_color.dcm"), frame_index=29).frame_number == 30


@pytest.mark.parametrize("index", [30, -1])
def test_frame_that_does_not_exist_is_refused(index: int) -> None:
    with pytest.raises(ImageError, match=rf"There is no frame {index + 1}; the file has 30\."):
        source_reference(dicom_file("examples_ybr_color.dcm"), frame_index=index)


@pytest.mark.parametrize("value", [None, "", "Identitas^Planta", "1.2..3", "1." + "2" * 64])
@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI", "ignore:The value length")
def test_missing_or_invalid_identifier_is_refused(keyword: str, value: str | None) -> None:
    with pytest.raises(ImageError, match="lacks the identifiers by which a report could refer to it") as caught:
        source_reference(written(**{keyword: value}))
    assert "Identitas" not in str(caught.value)


def test_other_file_is_refused() -> None:
    with pytest.raises(ImageError, match="is not a DICOM file"):
        source_reference(b"\x89PNG\r\n\x1a\n" + bytes(200))
