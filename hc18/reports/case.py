"""One reviewed measurement with everything its exports need, checked once for contradictions, and its words."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from fetal_hc.errors import MeasurementError, raise_problems
from hc18.dicom import Identifiers, SourceReference
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration, CalibrationSource
from hc18.obstetrics.gestational_age import GestationalAge, gestational_ages
from hc18.obstetrics.growth import GrowthAssessment, intergrowth_hc
from hc18.obstetrics.head_shape import CEPHALIC_INDEX_RANGE, HeadShape, measure_head_shape
from hc18.reviews.models import Decision
from hc18.reviews.validation import to_single_line

HC_TOLERANCE_MM = 0.05  # between a stated circumference and the one of its ellipse; printed to 0.1 mm

_SHA256 = re.compile("[0-9a-f]{64}")


class ReportStatus(StrEnum):
    """How far an export may be relied on."""

    PRELIMINARY = "preliminary"
    FINAL = "final"
    AMENDED = "amended"


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


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """A measurement, its review and its origin. Names no patient unless a site keeps identifiers.

    Text is kept on one line: control characters become spaces.

    Attributes:
        case_label: neutral label of the case.
        image_sha256: SHA-256 of the pixels, the key of the case, 64 hexadecimal digits.
        image_rgb: uint8 (H, W, 3), the whole frame with everything black that may not be shown.
        calibration: mm per px and where they come from, or why there are none.
        model_name: for readers.
        model_version: of the model.
        model_sha256: of the model file, 64 hexadecimal digits.
        measured_at_utc: when the model measured; time zone UTC.
        model_ellipse_px: in px of the image, pixel centres at integers; None when no head was found.
        model_hc_mm: its circumference; None without millimetres.
        final_ellipse_px: the reviewer's ellipse, in the same frame of reference; None leaves the model's.
        final_hc_mm: its circumference; None without millimetres.
        hc_interval_mm: lower and upper end of the interval of the model's circumference.
        hc_interval_level: probability that it is meant to hold, 0 to 1; None when it is not stated.
        confidence: score of the detection, 0 to 1.
        flags: quality flags.
        decision: of the reviewer.
        reason: in the reviewer's words.
        is_signed: whether the decision in force is signed.
        was_amended: whether an earlier signed decision was reopened.
        reviewer: who decided.
        signed_by: who signed; empty when it was the reviewer.
        signed_at_utc: when it was signed; time zone UTC.
        independent_ga_days: age from dates or a crown-rump length, never from this head circumference.
        ga_source: where that age comes from, without any date.
        subject_reference: neutral reference to the subject that a user typed; empty for none.
        dicom_source: identifiers of the DICOM image; None for other files.
        identifiers: of the patient and the examination, where the site keeps them; None elsewhere.
    """

    case_label: str
    image_sha256: str
    image_rgb: NDArray[np.uint8]
    calibration: Calibration
    model_name: str
    model_version: str
    model_sha256: str
    measured_at_utc: datetime
    model_ellipse_px: Ellipse | None = None
    model_hc_mm: float | None = None
    final_ellipse_px: Ellipse | None = None
    final_hc_mm: float | None = None
    hc_interval_mm: tuple[float, float] | None = None
    hc_interval_level: float | None = None
    confidence: float | None = None
    flags: tuple[str, ...] = ()
    decision: Decision = Decision.UNREVIEWED
    reason: str = ""
    is_signed: bool = False
    was_amended: bool = False
    reviewer: str = ""
    signed_by: str = ""
    signed_at_utc: datetime | None = None
    independent_ga_days: float | None = None
    ga_source: str = ""
    subject_reference: str = ""
    dicom_source: SourceReference | None = None
    identifiers: Identifiers | None = None

    def __post_init__(self) -> None:
        """Puts text on one line and refuses what contradicts itself.

        Raises:
            MeasurementError: listing every contradiction.
        """
        for item in fields(self):
            value = getattr(self, item.name)
            if type(value) is str:
                object.__setattr__(self, item.name, to_single_line(value))
        object.__setattr__(self, "flags", tuple(to_single_line(str(flag)) for flag in self.flags))
        object.__setattr__(self, "decision", Decision(self.decision))
        problems = [
            *_image_problems(self),
            *_hash_problems(self),
            *_number_problems(self),
            *_circumference_problems(self),
        ]
        problems += _review_problems(self)
        if problems:
            raise_problems(MeasurementError, problems, f"case '{self.case_label}' cannot be reported")

    @property
    def status(self) -> ReportStatus:
        """Preliminary until signed; amended when signed again after reopening."""
        if not self.is_signed:
            return ReportStatus.PRELIMINARY
        return ReportStatus.AMENDED if self.was_amended else ReportStatus.FINAL

    @property
    def signer(self) -> str:
        """Who signed; empty until then."""
        return (self.signed_by or self.reviewer) if self.is_signed else ""

    @property
    def ellipse_px(self) -> Ellipse | None:
        """The ellipse that is reported: the reviewer's, else the model's; None after a rejection."""
        if self.decision is Decision.REJECTED:
            return None
        return self.final_ellipse_px or self.model_ellipse_px

    @property
    def hc_mm(self) -> float | None:
        """The circumference that is reported; None without millimetres and after a rejection."""
        if self.decision is Decision.REJECTED:
            return None
        return self.model_hc_mm if self.final_ellipse_px is None else self.final_hc_mm

    @property
    def shape(self) -> HeadShape | None:
        """Diameters of the reported ellipse; None without millimetres and after a rejection."""
        return measure_head_shape(self.ellipse_px, self.calibration.pixel_size_xy_mm, self.image_rgb)

    @property
    def no_value_reason(self) -> str:
        """Why there is no circumference in millimetres; empty when there is one."""
        if self.decision is Decision.REJECTED:
            return "The reviewer rejected the measurement."
        if self.ellipse_px is None:
            return "No head was found in this image."
        return "" if self.hc_mm is not None else self.calibration.detail

    @property
    def ages(self) -> tuple[GestationalAge, ...]:
        """Age from the reported circumference by every standard; empty without millimetres."""
        return () if self.hc_mm is None else gestational_ages(self.hc_mm)

    @property
    def growth(self) -> GrowthAssessment:
        """Percentile of the reported circumference at the independent age, or why there is none."""
        return intergrowth_hc(math.nan if self.hc_mm is None else self.hc_mm, self.independent_ga_days)


def shape_texts(shape: HeadShape) -> dict[str, str]:
    """The diameters of a head and its shape for readers, by their names."""
    low, high = CEPHALIC_INDEX_RANGE
    inner = shape.bpd_outer_inner_mm
    where = "inside" if shape.is_usual else "outside"
    return {
        "BPD, outer to outer": f"{shape.bpd_outer_outer_mm:.1f} mm",
        "BPD, outer to inner": "the picture does not show it" if inner is None else f"{inner:.1f} mm",
        "OFD, outer to outer": f"{shape.ofd_outer_outer_mm:.1f} mm",
        "Cephalic index": f"{shape.cephalic_index_percent:.0f} % ({where} {low:.0f} to {high:.0f} %, Hadlock 1981)",
    }


def utc_text(moment: datetime) -> str:
    """A moment for readers, such as "2024-03-01 14:05:09 UTC"."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _image_problems(case: Report) -> list[str]:
    shape, dtype = np.shape(case.image_rgb), np.asarray(case.image_rgb).dtype
    if dtype == np.uint8 and len(shape) == 3 and shape[2] == 3 and min(shape) > 0:
        return []
    return [f"image_rgb has shape {shape} and type {dtype}; expected uint8 (H, W, 3)"]


