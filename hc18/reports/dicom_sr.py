"""The reported circumference as a DICOM structured report (TID 1500) for the archive that stores the image.

The report refers to its image by UID and carries no attribute of the patient: an archive files it by the UID of the
study. The same report always has the same UID and the same bytes; another value or signature gives another UID.

References: DICOM PS3.16, TID 1500, 1411, 300, 1008; PS3.3, Table C.18.6-1 (spatial coordinates).
"""

from __future__ import annotations

import io
import math
import uuid
from datetime import datetime

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
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.flags import flag_text
from hc18.obstetrics.gestational_age import age_text
from hc18.obstetrics.growth_standards import HADLOCK_1984, Standard
from hc18.reports.case import DECISION_TEXTS, Report, interval_text, shape_texts, status_text

_CORNER_SHIFT_PX = 0.5  # DICOM's origin is the corner of the first pixel, ours its centre
_OUTLINE_POINTS = 180
_UID_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "fetal-hc structured report")
_SERIES_NUMBER = 9018
_CODING_SCHEME = "99FETALHC"  # private: DICOM has no codes for these standards
_PERCENT, _NO_UNIT = Code("%", "UCUM", "percent"), Code("1", "UCUM", "no units")


def no_report_reason(case: Report) -> str:
    """Why there can be no structured report of a case, as a sentence; empty if there can."""
    if case.dicom_source is None:
        return "A DICOM report refers to a DICOM image; this image comes from another kind of file."
    if case.hc_mm is None:
        return f"A DICOM report needs a head circumference in millimetres. {case.no_value_reason}"
    return ""


def to_structured_report(case: Report) -> hd.sr.ComprehensiveSR:
    """The structured report of a case; complete and final only when signed.

    Raises:
        MeasurementError: with `no_report_reason`, when there is no DICOM image or no value.
    """
    source, ellipse_px, hc_mm = case.dicom_source, case.ellipse_px, case.hc_mm
    if source is None or ellipse_px is None or hc_mm is None:
        raise MeasurementError(no_report_reason(case))
    moment = case.signed_at_utc if case.is_signed and case.signed_at_utc else case.measured_at_utc
    content = hd.sr.MeasurementReport(
        observation_context=_context(case),
        procedure_reported=codes.SCT.ObstetricUSScan,
        imaging_measurements=[_measurement_group(case, source, ellipse_px, hc_mm)],
        title=codes.DCM.ImagingMeasurementReport,
    )
    content[0].ContentSequence.extend(_comments(case, ellipse_px))
    report = hd.sr.ComprehensiveSR(
        evidence=[_evidence(source)],
        content=content[0],
        series_instance_uid=_uid("series", source.sop_instance_uid),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=_uid("report", source.sop_instance_uid, content[0].to_json(), moment.isoformat()),
        instance_number=1,
        manufacturer="fetal-hc",
        is_complete=case.is_signed,
        is_final=case.is_signed,
    )
    report.SoftwareVersions = case.model_version[:64]
    _set_times(report, moment)
    return report


def to_dicom_bytes(report: hd.sr.ComprehensiveSR) -> bytes:
    """The content of a DICOM file with the report."""
    stream = io.BytesIO()
    report.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def ellipse_points(ellipse_px: Ellipse) -> NDArray[np.float64]:
    """Ends of the major axis, then of the minor one, (4, 2) column, row in DICOM's corner convention."""
    cosine, sine = math.cos(ellipse_px.angle_rad), math.sin(ellipse_px.angle_rad)
    major = ellipse_px.semi_axis_a * np.array([cosine, sine])
    minor = ellipse_px.semi_axis_b * np.array([-sine, cosine])
    center = np.array([ellipse_px.center_x, ellipse_px.center_y]) + _CORNER_SHIFT_PX
    points: NDArray[np.float64] = np.stack([center - major, center + major, center - minor, center + minor])
    return points


def _measurement_group(
    case: Report, source: SourceReference, ellipse_px: Ellipse, hc_mm: float
) -> hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    """The ellipse with circumference, ages, z-score and percentile."""
    measurements = [hd.sr.Measurement(codes.LN.HeadCircumference, round(hc_mm, 2), codes.UCUM.Millimeter)]
    measurements += [
        hd.sr.Measurement(codes.LN.GestationalAge, round(age.days, 1), codes.UCUM.Day, method=_method(age.standard))
        for age in case.ages
        if age.days is not None
    ]
    growth = case.growth
    if growth.z_score is not None and growth.percentile is not None:
        method = _method(growth.standard)
        measurements += [
            hd.sr.Measurement(codes.DCM.GrowthZScore, round(growth.z_score, 3), _NO_UNIT, method=method),
            hd.sr.Measurement(codes.DCM.GrowthPercentileRank, round(growth.percentile, 2), _PERCENT, method=method),
        ]
    return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=_uid("head", source.sop_instance_uid, str(source.frame_number)), identifier="Fetal head"
        ),
        referenced_region=_region(case, source, ellipse_px),
        finding_type=codes.SCT.Head,
        algorithm_id=hd.sr.AlgorithmIdentification(
            name=case.model_name, version=case.model_version, parameters=[f"SHA-256 {case.model_sha256}"]
        ),
        measurements=measurements,
    )


