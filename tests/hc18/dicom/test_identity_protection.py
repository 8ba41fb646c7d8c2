"""Identity planted in a DICOM file and in its path turns up in nothing that is kept, printed, logged or exported."""

import io
import logging
import pickle
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGBaseline8Bit
from pypdf import PdfReader

from fetal_hc.errors import FetalHCError, ImageError
from fetal_hc_app.uploads import Refusal, from_upload
from hc18.dicom import pixel_sha256, read_dicom, source_reference
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.frames import open_frames
from hc18.reports.case import Report
from hc18.reports.dicom_document import to_dicom_bytes
from hc18.reports.dicom_sr import to_structured_report
from hc18.reports.fhir import to_fhir_json
from hc18.reports.pdf import to_pdf
from hc18.reports.table import to_csv
from hc18.reviews.images import StillImage
from hc18.reviews.models import Decision, ModelMeasurement, ModelVersion, NewCase, ReviewAction
from hc18.reviews.store import ReviewStore
from tests.synthetic_dicom import IDENTITY, SECRETS, UIDS, compressed, region, written

HEAD = Ellipse(50.0, 40.0, 20.0, 15.0, 0.0)
MODEL = ModelVersion("hc18", "1", "ab" * 32)
NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
FILE_NAME = "Identitas_Planta_PID-4711.dcm"
GOOD = written(regions=[region()])