def _hash_problems(case: Report) -> list[str]:
    hashes = {"image_sha256": case.image_sha256, "model_sha256": case.model_sha256}
    return [
        f"{name} is '{value}'; expected 64 hexadecimal digits"
        for name, value in hashes.items()
        if not _SHA256.fullmatch(value)
    ]


def _number_problems(case: Report) -> list[str]:
    """Numbers that are not finite or out of their range."""
    low, high = case.hc_interval_mm or (None, None)
    ranges = {
        "model_hc_mm": (case.model_hc_mm, math.inf),
        "final_hc_mm": (case.final_hc_mm, math.inf),
        "hc_interval_mm[0]": (low, high or math.inf),
        "hc_interval_mm[1]": (high, math.inf),
        "hc_interval_level": (case.hc_interval_level, 1.0),
        "confidence": (case.confidence, 1.0),
        "independent_ga_days": (case.independent_ga_days, math.inf),
    }
    return [
        f"{name} is {value}; expected a finite number from 0 to {highest:g}"
        for name, (value, highest) in ranges.items()
        if value is not None and not (math.isfinite(value) and 0.0 <= value <= highest)
    ]


def _circumference_problems(case: Report) -> list[str]:
    """Millimetres without a calibration or an ellipse, or other ones than their ellipse has."""
    problems = []
    for who, ellipse, hc_mm in (
        ("model", case.model_ellipse_px, case.model_hc_mm),
        ("final", case.final_ellipse_px, case.final_hc_mm),
    ):
        if hc_mm is None:
            continue
        pixel_size = case.calibration.pixel_size_xy_mm
        if pixel_size is None:
            problems.append(f"{who}_hc_mm is {hc_mm} although the image has no calibration; expected None")
        elif ellipse is None:
            problems.append(f"{who}_hc_mm is {hc_mm} although there is no {who}_ellipse_px")
        elif not abs(ellipse.to_mm(*pixel_size).circumference() - hc_mm) <= HC_TOLERANCE_MM:
            measured = ellipse.to_mm(*pixel_size).circumference()
            problems.append(f"{who}_hc_mm is {hc_mm} but its ellipse has {measured:.2f} mm; measure it again")
    return problems


def _review_problems(case: Report) -> list[str]:
    """Decisions and signatures that lack a part."""
    problems = []
    if case.decision is Decision.CORRECTED and case.final_ellipse_px is None:
        problems.append("the decision is 'corrected' but there is no final_ellipse_px")
    if case.is_signed and (case.decision is Decision.UNREVIEWED or not case.reviewer or case.signed_at_utc is None):
        problems.append("a signed case needs a decision, a reviewer and signed_at_utc")
    for name, moment in (("measured_at_utc", case.measured_at_utc), ("signed_at_utc", case.signed_at_utc)):
        if moment is not None and moment.utcoffset() != timedelta(0):
            problems.append(f"{name} is {moment}; expected a time in UTC with its time zone")
    return problems


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
