"""The reported circumference as an HL7 FHIR R4B Observation.

Where a site keeps identifiers, the subject is the patient and the effective time that of the examination. Elsewhere the
Observation names no patient: its subject is the neutral reference that a user typed, if any, and it has no effective
time. `issued` is the time of the signature, before it that of the measurement.

References: HL7 FHIR R4B (4.3.0), Observation; LOINC 11984-2 and 18185-9; DICOM PS3.16, codes 125012 and 125013.
"""

from __future__ import annotations

import uuid
from typing import Any
from xml.sax.saxutils import escape

from fhir.resources.R4B.observation import Observation

from fetal_hc import DISCLAIMER
from fetal_hc.errors import MeasurementError, raise_problems
from hc18.measurement.flags import flag_text
from hc18.obstetrics.gestational_age import GestationalAge, age_text
from hc18.obstetrics.growth_standards import HADLOCK_1984
from hc18.reports.case import DECISION_TEXTS, Report, ReportStatus, interval_text, shape_texts, status_text, utc_text
from hc18.reviews.models import Decision

OBSERVATION_STATUSES = frozenset(
    {"registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown"}
)
HEAD_CIRCUMFERENCE_CODE = "11984-2"

IDENTIFIER_SYSTEM = "urn:ietf:rfc:3986"  # of identifiers that are URIs themselves

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "fetal-hc FHIR Observation")
_IDENTIFIER_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
_LOINC = "http://loinc.org"
_DICOM = "http://dicom.nema.org/resources/ontology/DCM"
_UCUM = "http://unitsofmeasure.org"
_CATEGORIES = "http://terminology.hl7.org/CodeSystem/observation-category"
_ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"


def to_fhir_observation(case: Report) -> Observation:
    """The Observation of a case: preliminary until signed, final after it, corrected or amended when signed again.

    A case without millimetres has a reason instead of a value. A signed rejection is `cancelled`, or
    `entered-in-error` when it withdraws an earlier signed value.

    Raises:
        MeasurementError: if the result breaks a rule of `check_observation`, which is a mistake of this program.
    """
    content: dict[str, Any] = {
        "resourceType": "Observation",
        "text": {"status": "generated", "div": _narrative(case)},
        "identifier": [
            {"type": {"text": "SHA-256 of the image pixels"}, "value": case.image_sha256},
            {"system": IDENTIFIER_SYSTEM, "value": observation_urn(case)},
        ],
        "status": _status(case),
        "category": [{"coding": [{"system": _CATEGORIES, "code": "imaging", "display": "Imaging"}]}],
        "code": _concept(_LOINC, HEAD_CIRCUMFERENCE_CODE, "Fetal Head Circumference US"),
        "issued": (case.signed_at_utc if case.is_signed and case.signed_at_utc else case.measured_at_utc).isoformat(),
        "method": {"text": _method(case)},
        "device": _device(case),
        "note": [{"text": text} for text in _notes(case)],
    }
    if case.hc_mm is None:
        content["dataAbsentReason"] = _concept(_ABSENT, "unknown", "Unknown", case.no_value_reason)
    else:
        content["valueQuantity"] = _quantity(case.hc_mm, "mm", 1)
        content["component"] = _components(case)
    content |= _subject(case)
    if case.reviewer:
        content["performer"] = [{"display": case.reviewer}]
    if case.dicom_source is not None:
        content["derivedFrom"] = [_dicom_image(case)]
    observation = Observation.model_validate(content)
    check_observation(observation)
    return observation


def observation_urn(case: Report) -> str:
    """The name of the Observation of an image; it stays the same when the case is signed again."""
    return uuid.uuid5(_NAMESPACE, case.image_sha256).urn


def to_fhir_json(case: Report) -> str:
    """The Observation of a case as JSON text."""
    return to_fhir_observation(case).model_dump_json(indent=2)


def check_observation(observation: Observation) -> None:
    """Rules that the FHIR library leaves open: the set of statuses, the unit, a value or a reason, the warning.

    Raises:
        MeasurementError: listing every rule that is broken.
    """
    problems = []
    if observation.status not in OBSERVATION_STATUSES:
        problems.append(f"status is '{observation.status}'; expected one of {', '.join(sorted(OBSERVATION_STATUSES))}")
    value = observation.valueQuantity
    if (value is None) == (observation.dataAbsentReason is None):
        problems.append("expected either a value or the reason why there is none")
    if value is not None and (value.system, value.code, value.unit) != (_UCUM, "mm", "mm"):
        problems.append(f"the unit is '{value.code}' of '{value.system}'; expected mm of UCUM")
    if value is not None and str(observation.status) in ("cancelled", "entered-in-error"):
        problems.append(f"a value in an Observation that is {observation.status}")
    if not any(DISCLAIMER in (note.text or "") for note in observation.note or ()):
        problems.append("the note that this is for research only is missing")
    if problems:
        raise_problems(MeasurementError, problems, "the FHIR Observation is not valid")


def _status(case: Report) -> str:
    if case.status is ReportStatus.PRELIMINARY:
        return "preliminary"
    if case.decision is Decision.REJECTED:
        return "entered-in-error" if case.was_amended else "cancelled"
    if case.status is ReportStatus.FINAL:
        return "final"
    return "corrected" if case.decision is Decision.CORRECTED else "amended"


def _method(case: Report) -> str:
    by_whom = "set by the reviewer" if case.decision is Decision.CORRECTED else "fitted to the model's outline"
    return f"Circumference of the ellipse around the outside of the fetal skull in a 2D ultrasound image, {by_whom}"


