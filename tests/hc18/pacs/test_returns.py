"""The reports of signed cases are queued once for each signature, for every image that the case comes from."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from fetal_hc.errors import ConfigError
from hc18.pacs.archive import NetworkArchive
from hc18.pacs.fhir_server import FhirServer
from hc18.pacs.inbox import Inbox
from hc18.pacs.outbox import Outbox
from hc18.pacs.returns import queue_reports
from hc18.pacs.site import ReportKind, ReportSettings, Site
from hc18.pacs.vault import Vault
from hc18.pacs.web import WebService
from hc18.reviews.models import CaseId, ReviewAction
from hc18.reviews.store import ReviewStore
from tests.hc18.pacs.objects import scanned
from tests.hc18.pacs.strict_fhir_server import running_fhir_server
from tests.hc18.reviews.cases import new_case
from tests.synthetic_dicom import to_bytes

ARCHIVE = NetworkArchive("127.0.0.1", 1, "PACS")


@dataclass
class Desk:
    """Inbox, outbox and store of a site."""

    inbox: Inbox
    outbox: Outbox
    store: ReviewStore

    def case_of(self, *objects: Dataset, number: int = 1) -> CaseId:
        case_id = self.store.register_case(new_case(number), "DICOM receiver").case_id
        for item in objects:
            self.inbox.link(case_id, to_bytes(item), None, "SCANNER1")
        return case_id

    def act(self, case_id: CaseId, *actions: ReviewAction, reason: str = "") -> None:
        for action in actions:
            self.store.append(case_id, self.store.state(case_id).revision, action, "Dr A", reason=reason)

    def queue(self, *kinds: ReportKind) -> int:
        settings = ReportSettings("pacs", kinds or tuple(ReportKind))
        return queue_reports(self.inbox, self.outbox, self.store, ARCHIVE, settings)


@pytest.fixture
def desk(site: Site, review_store: ReviewStore) -> Iterator[Desk]:
    inbox, outbox = Inbox(site, Vault()), Outbox(site.folder / "outbox.db")
    yield Desk(inbox, outbox, review_store)
    inbox.close()
    outbox.close()


def test_only_signed_cases_of_an_archive_are_queued_and_once(desk: Desk) -> None:
    case_id, unsigned, local = desk.case_of(scanned(1)), desk.case_of(scanned(2), number=2), desk.case_of(number=3)
    desk.act(unsigned, ReviewAction.ACCEPT)
    desk.act(local, ReviewAction.ACCEPT, ReviewAction.SIGN)
    assert desk.queue() == 0
    desk.act(case_id, ReviewAction.ACCEPT, ReviewAction.SIGN)
    assert desk.queue() == 1
    assert desk.queue() == 0
    assert {(row.case_id, row.kind) for row in desk.outbox.rows()} == {(case_id, kind.value) for kind in ReportKind}


def test_killed_before_it_was_noted_nothing_is_queued_twice(desk: Desk) -> None:
    case_id = desk.case_of(scanned(1))
    desk.act(case_id, ReviewAction.ACCEPT, ReviewAction.SIGN)
    desk.queue()
    desk.inbox.note_returned(case_id, 0)
    assert desk.queue() == 1
    assert len(desk.outbox.rows()) == len(ReportKind)


def test_case_that_is_signed_again_has_new_reports(desk: Desk) -> None:
    case_id = desk.case_of(scanned(1))
    desk.act(case_id, ReviewAction.ACCEPT, ReviewAction.SIGN)
    desk.queue()
    desk.act(case_id, ReviewAction.REOPEN, ReviewAction.SIGN, reason="again")
    assert desk.queue() == 1
    assert len(desk.outbox.rows()) == 2 * len(ReportKind)


def test_every_image_of_a_case_gets_its_own_reports(desk: Desk) -> None:
    case_id = desk.case_of(scanned(1), scanned(1, SOPInstanceUID="1.2.9", StudyInstanceUID="1.2.7"))
    desk.act(case_id, ReviewAction.ACCEPT, ReviewAction.SIGN)
    desk.queue(ReportKind.TID5000)
    sent: list[Dataset] = []
    desk.outbox.send_due(Recording(sent))
    assert {item.StudyInstanceUID for item in sent} == {scanned(1).StudyInstanceUID, "1.2.7"}
    assert {item.PatientID for item in sent} == {""}


@dataclass
class Recording:
    """An archive that keeps what it gets."""

    sent: list[Dataset]
    name: str = ARCHIVE.name

    def identify(self, content: bytes) -> str:
        return str(read(content).SOPInstanceUID)

    def send(self, content: bytes) -> None:
        self.sent.append(read(content))

    def holds(self, content: bytes) -> bool:
        return self.identify(content) in [str(item.SOPInstanceUID) for item in self.sent]


def read(content: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(content))


def test_patient_is_in_the_reports_where_the_site_keeps_it(desk: Desk, site: Site) -> None:
    inbox = Inbox(replace(site, keep_patient=True), Vault())
    own = Desk(inbox, desk.outbox, desk.store)
    case_id = own.case_of(scanned(1))
    own.act(case_id, ReviewAction.ACCEPT, ReviewAction.SIGN)
    own.queue()
    sent: list[Dataset] = []
    own.outbox.send_due(Recording(sent))
    assert [(item.PatientID, item.PatientName) for item in sent] == [("PID-1-SECRET", "Identitas^Planta")] * 3
    inbox.close()


def test_rejected_case_has_no_report_and_a_reason(desk: Desk) -> None:
    case_id = desk.case_of(scanned(1))
    desk.act(case_id, ReviewAction.REJECT, ReviewAction.SIGN, reason="not the plane")
    assert desk.queue() == 0
    revision, reason = desk.inbox.returned()[case_id]
    assert revision == desk.store.state(case_id).revision
    assert "The reviewer rejected the measurement." in reason
    assert desk.outbox.rows() == []


def test_another_review_store_is_refused(desk: Desk, tmp_path: Path) -> None:
    desk.case_of(scanned(1))
    desk.inbox.bind(desk.store)
    with ReviewStore(str(tmp_path / "other.db")) as other:
        other.register_case(new_case(5), "somebody")
        with pytest.raises(ConfigError, match="became cases of another review store"):
            queue_reports(desk.inbox, desk.outbox, other, ARCHIVE, ReportSettings("pacs"))


def test_observation_goes_to_the_fhir_server_with_the_patient_that_the_site_keeps(
    site: Site, review_store: ReviewStore
) -> None:
    known = replace(site, keep_references=True, keep_patient=True)
    inbox, outbox = Inbox(known, Vault()), Outbox(site.folder / "outbox.db")
    desk = Desk(inbox, outbox, review_store)
    accepted, rejected = desk.case_of(scanned(1)), desk.case_of(scanned(2), number=2)
    desk.act(accepted, ReviewAction.ACCEPT, ReviewAction.SIGN)
    desk.act(rejected, ReviewAction.REJECT, reason="not the plane")
    desk.act(rejected, ReviewAction.SIGN)
    with running_fhir_server() as server:
        fhir = FhirServer(WebService(server.url))
        for _ in range(2):
            queue_reports(inbox, outbox, review_store, None, known.reports, fhir)
            outbox.send_due(fhir)
        assert sorted(one["status"] for one in server.held.values()) == ["cancelled", "final"]
        assert all(one["subject"]["identifier"]["value"] for one in server.held.values())
        assert server.n_posts == 2
    inbox.close()
    outbox.close()
