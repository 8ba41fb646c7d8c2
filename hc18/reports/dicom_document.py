"""What all DICOM objects about a case have in common: identity, references, observers, times, comments.

An object refers to its image by UID. Attributes of the patient are empty unless the site keeps identifiers, and an
archive then files it by the UID of the study alone. The same case always gives the same UIDs and the same bytes;
another value or signature gives other ones.

References: DICOM PS3.3, C.7.1.1, C.7.2.1, C.17.2 (SR document general); PS3.5, B.2 (UIDs).
"""

from __future__ import annotations

import io
import math
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.valuerep import DA, DT, TM

from fetal_hc import DISCLAIMER
from fetal_hc.errors import MeasurementError
from hc18.dicom import SourceReference
from hc18.dicom.identifiers import Identifiers
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.flags import flag_text
from hc18.obstetrics.gestational_age import age_text
from hc18.obstetrics.growth_standards import HADLOCK_1984, Standard
from hc18.reports.case import DECISION_TEXTS, Report, interval_text, shape_texts, status_text

CORNER_SHIFT_PX = 0.5  # DICOM's origin is the corner of the first pixel, ours its centre
MANUFACTURER = "fetal-hc"
PERCENT, NO_UNIT = Code("%", "UCUM", "percent"), Code("1", "UCUM", "no units")
UNNAMED_ORGANIZATION = "not stated"
_OUTLINE_POINTS = 180
_UID_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "fetal-hc structured report")
_CODING_SCHEME = "99FETALHC"  # private: DICOM has no codes for these standards
_DATE, _TIME = re.compile(r"\d{8}"), re.compile(r"\d{4}(\d{2}(\.\d{1,6})?)?")
_OFFSET = re.compile(r"[+-]\d{4}")


@dataclass(frozen=True, slots=True)
class Reported:
    """The parts of a case that a DICOM report cannot do without: image, ellipse, circumference, time."""

    source: SourceReference
    ellipse_px: Ellipse
    hc_mm: float
    moment: datetime


def no_report_reason(case: Report) -> str:
    """Why there can be no structured report of a case, as a sentence; empty if there can."""
    if case.dicom_source is None:
        return "A DICOM report refers to a DICOM image; this image comes from another kind of file."
    if case.hc_mm is None:
        return f"A DICOM report needs a head circumference in millimetres. {case.no_value_reason}"
    return ""


def to_reported(case: Report) -> Reported:
    """The parts that a DICOM report needs; its time is that of the signature, else of the measurement.

    Raises:
        MeasurementError: with `no_report_reason`, when there is no DICOM image or no value.
    """
    if case.dicom_source is None or case.ellipse_px is None or case.hc_mm is None:
        raise MeasurementError(no_report_reason(case))
    moment = case.signed_at_utc if case.is_signed and case.signed_at_utc else case.measured_at_utc
    return Reported(case.dicom_source, case.ellipse_px, case.hc_mm, moment)


def to_dicom_bytes(report: Dataset) -> bytes:
    """The content of a DICOM file with an object."""
    stream = io.BytesIO()
    report.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def to_document(
    case: Report, content: Dataset, series: str, series_number: int, organization: str
) -> hd.sr.ComprehensiveSR:
    """A structured report with its content; complete, final and verified by its signer only when signed.

    Args:
        case: that it reports.
        content: root of the content tree.
        series: what tells the series from those of other reports of the image.
        series_number: of that series.
        organization: of the person who signed.

    Raises:
        MeasurementError: when there is no DICOM image or no value.
    """
    reported = to_reported(case)
    source = reported.source
    document = hd.sr.ComprehensiveSR(
        evidence=[to_evidence(source, case.identifiers)],
        content=content,
        series_instance_uid=uid_of(series, source.sop_instance_uid),
        series_number=series_number,
        sop_instance_uid=uid_of(
            "report", source.sop_instance_uid, content.to_json(), reported.moment.isoformat(), case.signer
        ),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=case.is_signed,
        is_final=case.is_signed,
        is_verified=case.is_signed,
        verifying_observer_name=person_name(case.signer) if case.is_signed else None,
        verifying_organization=organization if case.is_signed else None,
    )
    document.SoftwareVersions = case.model_version[:64]
    set_times(document, reported.moment, case.identifiers)
    return document


def ellipse_points(ellipse_px: Ellipse) -> NDArray[np.float64]:
    """Ends of the major axis, then of the minor one, (4, 2) column, row in DICOM's corner convention."""
    cosine, sine = math.cos(ellipse_px.angle_rad), math.sin(ellipse_px.angle_rad)
    major = ellipse_px.semi_axis_a * np.array([cosine, sine])
    minor = ellipse_px.semi_axis_b * np.array([-sine, cosine])
    center = np.array([ellipse_px.center_x, ellipse_px.center_y]) + CORNER_SHIFT_PX
    points: NDArray[np.float64] = np.stack([center - major, center + major, center - minor, center + minor])
    return points


def leaves_image(case: Report) -> bool:
    """Whether an end of an axis lies outside the image, where DICOM allows no coordinates."""
    if case.ellipse_px is None:
        return False
    points = ellipse_points(case.ellipse_px)
    height, width = case.image_rgb.shape[:2]
    return bool((points < 0.0).any() or (points > (width, height)).any())


def to_region(case: Report, ellipse_px: Ellipse) -> tuple[hd.sr.GraphicTypeValues, NDArray[np.float64]]:
    """The ellipse for spatial coordinates; its outline within the image when its axes end outside."""
    if not leaves_image(case):
        return hd.sr.GraphicTypeValues.ELLIPSE, ellipse_points(ellipse_px)
    height, width = case.image_rgb.shape[:2]
    outline = ellipse_px.outline(_OUTLINE_POINTS) + CORNER_SHIFT_PX
    points = np.clip(np.concatenate([outline, outline[:1]]), 0.0, (width, height))
    return hd.sr.GraphicTypeValues.POLYLINE, points