def leaks(data: str | bytes) -> list[str]:
    """The planted secrets found in a text or in bytes of any common text encoding."""
    blob = data if isinstance(data, bytes) else data.encode()
    return [secret for secret in SECRETS if any(secret.encode(code) in blob for code in ("utf-8", "utf-16-le"))]


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A DICOM file with a patient in its attributes and in its path."""
    folder = tmp_path / "Identitas^Planta"
    folder.mkdir()
    (folder / FILE_NAME).write_bytes(GOOD)
    return folder / FILE_NAME


def test_search_finds_what_was_planted(planted: Path) -> None:
    assert leaks(GOOD) == list(SECRETS)
    assert leaks(str(planted)) == ["Identitas", "Planta", "PID-4711"]
    assert all(any(secret in value for secret in SECRETS) for value in IDENTITY.values())


def test_image_keeps_nothing(planted: Path) -> None:
    image = read_dicom(planted)
    assert leaks(pickle.dumps(image)) == []
    assert leaks(repr(image)) == []
    assert not any(uid.encode() in pickle.dumps(image) for uid in UIDS.values())


@pytest.mark.parametrize("regions", [[], [region()], [region((0, 0, 400, 300))]], ids=["none", "good", "resized"])
def test_calibration_keeps_nothing(regions: list[pydicom.Dataset]) -> None:
    found = read_dicom(written(regions=regions, PixelSpacing=["0.2", "0.21"])).calibrate(HEAD)
    assert leaks(pickle.dumps(found)) == []


def test_reference_keeps_identifiers_only(planted: Path) -> None:
    assert leaks(pickle.dumps(source_reference(planted))) == []


def test_reading_says_and_logs_nothing(
    planted: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        image = read_dicom(planted)
        image.frame_rgb()
        image.calibrate(HEAD)
        source_reference(planted)
    assert leaks(caplog.text) == []
    assert leaks("".join(capfd.readouterr())) == []


REFUSED: dict[str, Callable[[], bytes]] = {
    "other modality": lambda: written(Modality="CT"),
    "name for a modality": lambda: written(Modality="IDENTITAS"),
    "no pixels": lambda: written(PixelData=None),
    "cut off": lambda: GOOD[:-100],
    "cut off in the header": lambda: GOOD[:400],
    "too large": lambda: written(Rows=60000, Columns=60000),
    "name for a colour space": lambda: written(PhotometricInterpretation="IDENTITAS PLANTA"),
    "name for a transfer syntax": lambda: GOOD.replace(b"1.2.840.10008.1.2.1\0", b"Identitas^Planta.9.9"),
    "name for a number": lambda: GOOD.replace(b"\x28\0\x10\0US\x02\0\x50\0", b"\x28\0\x10\0US\x06\0Planta"),
    "damaged frame": lambda: compressed([b"Identitas^Planta"], JPEGBaseline8Bit),
    "not a DICOM file": lambda: b"Identitas^Planta" * 20,
    "no palette": lambda: written(PhotometricInterpretation="PALETTE COLOR"),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_refusal_names_nobody(
    make: Callable[[], bytes],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(make())
    with caplog.at_level(logging.DEBUG), pytest.raises(ImageError) as caught:
        read_dicom(path).frame_rgb()
    assert leaks("".join(traceback.format_exception_only(caught.value))) == []
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert leaks(caplog.text) == []
    assert leaks("".join(capfd.readouterr())) == []


def test_missing_file_is_refused_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        read_dicom(tmp_path / FILE_NAME)
    assert leaks(str(caught.value)) == []


def test_batch_frames_keep_nothing() -> None:
    frames = open_frames(GOOD, "case")
    assert leaks(repr(frames)) == []
    assert frames.calibrate is not None
    assert leaks(repr(frames.calibrate(HEAD, 0))) == []


def test_refused_batch_file_names_nobody() -> None:
    with pytest.raises(FetalHCError) as caught:
        open_frames(written(Modality="MR"), "case")
    assert leaks(str(caught.value)) == []


def test_upload_shows_the_tissue_region_only() -> None:
    taken = from_upload(
        "scan.dcm", written(regions=[region((10, 5, 89, 69))], pixels=np.full((80, 100), 200, np.uint8))
    )
    assert isinstance(taken, StillImage)
    outside = taken.image_rgb.copy()
    outside[5:70, 10:90] = 0
    assert not outside.any()
    assert taken.image_rgb[5:70, 10:90].min() == 200


def test_refused_upload_names_nobody() -> None:
    refused = from_upload("scan.dcm", written(Modality="MR"))
    assert isinstance(refused, Refusal)
    assert leaks(refused.reason) == []


def test_store_keeps_nothing(planted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    image = read_dicom(planted)
    shown = image.visible_rgb()
    measured = ModelMeasurement(MODEL, "ok", ellipse_px=HEAD, confidence=0.9)
    with ReviewStore(f"sqlite:///{folder / 'reviews.db'}") as store:
        case_id = store.register_case(NewCase(shown, image.calibrate(HEAD), measured), "reader").case_id
        store.append(case_id, store.state(case_id).revision, ReviewAction.ACCEPT, "reader")
        assert pixel_sha256(store.image(case_id)) == pixel_sha256(shown)
        files = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert files
    assert {name: leaks(content) for name, content in files.items() if leaks(content)} == {}
    assert not any(uid.encode() in content for content in files.values() for uid in ("1.2.3.4", "1.2.3.5"))


@pytest.fixture
def report(planted: Path) -> Report:
    """The planted file, measured and signed."""
    image = read_dicom(planted)
    calibration = image.calibrate(HEAD)
    assert calibration.pixel_size_xy_mm is not None
    shown = image.visible_rgb()
    return Report(
        case_label="Case 1",
        image_sha256=pixel_sha256(shown),
        image_rgb=shown,
        calibration=calibration,
        model_name=MODEL.name,
        model_version=MODEL.version,
        model_sha256=MODEL.sha256,
        measured_at_utc=NOW,
        model_ellipse_px=HEAD,
        model_hc_mm=HEAD.to_mm(*calibration.pixel_size_xy_mm).circumference(),
        confidence=0.9,
        decision=Decision.ACCEPTED,
        is_signed=True,
        reviewer="reader",
        signed_at_utc=NOW,
        dicom_source=source_reference(planted),
    )


def test_table_and_fhir_name_nobody(report: Report) -> None:
    assert leaks(to_csv([report])) == []
    assert leaks(to_fhir_json(report)) == []


def test_pdf_names_nobody(report: Report) -> None:
    document = to_pdf(report)
    reader = PdfReader(io.BytesIO(document))
    assert leaks(document) == []
    assert leaks("\n".join(page.extract_text() for page in reader.pages) + str(reader.metadata)) == []


def test_structured_report_refers_to_the_image_and_names_nobody(report: Report) -> None:
    written_report = to_dicom_bytes(to_structured_report(report))
    read_back = pydicom.dcmread(io.BytesIO(written_report))
    assert leaks(written_report) == []
    assert leaks(str(read_back)) == []
    assert UIDS["SOPInstanceUID"] in str(read_back)
    assert not read_back.PatientName
