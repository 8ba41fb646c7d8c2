"""The receiver answers success only for what is on the disk, and only its peers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pydicom
import pytest
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import P_DATA

from fetal_hc.errors import ConfigError
from hc18.pacs.receiver import is_allowed, receiving
from hc18.pacs.site import Peer, Site
from hc18.pacs.spool import Spool
from hc18.pacs.vault import Vault
from tests.hc18.pacs.objects import associate, scanned, send
from tests.synthetic_dicom import SECRETS, to_bytes

NO_ROOM = 0xA700


@contextmanager
def receiver(site: Site) -> Iterator[tuple[Spool, list[str]]]:
    vault, said = Vault(), []
    limits = site.receiver
    spool = Spool(site.folder, vault, most_waiting=limits.most_waiting, keep_free_mb=limits.keep_free_mb)
    with spool.owned(), receiving(limits, spool, vault, said.append):
        yield spool, said


def test_object_is_spooled_as_it_was_sent_and_unreadable_without_the_key(site: Site) -> None:
    sent = scanned(1)
    with receiver(site) as (spool, _):
        assert send(site.receiver.port, sent) == [0x0000]
        [key] = spool.waiting()
        arrival = spool.read(key)
    assert arrival is not None
    assert arrival.sender == "SCANNER1"
    assert pydicom.dcmread(pydicom.filebase.DicomBytesIO(arrival.content)) == pydicom.dcmread(
        pydicom.filebase.DicomBytesIO(to_bytes(sent))
    )
    written = b"".join(file.read_bytes() + file.name.encode() for file in site.folder.rglob("*") if file.is_file())
    for secret in (*SECRETS, sent.SOPInstanceUID, sent.StudyInstanceUID):
        assert secret.encode() not in written


def test_echo_is_answered(site: Site) -> None:
    with receiver(site):
        association = associate(site.receiver.port)
        assert association.send_c_echo().Status == 0x0000
        association.release()


@pytest.mark.parametrize(("title", "called"), [("STRANGER", "FETALHC"), ("SCANNER1", "OTHER")])
def test_stranger_and_wrong_title_are_refused(site: Site, title: str, called: str) -> None:
    with receiver(site) as (_, said):
        asked = associate(site.receiver.port, title=title, called=called)
        assert not asked.is_established  # rejected; pynetdicom may see the connection close before it reads why
    assert (title == "STRANGER") == any("refused 'STRANGER' at 127.0.0.1" in line for line in said)


@pytest.mark.parametrize(
    ("peer", "is_in"),
    [(Peer("US1"), True), (Peer("US1", "10.0.0.5"), True), (Peer("US1", "10.0.0.6"), False), (Peer("US2"), False)],
)
def test_peer_is_known_by_title_and_address(peer: Peer, is_in: bool) -> None:
    assert is_allowed((peer,), "US1 ", "10.0.0.5") is is_in


def test_same_object_twice_is_one_file_and_another_content_a_second(site: Site) -> None:
    with receiver(site) as (spool, _):
        assert send(site.receiver.port, scanned(1), scanned(1), scanned(1, ImageComments="another")) == [0, 0, 0]
        assert len(spool.waiting()) == 2


def test_sender_is_told_to_come_back_when_too_much_waits(site: Site) -> None:
    site = replace(site, receiver=replace(site.receiver, most_waiting=2))
    with receiver(site) as (spool, said):
        assert send(site.receiver.port, scanned(1), scanned(2), scanned(3), scanned(2)) == [0, 0, NO_ROOM, 0]
        assert "2 images wait for their measurement" in said[0]
        spool.remove(spool.waiting()[0])
        assert send(site.receiver.port, scanned(3)) == [0]


def test_sender_is_told_to_come_back_when_the_disk_is_full(site: Site) -> None:
    site = replace(site, receiver=replace(site.receiver, keep_free_mb=10**9))
    with receiver(site) as (spool, said):
        assert send(site.receiver.port, scanned(1)) == [NO_ROOM]
        assert spool.waiting() == []
    assert "MB are free on the disk of the spool" in said[0]


def test_association_that_breaks_off_keeps_what_was_complete(site: Site) -> None:
    with receiver(site) as (spool, said):
        association = associate(site.receiver.port)
        assert association.send_c_store(scanned(1)).Status == 0x0000
        break_off_within_an_object(association)
        deadline = threading.Event()
        for _ in range(100):
            if said:
                break
            deadline.wait(0.05)
        assert len(spool.waiting()) == 1
        assert send(site.receiver.port, scanned(2)) == [0x0000]
    assert "SCANNER1 broke its association off" in said[0]


def break_off_within_an_object(association: Association) -> None:
    """Sends the first part of a command and then nothing more."""
    part = P_DATA()
    part.presentation_data_value_list = [[association.accepted_contexts[0].context_id, b"\x01\x00\x00"]]
    association.dul.send_pdu(part)
    association.abort()


def test_second_receiver_on_one_spool_is_refused(site: Site) -> None:
    with receiver(site), pytest.raises(ConfigError, match="another receiver uses this folder"), receiver(site):
        pass


def test_address_in_use_is_named(site: Site) -> None:
    other = replace(site, folder=site.folder / "other")
    with receiver(site), pytest.raises(ConfigError, match="cannot be listened on"), receiver(other):
        pass


def test_receiver_without_peers_does_not_start(site: Site) -> None:
    with (
        pytest.raises(ConfigError, match="no peers"),
        receiver(replace(site, receiver=replace(site.receiver, peers=()))),
    ):
        pass
