"""The receiver as a service: receives, measures and sends reports back until it is stopped."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from fetal_hc import DISCLAIMER
from fetal_hc.errors import ConfigError
from hc18.pacs.archive import Archive
from hc18.pacs.fhir_server import FhirServer
from hc18.pacs.inbox import Inbox
from hc18.pacs.intake import Taken, take_in
from hc18.pacs.outbox import OUTBOX_NAME, Outbox
from hc18.pacs.receiver import receiving
from hc18.pacs.returns import queue_reports
from hc18.pacs.site import Site
from hc18.pacs.vault import Vault
from hc18.reviews.measuring import MOST_WORKERS, Model
from hc18.reviews.models import StoreError
from hc18.reviews.store import ReviewStore

_IDLE_SECONDS = 0.2
_BETWEEN_LINES_SECONDS = 2.0
_AFTER_ERROR_SECONDS = 5.0
_BETWEEN_REPORTS_SECONDS = 2.0


def serve(
    site: Site, store: ReviewStore, model: Model, *, say: Callable[[str], None], is_stopped: Callable[[], bool]
) -> None:
    """Runs the service.

    Args:
        site: its settings.
        store: that gets the cases.
        model: whose network uses one thread for an image.
        say: takes lines for the operator; none names a patient or an object.
        is_stopped: whether to end; what is being measured is finished first.

    Raises:
        ConfigError: if the settings, the key or the address cannot be used.
        StoreError: if the database of the inbox cannot be opened.
    """
    vault = Vault()
    inbox = Inbox(site, vault)
    n_workers = min(os.cpu_count() or 1, MOST_WORKERS)
    try:
        inbox.bind(store)
        with (
            inbox.spool.owned(),
            receiving(site.receiver, inbox.spool, vault, say),
            ThreadPoolExecutor(n_workers, thread_name_prefix="measure") as pool,
            _sending(site, inbox, store, say),
        ):
            settings = site.receiver
            say(f"{DISCLAIMER} Receiving as {settings.ae_title} at {settings.address}:{settings.port}.")
            _work(inbox, store, model, pool, say, is_stopped)
    finally:
        inbox.close()


@contextmanager
def _sending(site: Site, inbox: Inbox, store: ReviewStore, say: Callable[[str], None]) -> Iterator[None]:
    """Within the block a thread sends the reports of signed cases; nothing without a destination."""
    archive, fhir = site.destination, None if site.fhir is None else FhirServer(site.fhir)
    targets: list[Archive] = [target for target in (archive, fhir) if target is not None]
    if not targets:
        yield
        return
    outbox = Outbox(site.folder / OUTBOX_NAME, most_attempts=site.reports.attempts)
    outbox.release()
    is_over = threading.Event()

    def send() -> None:
        told = outbox.counts()
        while not is_over.is_set():
            try:
                queue_reports(inbox, outbox, store, archive, site.reports, fhir)
                for target in targets:
                    outbox.send_due(target)
                counts = outbox.counts()
            except (StoreError, ConfigError) as error:
                say(f"no report was sent, everything is tried again: {error}")
                is_over.wait(_AFTER_ERROR_SECONDS)
                continue
            if counts != told:
                say(f"reports: sent {counts.sent}, waiting {counts.waiting}, failed {counts.failed}")
                told = counts
            is_over.wait(_BETWEEN_REPORTS_SECONDS)

    thread = threading.Thread(target=send, name="send")
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        outbox.close()


def _work(
    inbox: Inbox,
    store: ReviewStore,
    model: Model,
    pool: ThreadPoolExecutor,
    say: Callable[[str], None],
    is_stopped: Callable[[], bool],
) -> None:
    """Measures what arrives; a database that is busy or full is tried again."""
    total, told, told_at = Taken(), Taken(), time.monotonic()
    while not is_stopped():
        try:
            taken = take_in(inbox, store, model, pool)
        except StoreError as error:
            say(f"nothing was stored, everything is tried again: {error}")
            time.sleep(_AFTER_ERROR_SECONDS)
            continue
        total += taken
        is_due = time.monotonic() - told_at > _BETWEEN_LINES_SECONDS
        if total != told and (is_due or not taken.n_objects):
            say(_to_line(total, len(inbox.spool.waiting())))
            told, told_at = total, time.monotonic()
        if not taken.n_objects:
            time.sleep(_IDLE_SECONDS)


def _to_line(total: Taken, n_in_spool: int) -> str:
    return (
        f"measured {total.n_measured}, wait for a person {total.n_waiting}, unreadable {total.n_failed}, "
        f"came again {total.n_repeated}; in the spool {n_in_spool}"
    )