def _notes(case: Report) -> list[str]:
    """What a reader has to know in addition to the value, one or more sentences each."""
    notes = [DISCLAIMER, f"{DECISION_TEXTS[case.decision]}. Status: {status_text(case)}."]
    if case.reason:
        notes.append(f"Reviewer's reason: {case.reason}")
    if case.decision is Decision.CORRECTED and case.model_hc_mm is not None:
        notes.append(f"Before the correction, the model measured {case.model_hc_mm:.1f} mm.")
    if interval_text(case):
        notes.append(f"Interval of the model: {interval_text(case)}.")
    if case.shape is not None:
        notes.append("; ".join(f"{name}: {value}" for name, value in shape_texts(case.shape).items()) + ".")
    notes.append(" ".join([f"Calibration: {case.calibration.detail}", *case.calibration.warnings]))
    notes += [f"Quality flag {flag}: {flag_text(flag).sentence}" for flag in case.flags]
    notes += [text for age in case.ages for text in _age_notes(age)]
    if case.hc_mm is not None and not case.growth:
        notes.append(f"No percentile: {case.growth.reason}")
    return notes


def _age_notes(age: GestationalAge) -> list[str]:
    if age.days is None:
        return [f"No age by {age.standard}: {age.reason}"]
    texts = list(age.warnings)
    if age.interval_days is not None:
        low, high = age.interval_days
        texts.insert(0, f"±2 SD: {low:.0f} to {high:.0f} days.")
    return [f"{age.standard}: {' '.join(texts)}"] if texts else []


def _subject(case: Report) -> dict[str, Any]:
    """The patient, the order and the time of the examination, as far as they are known."""
    known, content = case.identifiers, dict[str, Any]()
    if known is not None and known.patient_id:
        identifier: dict[str, Any] = {"type": _identifier_type("MR"), "value": known.patient_id}
        if known.issuer_of_patient_id:
            identifier["assigner"] = {"display": known.issuer_of_patient_id}
        content["subject"] = {"type": "Patient", "identifier": identifier}
        if known.display_name:
            content["subject"]["display"] = known.display_name
    elif case.subject_reference:
        content["subject"] = {"type": "Patient", "identifier": {"value": case.subject_reference}}
    if known is not None and known.accession_number:
        order = {"type": _identifier_type("ACSN"), "value": known.accession_number}
        content["basedOn"] = [{"type": "ServiceRequest", "identifier": order}]
    if known is not None and known.examined is not None:
        content["effectiveDateTime"] = known.examined.isoformat()
    return content


def _identifier_type(code: str) -> dict[str, Any]:
    return {"coding": [{"system": _IDENTIFIER_TYPES, "code": code}]}


def _device(case: Report) -> dict[str, Any]:
    """The model, by name, version and the hash of its file."""
    return {
        "display": f"{case.model_name}, version {case.model_version}, SHA-256 {case.model_sha256}",
        "identifier": {"type": {"text": "SHA-256 of the model file"}, "value": case.model_sha256},
    }


def _components(case: Report) -> list[dict[str, Any]]:
    """Ages from the circumference; the independent age with z-score and percentile."""
    components = []
    for age in case.ages:
        if age.days is not None:
            text = f"Gestational age from the head circumference, {age.standard}"
            concept = _concept(_LOINC, "18185-9", "Gestational age", text)
            if age.standard is HADLOCK_1984:
                concept["coding"].append({"system": _LOINC, "code": "11932-1"})
            components.append({"code": concept, "valueQuantity": _quantity(age.days, "d", 1)})
    growth, ga_days = case.growth, case.independent_ga_days
    if growth.z_score is None or growth.percentile is None or ga_days is None:
        return components
    text = f"Gestational age independent of the head circumference: {case.ga_source or 'source not stated'}"
    concept = _concept(_LOINC, "11884-4", "Gestational age Estimated", text)
    components.append({"code": concept, "valueQuantity": _quantity(ga_days, "d", 1)})
    at = f"{growth.standard}, at {age_text(ga_days)} weeks"
    for code, display, value, unit in (
        ("125013", "Growth Z-score", growth.z_score, "1"),
        ("125012", "Growth Percentile Rank", growth.percentile, "%"),
    ):
        concept = _concept(_DICOM, code, display, f"{display}, {at}")
        components.append({"code": concept, "valueQuantity": _quantity(value, unit, 2)})
    return components


def _dicom_image(case: Report) -> dict[str, Any]:
    """Reference to the study by its UID, as FHIR identifies DICOM studies; the image is in the display text."""
    source = case.dicom_source
    if source is None:
        return {}
    frame = "" if source.frame_number is None else f", frame {source.frame_number}"
    return {
        "type": "ImagingStudy",
        "identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{source.study_instance_uid}"},
        "display": f"SOP instance {source.sop_instance_uid}{frame}",
    }


def _narrative(case: Report) -> str:
    value = f"{case.hc_mm:.1f} mm" if case.hc_mm is not None else f"no value. {case.no_value_reason}"
    lines = [
        f"Fetal head circumference: {value}",
        f"{status_text(case)}. {DECISION_TEXTS[case.decision]}.",
        f"Measured {utc_text(case.measured_at_utc)}",
        DISCLAIMER,
    ]
    body = "".join(f"<p>{escape(line)}</p>" for line in lines)
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{body}</div>'


def _concept(system: str, code: str, display: str, text: str = "") -> dict[str, Any]:
    coding = {"system": system, "code": code, "display": display}
    return {"coding": [coding], "text": text or display}


def _quantity(value: float, unit: str, decimals: int) -> dict[str, Any]:
    return {"value": round(value, decimals), "unit": unit, "system": _UCUM, "code": unit}
