"""Cases of the review store as reports and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from hc18.dicom import SourceReference
from hc18.dicom.identifiers import Identifiers
from hc18.reports.case import Report
from hc18.reports.table import to_csv, to_submission
from hc18.reviews.models import CaseId, Decision, ReviewCase
from hc18.reviews.store import ReviewStore

_NO_PICTURE = np.zeros((1, 1, 3), dtype=np.uint8)


def cases_csv(store: ReviewStore, case_ids: Iterable[CaseId]) -> str:
    """The table of cases.

    Raises:
        FetalHCError: if a case cannot be read or contradicts itself.
    """
    return to_csv(to_report(store, case, None) for case in store.cases(case_ids))


def submission_csv(store: ReviewStore, names: Mapping[str, CaseId]) -> str:
    """The HC18 challenge's CSV: a row for every case that a reviewer accepted or corrected.

    Args:
        store: of the cases.
        names: case of each file name, in the order of the rows; files with the same pixels have the same case.

    Raises:
        FetalHCError: if a case cannot be read.
    """
    cases = {
        case.case_id: to_report(store, case, None, with_picture=False) for case in store.cases(set(names.values()))
    }
    return to_submission({name: cases[case_id] for name, case_id in names.items()}, list(names))


def to_report(
    store: ReviewStore,
    case: ReviewCase,
    source: SourceReference | None,
    *,
    with_picture: bool = True,
    identifiers: Identifiers | None = None,
) -> Report:
    """A case of the store as a report.

    Args:
        store: that contains the picture.
        case: as stored.
        source: identifiers of the DICOM image; None for other files.
        with_picture: whether the report shows the image; tables do not.
        identifiers: of the patient, where the site keeps them.

    Raises:
        StoreError: if the picture is damaged.
        MeasurementError: if the record contradicts itself.
    """
    state = case.state
    is_corrected = state.decision is Decision.CORRECTED
    return Report(
        case_label=case.label,
        image_sha256=state.image_sha256,
        image_rgb=store.image(case.case_id) if with_picture else _NO_PICTURE,
        calibration=state.calibration,
        model_name=state.measurement.model.name,
        model_version=state.measurement.model.version,
        model_sha256=state.measurement.model.sha256,
        measured_at_utc=state.measured_at_utc,
        model_ellipse_px=state.model_outline.ellipse_px,
        model_hc_mm=state.model_outline.hc_mm,
        final_ellipse_px=state.outline.ellipse_px if is_corrected else None,
        final_hc_mm=state.outline.hc_mm if is_corrected else None,
        hc_interval_mm=None if state.interval is None else (state.interval.low_mm, state.interval.high_mm),
        hc_interval_level=None if state.interval is None else state.interval.coverage,
        confidence=state.measurement.confidence,
        flags=state.flags,
        decision=state.decision,
        reason=state.reason,
        is_signed=state.is_signed,
        was_amended=state.was_amended,
        reviewer=state.reviewer,
        signed_by=state.signed_by,
        signed_at_utc=state.signed_at_utc,
        independent_ga_days=None if state.age is None else state.age.days,
        ga_source="" if state.age is None else state.age.source,
        dicom_source=source,
        identifiers=identifiers,
    )
