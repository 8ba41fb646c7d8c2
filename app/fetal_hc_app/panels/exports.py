"""Downloads of one case; each file is made when its button is pressed."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from fetal_hc_app.resources import store
from fetal_hc_app.texts import text
from hc18.dicom import SourceReference
from hc18.reports.case import Report
from hc18.reports.from_store import to_report
from hc18.reports.table import to_csv
from hc18.reviews.models import ReviewCase

Writer = Callable[[Report], str | bytes]


def _to_pdf(case: Report) -> bytes:
    from hc18.reports.pdf import to_pdf

    return to_pdf(case)


def _to_fhir(case: Report) -> str:
    from hc18.reports.fhir import to_fhir_json

    return to_fhir_json(case)


def _to_dicom(case: Report) -> bytes:
    from hc18.reports.dicom_document import to_dicom_bytes
    from hc18.reports.dicom_sr import to_structured_report

    return to_dicom_bytes(to_structured_report(case))


def _to_csv(case: Report) -> str:
    return to_csv([case])


_FORMATS: tuple[tuple[str, str, str, str, Writer], ...] = (
    ("PDF report", "pdf", "application/pdf", ":material/picture_as_pdf:", _to_pdf),
    ("FHIR Observation", "json", "application/fhir+json", ":material/data_object:", _to_fhir),
    ("DICOM SR", "dcm", "application/dicom", ":material/medical_information:", _to_dicom),
    ("Table row", "csv", "text/csv", ":material/table:", _to_csv),
)


def exports_panel(case: ReviewCase, source: SourceReference | None, *, is_changed: bool) -> None:
    """One button per format.

    Args:
        case: as stored: what is drawn but not saved is in no export.
        source: identifiers of the DICOM image, while its file is in this session.
        is_changed: whether something is drawn but not saved.
    """
    if is_changed:
        st.info(text("The ellipse on the screen is not saved; exports hold the saved one."), icon=":material/info:")
    columns = st.columns(len(_FORMATS))
    no_sr = _no_dicom_reason(case, source)
    for column, (label, suffix, mime, icon, write) in zip(columns, _FORMATS, strict=True):
        reason = no_sr if suffix == "dcm" else ""
        column.download_button(
            text(label),
            _writer(case, source, write),
            file_name=f"case-{case.case_id}-revision-{case.state.revision}.{suffix}",
            mime=mime,
            icon=icon,
            key=f"export-{suffix}-{case.case_id}",
            on_click="ignore",
            width="stretch",
            disabled=bool(reason),
            help=reason or None,
        )
    signed = "This case is signed. Every file says: research use only, not a medical device."
    unsigned = "This case is not signed, so reports are marked as preliminary. Every file says: research use only."
    st.caption(text(signed if case.state.is_signed else unsigned))


def _no_dicom_reason(case: ReviewCase, source: SourceReference | None) -> str:
    """Why there can be no DICOM report; empty if there can."""
    if source is None:
        return text("A DICOM report refers to a DICOM image; upload the DICOM file of this case in this session.")
    if case.state.outline.hc_mm is None:
        return text("A DICOM report needs a head circumference in millimetres.")
    return ""


def _writer(
    case: ReviewCase, source: SourceReference | None, write: Callable[[Report], str | bytes]
) -> Callable[[], str | bytes]:
    """Makes the file when it is asked for."""
    review_store = store()
    return lambda: write(to_report(review_store, case, source))
