"""A site for the picture of the page Worklist: phantoms that arrived, and reports that are sent, wait or failed."""

from __future__ import annotations

import io
import os
from pathlib import Path

from cryptography.fernet import Fernet
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage

from hc18.pacs import SITE_VARIABLE
from hc18.pacs.inbox import Inbox
from hc18.pacs.inbox_tables import Finished, InstanceState
from hc18.pacs.outbox import OUTBOX_NAME, Outbox
from hc18.pacs.returns import queue_reports
from hc18.pacs.site import read_site
from hc18.pacs.spool import Arrival, key_of
from hc18.pacs.vault import KEY_VARIABLE, Vault
from hc18.reviews.models import CaseId
from hc18.reviews.queue import ALL_CASES, QueueFilter, QueueView
from hc18.reviews.store import ReviewStore, now_utc

_SETTINGS = """
folder = "site"
keep_references = true
[[archive]]
name = "Radiology"
url = "http://127.0.0.1:9/dicom-web"
[reports]
to = "Radiology"
attempts = 1
"""
_WAITS = "The file does not say where the ultrasound picture lies. Open it and choose the part that may be shown."


class _Archive:
    """Takes every report, without a network."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._held: set[bytes] = set()

    def identify(self, content: bytes) -> str:
        return str(hash(content))

    def send(self, content: bytes) -> None:
        self._held.add(content)

    def holds(self, content: bytes) -> bool:
        return content in self._held


def fill_site(folder: Path, store_path: Path) -> None:
    """Writes a site whose inbox holds the cases of a store, and names it in the environment of this process."""
    (folder / "site.toml").write_text(_SETTINGS, encoding="utf-8")
    os.environ[SITE_VARIABLE] = str(folder / "site.toml")
    os.environ[KEY_VARIABLE] = Fernet.generate_key().decode()
    site = read_site()
    if site is None or site.destination is None:
        raise RuntimeError("the site of the pictures names no archive")
    inbox, outbox = Inbox(site, Vault()), Outbox(site.folder / OUTBOX_NAME, most_attempts=1)
    with ReviewStore(str(store_path)) as store:
        refused = store.ids(QueueView(QueueFilter.SIGNED))[-1]
        for case_id in store.ids(ALL_CASES):
            if case_id != refused:
                inbox.link(case_id, _object(case_id), None, "US1")
        archive = _Archive(site.destination.name)
        queue_reports(inbox, outbox, store, archive, site.reports)
        outbox.send_due(archive)
        inbox.link(refused, _object(refused), None, "US1")
        queue_reports(inbox, outbox, store, site.destination, site.reports)
        outbox.send_due(site.destination)  # nobody listens there
    _let_wait(inbox, 99)
    inbox.close()
    outbox.close()


def _let_wait(inbox: Inbox, number: int) -> None:
    """An object that a person has to prepare."""
    content = _object(number)
    arrival = Arrival(key_of(Vault(), f"2.25.{number}", content), "US2", now_utc(), content)
    inbox.spool.put(arrival.key, arrival.sender, arrival.received_at, content)
    inbox.begin([arrival])
    inbox.finish([Finished(arrival, InstanceState.WAITS, _WAITS)])
    inbox.spool.keep(arrival.key)


def _object(number: int | CaseId) -> bytes:
    """A DICOM file with nothing but UIDs."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = UltrasoundImageStorage
    dataset.SOPInstanceUID = f"2.25.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.1000", "2.25.1001"
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
