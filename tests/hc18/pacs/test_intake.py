"""Received objects become cases as uploads do; what cannot be measured waits for a person with a reason."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pytest
from pydicom.dataset import Dataset

from hc18.dicom.identifiers import Identifiers
from hc18.pacs.inbox import Inbox
from hc18.pacs.inbox_tables import InboxError, InstanceState
from hc18.pacs.intake import MOST_ATTEMPTS, RECEIVER, Taken, take_in
from hc18.pacs.site import Site
from hc18.pacs.spool import key_of
from hc18.pacs.vault import Vault
from hc18.reviews.images import StillImage, clip_code, open_dicom
from hc18.reviews.measuring import Model, Sizes, measure_still
from hc18.reviews.models import CaseId
from hc18.reviews.store import ReviewStore
from hc18.reviews.worklist import read_tags
from tests.hc18.pacs.objects import STUDY, clip, phantom, scanned
from tests.synthetic_dicom import SECRETS, to_bytes

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


@dataclass
class Desk:
    """Spool, inbox, store and model of one site."""

    site: Site
    inbox: Inbox
    store: ReviewStore
    model: Model

    def receive(self, *objects: Dataset | bytes) -> None:
        for item in objects:
            content = item if isinstance(item, bytes) else to_bytes(item)
            uid = "1.2.3" if isinstance(item, bytes) else str(item.SOPInstanceUID)
            self.inbox.spool.put(key_of(Vault(), uid, content), "SCANNER1", NOW, content)

    def take_in(self) -> Taken:
        total = Taken()
        with ThreadPoolExecutor(2) as pool:
            while (taken := take_in(self.inbox, self.store, self.model, pool)).n_objects:
                total += taken
        return total


@pytest.fixture
def desk(site: Site, review_store: ReviewStore, head_model: Model) -> Iterator[Desk]:
    inbox = Inbox(site, Vault())
    yield Desk(site, inbox, review_store, head_model)
    inbox.close()


def test_object_becomes_the_case_that_an_upload_becomes(desk: Desk) -> None:
    desk.receive(scanned(1))
    assert desk.take_in() == Taken(n_measured=1)
    [row] = desk.inbox.rows()
    state = desk.store.state(row.case_ids[0])
    still = open_dicom("upload.dcm", to_bytes(scanned(1)))
    assert isinstance(still, StillImage)
    upload = measure_still(desk.model, still, Sizes({}, None, ""))
    assert (state.measurement, state.calibration) == (upload.measurement, upload.calibration)
    assert state.outline.hc_mm == pytest.approx(phantom(1).hc_mm, rel=0.05)
    assert desk.store.events(row.case_ids[0])[0].reviewer == RECEIVER
    assert (row.state, row.reason, row.sender, row.received_at) == (InstanceState.MEASURED, "", "SCANNER1", NOW)
    assert desk.inbox.spool.waiting() == []
    assert desk.inbox.content(row.key) is None


def test_object_that_comes_again_later_is_no_second_case(desk: Desk) -> None:
    desk.receive(scanned(1))
    desk.take_in()
    desk.receive(scanned(1))
    assert desk.take_in() == Taken(n_repeated=1)
    assert len(desk.inbox.rows()) == 1
    assert desk.store.progress().n_cases == 1


def test_another_content_under_one_uid_is_kept_and_named_and_measured_on_demand(desk: Desk) -> None:
    desk.receive(scanned(1))
    desk.take_in()
    other = scanned(2, SOPInstanceUID=f"{STUDY}.1.1.1", PatientID="PID-1-SECRET")
    desk.receive(other)
    assert desk.take_in() == Taken(n_waiting=1)
    row = desk.inbox.rows(InstanceState.WAITS)[0]
    assert "same UID and another content came before (from SCANNER1, 2026-01-02 03:04 UTC)" in row.reason
    assert desk.inbox.content(row.key) == to_bytes(other)
    desk.inbox.retry(row.key)
    assert desk.take_in() == Taken(n_measured=1)
    assert desk.store.progress().n_cases == 2


def test_same_pixels_under_two_uids_are_one_case_with_two_origins(desk: Desk) -> None:
    desk.receive(scanned(1), scanned(1, SOPInstanceUID="1.2.9", SeriesInstanceUID="1.2.8"))
    assert desk.take_in() == Taken(n_measured=2)
    first, second = desk.inbox.rows()
    assert first.case_ids == second.case_ids
    uids = [origin.reference.sop_instance_uid for origin in desk.inbox.origins(first.case_ids[0])]
    assert uids == [f"{STUDY}.1.1.1", "1.2.9"]


def test_same_pixels_of_another_patient_are_not_linked(desk: Desk) -> None:
    desk.receive(scanned(1))
    desk.take_in()
    stranger = scanned(1, SOPInstanceUID="1.2.9", PatientID="ANOTHER-SECRET")
    desk.receive(stranger)
    assert desk.take_in() == Taken(n_waiting=1)
    row, first = desk.inbox.rows()
    assert "of another patient" in row.reason
    assert (row.case_ids, row.has_reference) == ((), False)
    assert len(desk.inbox.origins(first.case_ids[0])) == 1
    with pytest.raises(InboxError, match="of another patient"):
        desk.inbox.link(first.case_ids[0], to_bytes(stranger), None, "web")


def test_object_without_calibration_is_a_case_that_waits_for_a_pixel_size(desk: Desk) -> None:
    desk.receive(scanned(1, calibrated=False))
    assert desk.take_in() == Taken(n_waiting=1)
    [row] = desk.inbox.rows()
    state = desk.store.state(row.case_ids[0])
    assert (state.outline.hc_mm, state.is_flagged) == (None, True)
    assert row.reason == state.calibration.detail


def test_object_that_may_show_a_name_waits_with_its_content_and_no_picture_is_stored(desk: Desk) -> None:
    burned_in = scanned(1, SequenceOfUltrasoundRegions=None, BurnedInAnnotation="YES")
    desk.receive(burned_in)
    assert desk.take_in() == Taken(n_waiting=1)
    [row] = desk.inbox.rows()
    assert "a name may be burned into it" in row.reason
    assert desk.store.progress().n_cases == 0
    assert desk.inbox.content(row.key) == to_bytes(burned_in)
    assert desk.take_in() == Taken()
    desk.inbox.settle(row.key, {CaseId(7): None})
    assert [(row.state, row.case_ids) for row in desk.inbox.rows()] == [(InstanceState.MEASURED, (7,))]
    assert desk.inbox.content(row.key) is None


def test_best_frames_of_a_clip_become_cases_of_one_examination(desk: Desk) -> None:
    desk.receive(clip(1))
    assert desk.take_in() == Taken(n_measured=1)
    [row] = desk.inbox.rows()
    assert 1 <= len(row.case_ids) <= 3
    frames = [desk.inbox.origins(case_id)[0].reference.frame_number for case_id in row.case_ids]
    assert frames == sorted({frame for frame in frames if frame})
    opened = open_dicom("clip", to_bytes(clip(1)))
    assert not isinstance(opened, StillImage)
    with desk.store.reader() as connection:
        assert {read_tags(connection, case_id).examination for case_id in row.case_ids} == {clip_code(opened)}


def test_clip_without_a_head_waits_for_a_person(desk: Desk) -> None:
    desk.receive(scanned(1, pixels=np.zeros((2, 270, 400), np.uint8)))
    assert desk.take_in() == Taken(n_waiting=1)
    assert "No frame of the clip has a head" in desk.inbox.rows()[0].reason


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (scanned(1, PixelData=None), "holds no picture"),
        (scanned(1, Modality="CT"), "computed tomography"),
        (b"\0" * 200, "not a DICOM file"),
    ],
)
def test_object_that_cannot_be_read_fails_with_a_reason_and_is_kept(
    desk: Desk, damaged: Dataset | bytes, reason: str
) -> None:
    desk.receive(damaged, scanned(2))
    assert desk.take_in() == Taken(n_measured=1, n_failed=1)
    [row] = desk.inbox.rows(InstanceState.FAILED)
    assert reason in row.reason
    assert desk.inbox.content(row.key) is not None


def test_object_that_ended_the_program_again_and_again_is_given_up_after_all_others(desk: Desk) -> None:
    desk.receive(scanned(1))
    [key] = desk.inbox.spool.waiting()
    arrival = desk.inbox.spool.read(key)
    assert arrival is not None
    for _ in range(MOST_ATTEMPTS):  # each time the program was killed before it could finish
        desk.inbox.begin([arrival])
    desk.receive(scanned(2))
    with ThreadPoolExecutor(1) as pool:
        assert take_in(desk.inbox, desk.store, desk.model, pool) == Taken(n_measured=1)
        assert take_in(desk.inbox, desk.store, desk.model, pool) == Taken(n_failed=1)
    assert f"ended unfinished {MOST_ATTEMPTS} times" in desk.inbox.rows(InstanceState.FAILED)[0].reason


def test_killed_between_case_and_row_nothing_is_doubled(desk: Desk) -> None:
    desk.receive(scanned(1))
    still = open_dicom("object", to_bytes(scanned(1)))
    assert isinstance(still, StillImage)
    desk.store.register_case(measure_still(desk.model, still, Sizes({}, None, "")), RECEIVER)
    assert desk.take_in() == Taken(n_measured=1)
    assert desk.store.progress().n_cases == 1


@pytest.mark.parametrize(("keeps", "n_references"), [(True, 1), (False, 0)])
def test_references_are_kept_only_where_the_site_says_so_and_encrypted(
    desk: Desk, keeps: bool, n_references: int
) -> None:
    inbox = Inbox(replace(desk.site, keep_references=keeps), Vault())
    own = replace_inbox(desk, inbox)
    own.receive(scanned(1))
    own.take_in()
    [row] = inbox.rows()
    assert len(inbox.origins(row.case_ids[0])) == n_references
    assert all(origin.identifiers == Identifiers() for origin in inbox.origins(row.case_ids[0]))
    inbox.close()
    written = b"".join(file.read_bytes() for file in desk.site.folder.rglob("*") if file.is_file())
    for secret in (*SECRETS, STUDY):
        assert secret.encode() not in written


def replace_inbox(desk: Desk, inbox: Inbox) -> Desk:
    return Desk(desk.site, inbox, desk.store, desk.model)


def test_patient_is_kept_where_the_site_says_so(desk: Desk) -> None:
    inbox = Inbox(replace(desk.site, keep_patient=True), Vault())
    own = replace_inbox(desk, inbox)
    own.receive(scanned(1))
    own.take_in()
    case_id = inbox.rows()[0].case_ids[0]
    [origin] = inbox.origins(case_id)
    assert origin.identifiers.patient_id == "PID-1-SECRET"
    assert inbox.linked_cases() == [case_id]
    inbox.close()


def test_case_of_a_searched_archive_is_linked_without_the_spool(desk: Desk) -> None:
    desk.inbox.link(CaseId(3), to_bytes(scanned(1)), None, "web")
    desk.inbox.link(CaseId(3), to_bytes(scanned(1)), None, "web")
    [row] = desk.inbox.rows()
    assert (row.sender, row.state, row.case_ids) == ("web", InstanceState.MEASURED, (3,))
