"""Reports go back to the archive: those of signed cases are queued, once for each signature.

The app does nothing for it: whoever signs needs neither the key nor the archive. Every object has a UID that follows
from its content, so queueing it again after a crash changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydicom.dataset import Dataset

from fetal_hc.errors import MeasurementError
from hc18.dicom.identifiers import Identifiers
from hc18.pacs.archive import Archive
from hc18.pacs.inbox import Inbox
from hc18.pacs.inbox_tables import Origin
from hc18.pacs.outbox import Outbox
from hc18.pacs.site import ReportKind, ReportSettings
from hc18.reports.case import Report
from hc18.reports.dicom_document import no_report_reason, to_dicom_bytes
from hc18.reports.dicom_obgyn import to_obgyn_report
from hc18.reports.dicom_picture import to_picture
from hc18.reports.dicom_sr import to_structured_report
from hc18.reports.from_store import to_report
from hc18.reviews.models import ReviewCase, StoreError
from hc18.reviews.store import ReviewStore
from hc18.reviews.worklist import signed_revisions

_MAKERS: Mapping[ReportKind, Callable[[Report, str], Dataset]] = {
    ReportKind.TID5000: to_obgyn_report,
    ReportKind.TID1500: to_structured_report,
    ReportKind.PICTURE: lambda case, _organization: to_picture(case),
}
_RETRACT = "An earlier report of this case is in the archive; retract it there."


def queue_reports(inbox: Inbox, outbox: Outbox, store: ReviewStore, archive: Archive, settings: ReportSettings) -> int:
    """Queues the reports of all cases that were signed since the last call, and says of how many cases.

    Args:
        inbox: knows where cases come from.
        outbox: the queue.
        store: of the cases.
        archive: that the reports go to.
        settings: what is sent.

    Raises:
        ConfigError: if the key is another one, or the inbox belongs to another store.
        StoreError: if a database cannot be read or written.
    """
    inbox.bind(store)
    returned = inbox.returned()
    with store.reader() as connection:
        signed = signed_revisions(connection, inbox.linked_cases())
    due = [case_id for case_id, revision in signed.items() if returned.get(case_id, (0, ""))[0] != revision]
    n_queued, failure = 0, None
    for case in store.cases(due):
        if not case.state.is_signed:  # reopened meanwhile
            continue
        try:
            reasons = [
                _queue_case(outbox, store, archive, settings, case, origin) for origin in inbox.origins(case.case_id)
            ]
        except StoreError as error:  # such as a damaged picture: the other cases must not wait for it
            failure = failure or error
            continue
        inbox.note_returned(case.case_id, case.state.revision, next(filter(None, reasons), ""))
        n_queued += not all(reasons)
    if failure is not None:
        raise failure
    return n_queued


def _queue_case(
    outbox: Outbox,
    store: ReviewStore,
    archive: Archive,
    settings: ReportSettings,
    case: ReviewCase,
    origin: Origin,
) -> str:
    """Queues the reports of a case about one of its images; why there is none, empty if there is."""
    identifiers = None if origin.identifiers == Identifiers() else origin.identifiers
    try:
        report = to_report(store, case, origin.reference, identifiers=identifiers)
    except MeasurementError as error:
        return str(error)
    reason = no_report_reason(report)
    if reason:
        return f"{reason} {_RETRACT}" if report.was_amended else reason
    for kind in settings.kinds:
        content = to_dicom_bytes(_MAKERS[kind](report, settings.organization))
        outbox.add(archive, content, case_id=case.case_id, kind=kind.value)
    return ""
