"""The receiver killed at random moments while images arrive, are measured and signed, and reports go back.

`python -m tests.faults.killed_hospital --kills 20 --count 30` prints what was held; exit code 1 and the reason if not.
"""

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.fernet import Fernet
from pydicom.dataset import Dataset

from hc18.pacs.inbox_tables import InstanceState
from hc18.pacs.site import Peer, ReceiverSettings, ReportKind, ReportSettings, Site
from hc18.pacs.vault import KEY_VARIABLE
from hc18.reviews.store import ReviewStore
from tests.app.conftest import free_port
from tests.hc18.pacs.hospital import (
    COUNTING_FILTER,
    PATIENCE_S,
    Hospital,
    is_settled,
    mixed_objects,
    send_until_taken,
    sign_what_is_measured,
    wait_until,
)
from tests.hc18.pacs.objects import PEER
from tests.hc18.pacs.orthanc_server import Orthanc, running_orthanc

LONGEST_LIFE_S = 6.0  # of a receiver before it is killed; it needs about two to begin


@dataclass(frozen=True)
class Held:
    """What was found when everything had come to rest.

    Attributes:
        n_objects: that were sent and taken.
        n_cases: in the review store.
        n_signed: of these.
        n_reports: in the archive.
        n_twice: reports that the archive was sent more than once.
        kills_while: what the receiver was doing when it was killed, by its last line.
    """

    n_objects: int
    n_cases: int
    n_signed: int
    n_reports: int
    n_twice: int
    kills_while: tuple[str, ...]


def kill_often(folder: Path, orthanc: Orthanc, objects: Sequence[Dataset], *, n_kills: int, seed: int) -> Held:
    """Sends objects, signs what is measured and kills the receiver at random moments; then lets it finish.

    Raises:
        AssertionError: if something is lost, doubled or never finished.
    """
    moments = random.Random(seed)
    receiver = ReceiverSettings(port=free_port(), peers=(Peer(PEER),), keep_free_mb=1)
    site = Site(folder / "state", True, True, receiver, {"pacs": orthanc.network}, ReportSettings("pacs"))
    hospital = Hospital(site, str(folder / "reviews.db"), orthanc, folder / "receiver.log")
    hospital.log.touch()
    (folder / "state").mkdir()
    with ReviewStore(hospital.store_path) as store:
        signed, is_over, sender = set[int](), threading.Event(), _started_sender(receiver.port, objects)
        reviewer = threading.Thread(target=_sign_until, args=(store, signed, is_over))
        reviewer.start()
        lines = []
        try:
            for _ in range(n_kills):
                hospital.start()
                time.sleep(moments.uniform(0.0, LONGEST_LIFE_S))
                hospital.kill()
                lines.append(_last_line(hospital.log))
            hospital.start()
            sender.join(timeout=PATIENCE_S)
            assert not sender.is_alive(), "not every object was taken"
            wait_until(lambda: is_settled(hospital.rows(), len(objects)), "not every object was measured")
            wait_until(lambda: sign_what_is_measured(store) == [], "not every case was signed")
        finally:
            is_over.set()
            reviewer.join()
        n_signed = sum(row.is_signed for row in store.rows())
        wait_until(lambda: hospital.counts().sent >= n_signed * len(ReportKind), "not every report was sent")
        hospital.stop()
        return _check(hospital, store, objects, tuple(lines))


def _started_sender(port: int, objects: Sequence[Dataset]) -> threading.Thread:
    sender = threading.Thread(target=send_until_taken, args=(port, objects), kwargs={"patience_s": 4 * PATIENCE_S})
    sender.daemon = True
    sender.start()
    return sender


def _sign_until(store: ReviewStore, signed: set[int], is_over: threading.Event) -> None:
    while not is_over.wait(0.5):
        signed.update(sign_what_is_measured(store))


def _check(hospital: Hospital, store: ReviewStore, objects: Sequence[Dataset], lines: tuple[str, ...]) -> Held:
    """Nothing is lost, nothing is doubled, and the record is intact."""
    rows, counts, received = hospital.rows(), hospital.counts(), hospital.received_by_archive()
    assert len(rows) == len({row.key for row in rows}) == len(objects)
    given_up = [row.reason for row in rows if row.state is InstanceState.FAILED]
    assert not given_up, given_up
    cases = {case_id for row in rows for case_id in row.case_ids}
    known = list(store.rows())
    assert cases == {row.case_id for row in known}, "a case without its object, or an object without its case"
    n_signed = sum(row.is_signed for row in known)
    assert (counts.waiting, counts.failed) == (0, 0)
    assert counts.sent == len(received) == n_signed * len(ReportKind)
    assert store.verify().problems == ()
    n_twice = sum(times > 1 for times in received.values())
    assert n_twice == 0, f"{n_twice} reports were sent twice"
    return Held(len(rows), len(cases), n_signed, len(received), n_twice, lines)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8").splitlines()
    return lines[-1] if lines else "starting"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--count", type=int, default=30, help="objects that are sent")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    os.environ[KEY_VARIABLE] = Fernet.generate_key().decode()
    with tempfile.TemporaryDirectory() as name:
        folder, archive = Path(name), Path(name) / "orthanc"
        archive.mkdir()
        with counting_orthanc(archive) as orthanc:
            held = kill_often(folder, orthanc, mixed_objects(options.count), n_kills=options.kills, seed=options.seed)
    for line in held.kills_while:
        print(f"killed after: {line}")
    print(replace(held, kills_while=()))
    return 0


def counting_orthanc(folder: Path) -> AbstractContextManager[Orthanc]:
    """An Orthanc that notes every object it is sent."""
    (folder / "count.lua").write_text(COUNTING_FILTER, encoding="utf-8")
    return running_orthanc(folder, LuaScripts=[str(folder / "count.lua")])


if __name__ == "__main__":
    sys.exit(main())
