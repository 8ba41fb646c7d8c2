"""A real Orthanc is searched, and its images are fetched."""

import io
import logging
from collections.abc import Iterator
from datetime import date

import numpy as np
import pydicom
import pytest
from PIL import Image

from hc18.dicom import read_dicom
from hc18.pacs.search import FoundStudy, StudyQuery, fetch_file, fetch_thumbnail, list_images, search_studies
from hc18.pacs.web import ArchiveError, WebService
from tests.app.conftest import free_port
from tests.hc18.pacs.orthanc_server import Orthanc, running_orthanc
from tests.synthetic_dicom import SECRETS, region, to_bytes, ultrasound


def numbered(study: int, image: int, *, n_frames: int = 1, **changes: object) -> bytes:
    """An image of a study with its own UIDs."""
    pixels = np.full((n_frames, 80, 100), 40 * image, np.uint8) if n_frames > 1 else None
    values: dict[str, object] = {
        "StudyInstanceUID": f"1.2.{study}", "SeriesInstanceUID": f"1.2.{study}.1", "SeriesNumber": 2,
        "SOPInstanceUID": f"1.2.{study}.1.{image}", "InstanceNumber": image, "StudyDescription": "Growth scan",
    }  # fmt: skip
    return to_bytes(ultrasound(pixels, [region()], **values | changes))


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """An archive with a password and four images of three studies."""
    with running_orthanc(tmp_path_factory.mktemp("orthanc"), user="reader", password="geheim") as running:
        running.add(numbered(1, 2))
        running.add(numbered(1, 1, n_frames=3))
        other = {"PatientName": "Öther^Ann", "PatientID": "P-2", "AccessionNumber": "A-2", "StudyDate": "20220102"}
        running.add(numbered(2, 1, SpecificCharacterSet="ISO_IR 192", **other))
        running.add(numbered(3, 1, PatientID="P-3", Modality="CT"))
        yield running


@pytest.mark.parametrize(
    ("query", "uids"),
    [
        (StudyQuery(), ["1.2.2", "1.2.1"]),
        (StudyQuery(patient_name="identitas"), ["1.2.1"]),
        (StudyQuery(patient_name="*ann"), ["1.2.2"]),
        (StudyQuery(patient_name="öther^a"), ["1.2.2"]),
        (StudyQuery(patient_name="Ather^A"), []),
        (StudyQuery(patient_name="Üther^A"), []),
        (StudyQuery(description="growth scan"), ["1.2.2", "1.2.1"]),
        (StudyQuery(patient_id="P-2"), ["1.2.2"]),
        (StudyQuery(patient_id="P-"), []),
        (StudyQuery(accession_number="ACC-0815-SECRET"), ["1.2.1"]),
        (StudyQuery(description="growth"), ["1.2.2", "1.2.1"]),
        (StudyQuery(first_day=date(2022, 1, 1)), ["1.2.2"]),
        (StudyQuery(last_day=date(2021, 12, 31)), ["1.2.1"]),
        (StudyQuery(first_day=date(2021, 2, 3), last_day=date(2021, 2, 3), patient_name="Öther"), []),
    ],
)
def test_search_finds_ultrasound_studies(orthanc: Orthanc, query: StudyQuery, uids: list[str]) -> None:
    assert [study.uid for study in search_studies(orthanc.service, query)] == uids


def test_study_comes_with_patient_and_images(orthanc: Orthanc) -> None:
    [study] = search_studies(orthanc.service, StudyQuery(accession_number="ACC-0815-SECRET"))
    assert (study.patient_name, study.patient_id) == ("Identitas^Planta", "PID-4711-SECRET")
    assert (study.study_date, study.description, study.n_instances) == ("20210203", "Growth scan", 2)
    images = list_images(orthanc.service, study.uid)
    assert [(image.number, image.n_frames, image.file_name) for image in images] == [
        (1, 3, "series 2 image 1.dcm"),
        (2, 1, "series 2 image 2.dcm"),
    ]


def test_thumbnails_of_an_image_and_of_a_frame(orthanc: Orthanc) -> None:
    clip, still = list_images(orthanc.service, "1.2.1")
    for content in (fetch_thumbnail(orthanc.service, still), fetch_thumbnail(orthanc.service, clip, 2)):
        with Image.open(io.BytesIO(content)) as picture:
            assert (picture.format, picture.size) == ("JPEG", (100, 80))


def test_file_is_the_one_that_was_stored(orthanc: Orthanc) -> None:
    clip, _ = list_images(orthanc.service, "1.2.1")
    content = fetch_file(orthanc.service, clip)
    assert pydicom.dcmread(io.BytesIO(content)) == pydicom.dcmread(io.BytesIO(numbered(1, 1, n_frames=3)))
    assert read_dicom(content).n_frames == 3


def test_wrong_password_and_absent_server_are_told_without_the_question(orthanc: Orthanc) -> None:
    query = StudyQuery(patient_name="Identitas")
    wrong = WebService(orthanc.service.url, user="reader", password="falsch")
    for service, why in ((wrong, "HTTP 401"), (WebService(f"http://127.0.0.1:{free_port()}"), "ConnectionError")):
        with pytest.raises(ArchiveError, match=why) as error:
            search_studies(service, query)
        assert "Identitas" not in str(error.value)


def test_nothing_personal_is_logged(orthanc: Orthanc, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    [study] = search_studies(orthanc.service, StudyQuery(patient_name="Identitas"))
    fetch_file(orthanc.service, list_images(orthanc.service, study.uid)[0])
    assert not [secret for secret in (*SECRETS, study.uid) if secret in caplog.text]
    assert "Identitas" not in f"{study!r}{StudyQuery(patient_name='Identitas')!r}"
    assert isinstance(study, FoundStudy)
