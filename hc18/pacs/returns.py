"""Reports go back to the archive and the FHIR server: those of signed cases are queued, once for each signature.

The app does nothing for it: whoever signs needs neither the key nor the archive. Every object has a UID that follows
from its content, so queueing it again after a crash changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydicom.dataset import Dataset

from fetal_hc.errors import MeasurementError
from hc18.dicom import SourceReference
from hc18.dicom.identifiers import Identifiers
from hc18.pacs.archive import Archive
from hc18.pacs.fhir_server import FhirServer, to_bundle
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
FHIR_KIND = "fhir"
_RETRACT = "An earlier report of this case is in the archive; retract it there."


def queue_reports(
    inbox: Inbox,
    outbox: Outbox,
    store: ReviewStore,
    archive: Archive | None,
    settings: ReportSettings,
    fhir: FhirServer | None = None,
) -> int:
    """Queues the reports of all cases that were signed since the last call, and says of how many cases.

    Args:
        inbox: knows where cases come from.
        outbox: the queue.
        store: of the cases.
        archive: that the reports go to; None for none.
        settings: what is sent.
        fhir: server that the Observations go to; None for none.

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
            origins = inbox.origins(case.case_id)
            reasons = [
                _queue_case(outbox, store, archive, settings, case, origin) for origin in origins if archive is not None
            ]
            if fhir is not None:
                reasons.append(queue_observation(outbox, store, fhir, case, next(iter(origins), None)))
        except StoreError as error:  # such as a damaged picture: the other cases must not wait for it
            failure = failure or error
            continue
        inbox.note_returned(case.case_id, case.state.revision, next(filter(None, reasons), ""))
        n_queued += not all(reasons)
    if failure is not None:
        raise failure
    return n_queued


def queue_observation(
    outbox: Outbox, store: ReviewStore, fhir: FhirServer, case: ReviewCase, origin: Origin | None
) -> str:
    """Queues the FHIR Observation of a case; why there is none, empty if there is.

    Args:
        outbox: the queue.
        store: of the case.
        fhir: where it goes.
        case: as stored.
        origin: where its image comes from; None for an image of no archive.
    """
    reference, identifiers = _known(origin)
    try:
        report = to_report(store, case, reference, with_picture=False, identifiers=identifiers)
        content = to_bundle(report)
    except MeasurementError as error:
        return str(error)
    outbox.add(fhir, content, case_id=case.case_id, kind=FHIR_KIND)
    return ""


def _known(origin: Origin | None) -> tuple[SourceReference | None, Identifiers | None]:
    """The image of an origin, and its patient where the site keeps it."""
    if origin is None:
        return None, None
    return origin.reference, None if origin.identifiers == Identifiers() else origin.identifiers


def _queue_case(
    outbox: Outbox,
    store: ReviewStore,
    archive: Archive,
    settings: ReportSettings,
    case: ReviewCase,
    origin: Origin,
) -> str:
    """Queues the reports of a case about one of its images; why there is none, empty if there is."""
    reference, identifiers = _known(origin)
    try:
        report = to_report(store, case, reference, identifiers=identifiers)
    except MeasurementError as error:
        return str(error)
    reason = no_report_reason(report)
    if reason:
        return f"{reason} {_RETRACT}" if report.was_amended else reason
    for kind in settings.kinds:
        content = to_dicom_bytes(_MAKERS[kind](report, settings.organization))
        outbox.add(archive, content, case_id=case.case_id, kind=kind.value)
    return ""
