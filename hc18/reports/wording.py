"""What statuses, decisions, flags and calibration sources are called in front of a reader."""

from __future__ import annotations

from hc18.geometry.pixel_size import CalibrationSource
from hc18.reports.case import Report, ReportStatus
from hc18.reviews.models import Decision

STATUS_TEXTS = {
    ReportStatus.PRELIMINARY: "PRELIMINARY: not signed",
    ReportStatus.FINAL: "FINAL: signed",
    ReportStatus.AMENDED: "AMENDED: signed again after it was reopened",
}
DECISION_TEXTS = {
    Decision.UNREVIEWED: "Not reviewed",
    Decision.ACCEPTED: "Accepted as measured by the model",
    Decision.CORRECTED: "Corrected by the reviewer",
    Decision.REJECTED: "Rejected",
}
CALIBRATION_TEXTS = {
    CalibrationSource.CSV: "table of pixel sizes",
    CalibrationSource.DICOM_REGION: "DICOM ultrasound region",
    CalibrationSource.DICOM_PIXEL_SPACING: "DICOM pixel spacing",
    CalibrationSource.USER: "typed by a user",
    CalibrationSource.NONE: "none",
}


def status_text(case: Report) -> str:
    """Status of a report; also says when an earlier signed version was reopened."""
    text = STATUS_TEXTS[case.status]
    if case.was_amended and not case.is_signed:
        return f"{text}; an earlier signed version was reopened"
    return text


def interval_text(case: Report) -> str:
    """Interval of the model's circumference such as "161.0 to 170.2 mm (95 %)"; empty without one."""
    if case.hc_interval_mm is None or case.model_hc_mm is None:
        return ""
    low, high = case.hc_interval_mm
    level = "" if case.hc_interval_level is None else f" ({100.0 * case.hc_interval_level:g} %)"
    return f"{low:.1f} to {high:.1f} mm{level}"
