"""A hospital in small: an archive, a scanner that sends again until it succeeds, the receiver, and a reviewer."""

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import requests
from pydicom.dataset import Dataset

from hc18.measurement.head_model import bundled_model_path
from hc18.pacs.inbox import Inbox
from hc18.pacs.inbox_tables import InstanceRow, InstanceState
from hc18.pacs.outbox import OUTBOX_NAME, Outbox, OutboxCounts
from hc18.pacs.service import serve
from hc18.pacs.site import Site
from hc18.pacs.vault import KEY_VARIABLE, Vault
from hc18.reviews.measuring import read_model
from hc18.reviews.models import CaseId, ReviewAction, StoreError
from hc18.reviews.queue import QueueFilter, QueueView
from hc18.reviews.store import ReviewStore
from tests.hc18.pacs.objects import associate, clip, scanned
from tests.hc18.pacs.orthanc_server import Orthanc

PATIENCE_S = 240.0  # the machine may be busy
COUNTING_FILTER = """
function ReceivedInstanceFilter(dicom, origin)
  print('RECEIVED ' .. dicom['SOPInstanceUID'])
  return true
end
"""  # Orthanc calls it for every object that it is sent, whether it has it already or not


def mixed_objects(count: int) -> list[Dataset]:
    """Objects of every kind: of ten, six single, two clips, one without a calibration, one that may show a name."""
    made = []
    for number in range(count):
        kind = number % 10
        if kind in (3, 6):
            made.append(clip(number, n_frames=3))
        elif kind == 8:
            made.append(scanned(number, calibrated=False))
        elif kind == 9:
            made.append(scanned(number, SequenceOfUltrasoundRegions=None, BurnedInAnnotation="YES"))
        else:
            made.append(scanned(number))
    return made


def run_service(site: Site, store_path: str, key: str, log: str) -> None:
    """The receiver, in a process of its own."""
    os.environ[KEY_VARIABLE] = key
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
    with Path(log).open("a", encoding="utf-8") as file, ReviewStore(store_path) as store:

        def say(sentence: str) -> None:
            file.write(f"{sentence}\n")
            file.flush()

        model = read_model(bundled_model_path(), num_threads=1)
        serve(site, store, model, say=say, is_stopped=lambda: bool(stopped))


@dataclass
class Hospital:
    """What belongs to one site, and its receiver, which can be killed and started again.

    Attributes:
        site: its settings.
        store_path: of the review store.
        orthanc: the archive.
        log: of the receiver.
    """

    site: Site
    store_path: str
    orthanc: Orthanc
    log: Path
    _receiver: BaseProcess | None = field(default=None)

    def start(self) -> None:
        """Starts the receiver; it may take a second until it listens."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.hc18.pacs.hospital"])
        arguments = (self.site, self.store_path, os.environ[KEY_VARIABLE], str(self.log))
        self._receiver = context.Process(target=run_service, args=arguments)
        self._receiver.start()

    def kill(self) -> None:
        """Ends the receiver at once."""
        assert self._receiver is not None
        assert self._receiver.is_alive(), self.log.read_text(encoding="utf-8")
        self._receiver.kill()
        self._receiver.join()

    def stop(self) -> None:
        """Ends the receiver in order."""
        if self._receiver is not None and self._receiver.is_alive():
            self._receiver.terminate()
            self._receiver.join(timeout=60)
            assert self._receiver.exitcode == 0, self.log.read_text(encoding="utf-8")

    def rows(self) -> list[InstanceRow]:
        """What arrived."""
        inbox = Inbox(self.site, Vault())
        try:
            return inbox.rows()
        finally:
            inbox.close()

    def counts(self) -> OutboxCounts:
        """How the reports stand."""
        outbox = Outbox(self.site.folder / OUTBOX_NAME)
        try:
            return outbox.counts()
        finally:
            outbox.close()

    def received_by_archive(self) -> Counter[str]:
        """How often the archive was sent each object."""
        log = (self.orthanc.folder / "log").read_text(encoding="utf-8", errors="replace")
        return Counter(line.rpartition("RECEIVED ")[2].strip() for line in log.splitlines() if "RECEIVED " in line)


def send_until_taken(port: int, objects: Sequence[Dataset], *, patience_s: float = PATIENCE_S) -> None:
    """Sends objects as a scanner does: each again and again until success is answered."""
    ends, waiting = time.monotonic() + patience_s, list(objects)
    while waiting:
        assert time.monotonic() < ends, f"{len(waiting)} objects were never taken"
        association = associate(port)
        if not association.is_established:
            time.sleep(0.1)
            continue
        while waiting and association.is_established:
            answer = association.send_c_store(waiting[0])
            if answer.get("Status") != 0x0000:
                break
            waiting.pop(0)
        if association.is_established:
            association.release()


def sign_what_is_measured(store: ReviewStore) -> list[CaseId]:
    """Accepts and signs every case that has millimetres and that nobody has decided on; those that were signed."""
    signed = []
    for case_id in store.ids(QueueView(QueueFilter.UNREVIEWED)):
        state = store.state(case_id)
        if state.outline.hc_mm is None:
            continue
        try:
            state = store.append(case_id, state.revision, ReviewAction.ACCEPT, "Dr A")
            store.append(case_id, state.revision, ReviewAction.SIGN, "Dr A")
        except StoreError:  # busy: the next look finds it again
            continue
        signed.append(case_id)
    return signed


def wait_until(holds: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Waits until something holds."""
    ends = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < ends, what
        time.sleep(0.2)


def is_settled(rows: Sequence[InstanceRow], count: int) -> bool:
    """Whether that many objects arrived and each became a case, waits or failed."""
    return len(rows) == count and all(row.state is not InstanceState.RECEIVED for row in rows)


def push_from_archive(orthanc: Orthanc, name: str) -> None:
    """Lets the archive send everything it has to one of its peers."""
    instances = requests.get(f"{orthanc.rest}/instances", timeout=60).json()
    answer = requests.post(f"{orthanc.rest}/modalities/{name}/store", json=instances, timeout=PATIENCE_S)
    assert answer.ok, answer.text
