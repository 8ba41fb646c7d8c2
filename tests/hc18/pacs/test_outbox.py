"""Reports go through the queue to a real Orthanc by both ways, and are confirmed there."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pydicom
import pytest
from cryptography.fernet import Fernet
from dicomweb_client.api import DICOMwebClient

from fetal_hc.errors import ConfigError
from hc18.dicom import SourceReference
from hc18.pacs.archive import Archive, NetworkArchive, WebArchive
from hc18.pacs.outbox import Outbox, OutboxCounts, OutboxState
from hc18.pacs.vault import KEY_VARIABLE
from hc18.pacs.web import WebService
from hc18.reports.dicom_document import to_dicom_bytes
from hc18.reports.dicom_sr import to_structured_report
from tests.app.conftest import free_port
from tests.hc18.pacs.orthanc_server import running_orthanc
from tests.hc18.reports import reported

SOURCE = SourceReference("1.2.840.10008.5.1.4.1.1.6.1", "1.2.3.4", "1.2.3", "1.2.3.9")


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Archive]]:
    """The two ways into a running Orthanc."""
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield {"network": running.network, "web": running.web}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, Fernet.generate_key().decode())


def report(label: str) -> bytes:
    return to_dicom_bytes(to_structured_report(reported.accepted(dicom_source=SOURCE, subject_reference=label)))


@pytest.mark.parametrize("way", ["network", "web"])
def test_report_is_sent_and_found_in_the_archive(orthanc: dict[str, Archive], tmp_path: Path, way: str) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    assert outbox.add(orthanc[way], report(way))
    assert not outbox.add(orthanc[way], report(way))
    assert outbox.send_due(orthanc[way]) == OutboxCounts(waiting=0, sent=1), outbox.rows()
    outbox.close()
    sent, web = pydicom.dcmread(io.BytesIO(report(way))), DICOMwebClient(orthanc["web"].name)
    kept = web.retrieve_instance(sent.StudyInstanceUID, sent.SeriesInstanceUID, sent.SOPInstanceUID)
    assert kept == sent


def test_failed_report_waits_through_a_restart_with_its_reason(tmp_path: Path) -> None:
    away, now = WebArchive(WebService(f"http://127.0.0.1:{free_port()}")), datetime(2026, 1, 1, tzinfo=UTC)
    first = Outbox(tmp_path / "outbox.db", clock=lambda: now)
    first.add(away, report("waits"))
    first.close()
    again = Outbox(tmp_path / "outbox.db", clock=lambda: now + timedelta(seconds=1))
    assert again.send_due(away) == OutboxCounts(waiting=1, sent=0)
    assert "ConnectionError" in again.rows()[0].reason
    again.close()


def test_queue_file_holds_no_identifier(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.add(NetworkArchive("127.0.0.1", 1, "NOBODY"), report("Identitas"))
    outbox.close()
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"Identitas" not in content
    assert SOURCE.series_instance_uid.encode() not in content


def test_nothing_is_queued_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(ConfigError, match=KEY_VARIABLE):
        Outbox(tmp_path / "outbox.db")


class PretendedArchive:
    """Answers yes to everything; keeps objects only if it is told to."""

    name = "pretended"

    def __init__(self, *, keeps: bool, held: set[str]) -> None:
        self.keeps, self.held, self.n_sent = keeps, held, 0

    def identify(self, content: bytes) -> str:
        return str(pydicom.dcmread(io.BytesIO(content)).SOPInstanceUID)

    def send(self, content: bytes) -> None:
        self.n_sent += 1
        if self.keeps:
            self.held.add(self.identify(content))

    def holds(self, content: bytes) -> bool:
        return self.identify(content) in self.held


def test_archive_that_says_yes_and_keeps_nothing_does_not_count(tmp_path: Path) -> None:
    archive, outbox = PretendedArchive(keeps=False, held=set()), Outbox(tmp_path / "outbox.db")
    outbox.add(archive, report("lost"))
    assert outbox.send_due(archive) == OutboxCounts(waiting=1, sent=0)
    assert "does not find the object" in outbox.rows()[0].reason
    outbox.close()


def test_object_that_another_process_is_sending_is_left_to_it(tmp_path: Path) -> None:
    other = Outbox(tmp_path / "outbox.db")

    class Overtaken(PretendedArchive):
        """Another process looks for due objects while this one is sending."""

        def send(self, content: bytes) -> None:
            assert other.send_due(self) == OutboxCounts(waiting=1, sent=0)
            super().send(content)

    archive, outbox = Overtaken(keeps=True, held=set()), Outbox(tmp_path / "outbox.db")
    outbox.add(archive, report("shared"))
    assert outbox.send_due(archive) == OutboxCounts(waiting=0, sent=1)
    assert archive.n_sent == 1
    outbox.close()
    other.close()


@pytest.mark.parametrize(
    "url", ["https://ann:secret@pacs.example.org/web", "pacs.example.org", "ftp://pacs.example.org"]
)
def test_address_with_a_password_or_without_a_scheme_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as error:
        WebService(url)
    assert "secret" not in str(error.value)


def test_object_that_arrived_before_a_crash_is_not_sent_again(tmp_path: Path) -> None:
    content = report("arrived")
    uid = str(pydicom.dcmread(io.BytesIO(content)).SOPInstanceUID)
    archive, outbox = PretendedArchive(keeps=True, held={uid}), Outbox(tmp_path / "outbox.db")
    outbox.add(archive, content)
    assert outbox.send_due(archive) == OutboxCounts(waiting=0, sent=1)
    assert archive.n_sent == 0
    outbox.close()


def test_queue_refuses_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive, outbox = PretendedArchive(keeps=True, held=set()), Outbox(tmp_path / "outbox.db")
    outbox.add(archive, report("locked"))
    outbox.close()
    monkeypatch.setenv(KEY_VARIABLE, Fernet.generate_key().decode())
    again = Outbox(tmp_path / "outbox.db")
    with pytest.raises(ConfigError, match="not the key"):
        again.send_due(archive)
    again.close()


def test_object_that_failed_too_often_waits_for_a_person_and_can_be_tried_again(tmp_path: Path) -> None:
    times = iter(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(100))
    outbox = Outbox(tmp_path / "outbox.db", most_attempts=2, clock=lambda: next(times))
    lost, found = PretendedArchive(keeps=False, held=set()), PretendedArchive(keeps=True, held=set())
    outbox.add(lost, report("often"), case_id=7, kind="tid5000")
    outbox.send_due(lost)
    assert outbox.send_due(lost) == OutboxCounts(waiting=0, sent=0, failed=1)
    assert outbox.send_due(lost) == OutboxCounts(waiting=0, sent=0, failed=1)
    assert lost.n_sent == 2
    [row] = outbox.rows()
    assert (row.case_id, row.kind, row.state, row.attempts) == (7, "tid5000", OutboxState.FAILED, 2)
    assert "does not find the object" in row.reason
    outbox.retry(row.id)
    assert outbox.send_due(found) == OutboxCounts(waiting=0, sent=1)
    outbox.close()
