"""The whole way: an archive sends images, they are measured, reviewed and signed, and the reports are in the archive.

`fetal-hc receive` runs as a user starts it, one case is reviewed in Chromium, and Orthanc is the archive.
"""

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest
import requests
from cryptography.fernet import Fernet
from playwright.sync_api import Browser
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from hc18.pacs.inbox import Inbox
from hc18.pacs.inbox_tables import InstanceState
from hc18.pacs.site import ReportKind, read_site_file
from hc18.pacs.vault import KEY_VARIABLE, Vault
from hc18.reviews.models import CaseId
from hc18.reviews.store import ReviewStore
from tests.app.conftest import free_port, running_app
from tests.app.reviewer import Person
from tests.hc18.pacs.hospital import (
    COUNTING_FILTER,
    Hospital,
    is_settled,
    mixed_objects,
    push_from_archive,
    sign_what_is_measured,
    wait_until,
)
from tests.hc18.pacs.orthanc_server import running_orthanc
from tests.hc18.reports.test_dicom_obgyn import find, number
from tests.synthetic_dicom import to_bytes

N_OBJECTS = 30

SITE = """
folder = "state"
keep_references = true
keep_patient = true

[receiver]
port = {receiver}
keep_free_mb = 1
peers = [{{ ae_title = "ORTHANC", address = "127.0.0.1" }}]

[[archive]]
name = "pacs"
host = "127.0.0.1"
port = {archive}
ae_title = "ORTHANC"

[reports]
to = "pacs"
organization = "Test clinic"
"""


@contextmanager
def running_receiver(folder: Path, root: Path) -> Iterator[None]:
    """`fetal-hc receive`, ended in order."""
    paths = os.pathsep.join(str(root / name) for name in ("", "app", "tools"))
    line = [sys.executable, "-m", "fetal_hc_cli.main", "receive", "--site", "site.toml", "--store", "reviews.db"]
    with (folder / "receiver.log").open("wb") as log:
        process = subprocess.Popen(
            line, cwd=folder, env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}, stdout=log, stderr=log
        )
    try:
        wait_until(lambda: b"Receiving as" in (folder / "receiver.log").read_bytes(), "the receiver did not start")
        yield
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0, (folder / "receiver.log").read_text(encoding="utf-8")


@pytest.mark.slow
def test_images_of_the_archive_come_back_as_reports(
    browser: Browser, tmp_path: Path, repository_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, Fernet.generate_key().decode())
    port = free_port()
    archive_folder = tmp_path / "orthanc"
    archive_folder.mkdir()
    (archive_folder / "count.lua").write_text(COUNTING_FILTER, encoding="utf-8")
    peers = {"reviewer": ["FETALHC", "127.0.0.1", port]}
    scripts = [str(archive_folder / "count.lua")]
    with running_orthanc(archive_folder, DicomModalities=peers, LuaScripts=scripts) as orthanc:
        objects = mixed_objects(N_OBJECTS)
        for item in objects:
            orthanc.add(to_bytes(item))
        (tmp_path / "site.toml").write_text(SITE.format(receiver=port, archive=orthanc.dicom_port), encoding="utf-8")
        site = read_site_file(tmp_path / "site.toml")
        hospital = Hospital(site, str(tmp_path / "reviews.db"), orthanc, tmp_path / "receiver.log")
        with running_receiver(tmp_path, repository_root), ReviewStore(hospital.store_path) as store:
            push_from_archive(orthanc, "reviewer")
            wait_until(lambda: is_settled(hospital.rows(), N_OBJECTS), "not every object was measured")
            check_states(hospital)
            first = hospital.rows()[-1].case_ids[0]
            review_in_the_browser(browser, tmp_path, repository_root, first)
            signed = [first, *sign_what_is_measured(store)]
            expected = len(signed) * len(ReportKind)
            wait_until(lambda: hospital.counts().sent == expected, "not every report is in the archive")
            check_reports(hospital, store, signed, objects, tmp_path)
    log = (tmp_path / "receiver.log").read_text(encoding="utf-8")
    assert not any(secret in log for secret in ("SECRET", "Identitas", "1.2.826"))