def _region(case: Report, source: SourceReference, ellipse_px: Ellipse) -> hd.sr.ImageRegion:
    """The ellipse; its outline within the image when its axes end outside, where DICOM allows no coordinates."""
    height, width = case.image_rgb.shape[:2]
    graphic_type, points = hd.sr.GraphicTypeValues.ELLIPSE, ellipse_points(ellipse_px)
    if _leaves_image(case, ellipse_px):
        graphic_type = hd.sr.GraphicTypeValues.POLYLINE
        outline = ellipse_px.outline(_OUTLINE_POINTS) + _CORNER_SHIFT_PX
        points = np.clip(np.concatenate([outline, outline[:1]]), 0.0, (width, height))
    frame_numbers = None if source.frame_number is None else [source.frame_number]
    image = hd.sr.SourceImageForRegion(source.sop_class_uid, source.sop_instance_uid, frame_numbers)
    return hd.sr.ImageRegion(graphic_type, points, image)


def _leaves_image(case: Report, ellipse_px: Ellipse) -> bool:
    points = ellipse_points(ellipse_px)
    height, width = case.image_rgb.shape[:2]
    return bool((points < 0.0).any() or (points > (width, height)).any())


def _context(case: Report) -> hd.sr.ObservationContext:
    """Who measured, who reviewed, and that the subject is a fetus."""
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=_uid("model", case.model_sha256),
        name=case.model_name,
        manufacturer_name="fetal-hc",
        model_name=case.model_version,
        serial_number=case.model_sha256,
    )
    person = None
    if case.reviewer:
        person = hd.sr.ObserverContext(
            codes.DCM.Person, hd.sr.PersonObserverIdentifyingAttributes(_person_name(case.reviewer))
        )
    return hd.sr.ObservationContext(
        observer_person_context=person,
        observer_device_context=hd.sr.ObserverContext(codes.DCM.Device, device),
        subject_context=hd.sr.SubjectContext(
            codes.DCM.Fetus, hd.sr.SubjectContextFetus(case.subject_reference or case.case_label or "not stated")
        ),
    )


def _comments(case: Report, ellipse_px: Ellipse) -> list[hd.sr.TextContentItem]:
    """What a reader has to know in addition to the numbers, as comments of the report."""
    texts = [DISCLAIMER, f"{DECISION_TEXTS[case.decision]}. Status: {status_text(case)}."]
    texts += [f"Reviewer's reason: {case.reason}"] if case.reason else []
    texts += [f"Interval of the model: {interval_text(case)}."] if interval_text(case) else []
    if case.shape is not None:
        texts.append("; ".join(f"{name}: {value}" for name, value in shape_texts(case.shape).items()) + ".")
    texts.append(" ".join([f"Calibration: {case.calibration.detail}", *case.calibration.warnings]))
    texts += [flag_text(flag).sentence for flag in case.flags]
    if _leaves_image(case, ellipse_px):
        texts.append(
            "The ellipse leaves the image; the region shows the part inside, the circumference is of the whole."
        )
    for age in case.ages:
        interval = "" if age.interval_days is None else "; ±2 SD {:.0f} to {:.0f} days".format(*age.interval_days)
        texts.append(" ".join([f"{age.standard}{interval}. {age.reason or age.standard.citation}", *age.warnings]))
    if case.growth and case.independent_ga_days is not None:
        at = f"{age_text(case.independent_ga_days)} weeks ({case.ga_source or 'source not stated'})"
        texts.append(f"{case.growth.standard} at {at}. {case.growth.standard.citation}")
    return [hd.sr.TextContentItem(codes.DCM.Comment, text, hd.sr.RelationshipTypeValues.CONTAINS) for text in texts]


def _method(standard: Standard) -> Code:
    """The code of an equation; a private one where DICOM has none."""
    if standard is HADLOCK_1984:
        return Code("11932-1", "LN", "HC, Hadlock 1984")
    return Code(standard.key, _CODING_SCHEME, standard.name)


def _evidence(source: SourceReference) -> Dataset:
    """The referenced image as far as a report needs it; attributes of the patient are empty."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = source.sop_class_uid, source.sop_instance_uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = source.study_instance_uid, source.series_instance_uid
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
        setattr(dataset, keyword, "")
    for keyword in ("AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
        setattr(dataset, keyword, "")
    return dataset


def _set_times(report: hd.sr.ComprehensiveSR, moment: datetime) -> None:
    """The time of the signature or measurement instead of that of the export."""
    date, time = DA(moment.date()), TM(moment.time().replace(microsecond=0))
    report.ContentDate, report.ContentTime = date, time
    report.InstanceCreationDate, report.InstanceCreationTime = date, time
    report.TimezoneOffsetFromUTC = "+0000"
    for equipment in report.get("ContributingEquipmentSequence") or ():
        equipment.ContributionDateTime = DT(moment.replace(tzinfo=None, microsecond=0))


def _uid(*parts: str) -> str:
    """A UID that follows from `parts` (PS3.5, B.2)."""
    return f"2.25.{uuid.uuid5(_UID_NAMESPACE, '|'.join(parts)).int}"


def _person_name(name: str) -> str:
    """A name in DICOM's form: one component of at most 64 characters without separators, marked by a caret."""
    return "".join(" " if character in "^=\\" else character for character in name)[:63] + "^"
