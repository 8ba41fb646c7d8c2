"""What statuses, decisions, flags and calibration sources are called in front of a reader."""

from __future__ import annotations

from hc18.geometry.pixel_size import CalibrationSource
from hc18.reports.case import Decision, Report, ReportStatus

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
FLAG_TEXTS = {
    "touches_border": "The head leaves the field of view; the ellipse is extrapolated there.",
    "low_score": "The detector is unsure.",
    "fits_disagree": "The outline is ragged, or two ways to find the ellipse differ.",
    "several_heads": "There is another detection that is not the same head.",
    "implausible_hc": "The size or the shape is implausible for a fetal head.",
    "uncertain": "The expected error is large; the outline needs a look.",
}


def status_text(case: Report) -> str:
    """Status of a report; also says when an earlier signed version was reopened."""
    text = STATUS_TEXTS[case.status]
    if case.was_amended and not case.is_signed:
        return f"{text}; an earlier signed version was reopened"
    return text


def flag_text(flag: str) -> str:
    """A quality flag as a sentence; one that is not known keeps its name."""
    return FLAG_TEXTS.get(flag, flag)


def interval_text(case: Report) -> str:
    """Interval of the model's circumference such as "161.0 to 170.2 mm (95 %)"; empty without one."""
    if case.hc_interval_mm is None or case.model_hc_mm is None:
        return ""
    low, high = case.hc_interval_mm
    level = "" if case.hc_interval_level is None else f" ({100.0 * case.hc_interval_level:g} %)"
    return f"{low:.1f} to {high:.1f} mm{level}"