def check_states(hospital: Hospital) -> None:
    """Every kind of object is where it belongs."""
    rows = hospital.rows()
    waits = [row for row in rows if row.state is InstanceState.WAITS]
    assert [row.reason for row in rows if row.state is InstanceState.FAILED] == []
    assert sum("name may be burned into it" in row.reason for row in waits) == N_OBJECTS // 10
    assert sum(bool(row.case_ids) and "millimetres" in row.reason for row in waits) >= N_OBJECTS // 10


def review_in_the_browser(browser: Browser, folder: Path, root: Path, case_id: CaseId) -> None:
    """Accepts and signs one case as a person does."""
    with running_app(folder, root) as (server, _), Person(browser, server.url, "Dr Browser") as person:
        person.open(f"case?case={case_id}")
        person.wait_for_result()
        person.press("Accept")
        person.expect_badge("Accepted")
        person.press("Sign")
        person.expect_badge("Signed")


def check_reports(
    hospital: Hospital, store: ReviewStore, signed: list[CaseId], objects: list[Dataset], folder: Path
) -> None:
    """Reports and pictures of all signed cases, as the archive gives them: values, units and references."""
    found = reports_in(hospital)
    assert len(found) == len(signed) * len(ReportKind)
    inbox = Inbox(hospital.site, Vault())
    sources = {str(item.SOPInstanceUID): item for item in objects}
    for case_id in signed:
        [origin] = inbox.origins(case_id)
        image, state = sources[origin.reference.sop_instance_uid], store.state(case_id)
        about = [
            each for each in found if is_about(each, origin.reference.sop_instance_uid, origin.reference.frame_number)
        ]
        assert sorted(str(each.Modality) for each in about) == ["SR", "SR", "US"]
        for each in about:
            assert (each.StudyInstanceUID, each.PatientID) == (image.StudyInstanceUID, image.PatientID)
            if each.Modality == "SR":
                [circumference] = find(each, codes.LN.HeadCircumference)
                assert number(circumference) == (pytest.approx(state.outline.hc_mm, abs=0.0051), "mm")
                assert each.VerificationFlag == "VERIFIED"
                assert each.VerifyingObserverSequence[0].VerifyingObserverName == f"{state.signed_by}^"
                assert each.VerifyingObserverSequence[0].VerifyingOrganization == "Test clinic"
            else:
                assert each.pixel_array.shape == store.image(case_id).shape
    received = hospital.received_by_archive()
    assert [received[str(each.SOPInstanceUID)] for each in found] == [1] * len(found)
    inbox.close()
    check_with_other_programs(found[:6], folder)


def reports_in(hospital: Hospital) -> list[Dataset]:
    """What the archive holds apart from the images that it had before."""
    rest = hospital.orthanc.rest
    read = [
        pydicom.dcmread(io.BytesIO(requests.get(f"{rest}/instances/{each}/file", timeout=60).content))
        for each in requests.get(f"{rest}/instances", timeout=60).json()
    ]
    return [each for each in read if each.get("Manufacturer") == "fetal-hc"]


def is_about(report: Dataset, sop_instance_uid: str, frame_number: int | None) -> bool:
    """Whether an object refers to a frame of an image."""
    if report.Modality != "SR":
        [item] = report.SourceImageSequence
        return (item.ReferencedSOPInstanceUID, item.get("ReferencedFrameNumber")) == (sop_instance_uid, frame_number)
    references = [item.ReferencedSOPSequence[0] for item in every_item(report) if item.ValueType == "IMAGE"]
    return {(item.ReferencedSOPInstanceUID, item.get("ReferencedFrameNumber")) for item in references} == {
        (sop_instance_uid, frame_number)
    }


def every_item(parent: Dataset) -> Iterator[Dataset]:
    """All content items of a report."""
    for item in parent.get("ContentSequence", ()):
        yield item
        yield from every_item(item)


def check_with_other_programs(found: list[Dataset], folder: Path) -> None:
    """dcmtk and dicom3tools read what the archive gives."""
    for each in found:
        path = folder / "from_archive.dcm"
        each.save_as(path)
        dump = "dsrdump" if each.Modality == "SR" else "dcmdump"
        for program in (dump, "dciodvfy"):
            if shutil.which(program) is not None:
                ran = subprocess.run(
                    [program, str(path)], capture_output=True, text=True, errors="replace", check=False
                )
                said = (ran.stdout + ran.stderr).splitlines()
                assert [line for line in said if line.startswith(("Error", "E:", "F:"))] == []