def observation_context(case: Report, *, is_of_fetus: bool = True) -> hd.sr.ObservationContext:
    """Who measured and who reviewed.

    Args:
        case: that is reported.
        is_of_fetus: whether the subject of the whole report is the fetus and not its mother.
    """
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=uid_of("model", case.model_sha256),
        name=case.model_name,
        manufacturer_name="fetal-hc",
        model_name=case.model_version,
        serial_number=case.model_sha256,
    )
    person = None
    if case.reviewer:
        person = hd.sr.ObserverContext(
            codes.DCM.Person, hd.sr.PersonObserverIdentifyingAttributes(person_name(case.reviewer))
        )
    return hd.sr.ObservationContext(
        observer_person_context=person,
        observer_device_context=hd.sr.ObserverContext(codes.DCM.Device, device),
        subject_context=fetus_context(case) if is_of_fetus else None,
    )


def fetus_context(case: Report) -> hd.sr.SubjectContext:
    """That the subject is a fetus, and which."""
    subject = hd.sr.SubjectContextFetus(case.subject_reference or case.case_label or "not stated")
    return hd.sr.SubjectContext(codes.DCM.Fetus, subject)


def comment_texts(case: Report) -> list[str]:
    """What a reader has to know in addition to the numbers, one sentence or more each."""
    texts = [DISCLAIMER, f"{DECISION_TEXTS[case.decision]}. Status: {status_text(case)}."]
    texts += [f"Reviewer's reason: {case.reason}"] if case.reason else []
    texts += [f"Interval of the model: {interval_text(case)}."] if interval_text(case) else []
    if case.shape is not None:
        texts.append("; ".join(f"{name}: {value}" for name, value in shape_texts(case.shape).items()) + ".")
    texts.append(" ".join([f"Calibration: {case.calibration.detail}", *case.calibration.warnings]))
    texts += [flag_text(flag).sentence for flag in case.flags]
    if leaves_image(case):
        texts.append(
            "The ellipse leaves the image; the region shows the part inside, the circumference is of the whole."
        )
    for age in case.ages:
        interval = "" if age.interval_days is None else "; ±2 SD {:.0f} to {:.0f} days".format(*age.interval_days)
        texts.append(" ".join([f"{age.standard}{interval}. {age.reason or age.standard.citation}", *age.warnings]))
    if case.growth and case.independent_ga_days is not None:
        at = f"{age_text(case.independent_ga_days)} weeks ({case.ga_source or 'source not stated'})"
        texts.append(f"{case.growth.standard} at {at}. {case.growth.standard.citation}")
    return texts


def standard_code(standard: Standard) -> Code:
    """The code of an equation; a private one where DICOM has none."""
    if standard is HADLOCK_1984:
        return Code("11932-1", "LN", "HC, Hadlock 1984")
    return Code(standard.key, _CODING_SCHEME, standard.name)


def to_evidence(source: SourceReference, identifiers: Identifiers | None) -> Dataset:
    """The referenced image as far as an object about it needs it; unknown attributes of the patient are empty."""
    known = identifiers or Identifiers()
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = source.sop_class_uid, source.sop_instance_uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = source.study_instance_uid, source.series_instance_uid
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientID, dataset.PatientName = known.patient_id[:64], known.patient_name
    dataset.PatientBirthDate = known.birth_date if _DATE.fullmatch(known.birth_date) else ""
    dataset.PatientSex = known.sex if known.sex in ("F", "M", "O") else ""
    dataset.AccessionNumber, dataset.StudyID = known.accession_number[:16], known.study_id[:16]
    dataset.StudyDate = known.study_date if _DATE.fullmatch(known.study_date) else ""
    dataset.StudyTime = known.study_time if _TIME.fullmatch(known.study_time) else ""
    return dataset


def set_times(document: Dataset, moment: datetime, identifiers: Identifiers | None) -> None:
    """The time of the signature or measurement instead of that of the export.

    All times of an object are in one zone. Where the time of the study is stated without its zone, that is taken to be
    the zone of this machine.
    """
    known = identifiers or Identifiers()
    if _OFFSET.fullmatch(known.utc_offset):
        document.TimezoneOffsetFromUTC = known.utc_offset
        local = moment.astimezone(datetime.strptime(known.utc_offset, "%z").tzinfo)
    elif known.study_time:
        local = moment.astimezone()
    else:
        document.TimezoneOffsetFromUTC = "+0000"
        local = moment.astimezone(UTC)
    local = local.replace(tzinfo=None, microsecond=0)
    document.ContentDate, document.ContentTime = DA(local.date()), TM(local.time())
    document.InstanceCreationDate, document.InstanceCreationTime = DA(local.date()), TM(local.time())
    for equipment in document.get("ContributingEquipmentSequence") or ():
        equipment.ContributionDateTime = DT(local)
    for observer in document.get("VerifyingObserverSequence") or ():
        observer.VerificationDateTime = DT(local)
    if known.issuer_of_patient_id:
        document.IssuerOfPatientID = known.issuer_of_patient_id[:64]


def uid_of(*parts: str) -> str:
    """A UID that follows from `parts` (PS3.5, B.2)."""
    return f"2.25.{uuid.uuid5(_UID_NAMESPACE, '|'.join(parts)).int}"


def person_name(name: str) -> str:
    """A name in DICOM's form: one component of at most 64 characters without separators, marked by a caret."""
    return "".join(" " if character in "^=\\" else character for character in name)[:63] + "^"
