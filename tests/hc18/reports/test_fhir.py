"""Observations are parsed again by fhir.resources, and read as the JSON that a server gets."""

import json
from typing import Any

import pytest
from fhir.resources.R4B.observation import Observation

from fetal_hc import DISCLAIMER
from fetal_hc.errors import MeasurementError
from hc18.dicom import Identifiers, SourceReference
from hc18.obstetrics.gestational_age import hadlock_1984, intergrowth_dating
from hc18.obstetrics.growth import intergrowth_hc
from hc18.reports.case import Report
from hc18.reports.fhir import check_observation, observation_urn, to_fhir_json, to_fhir_observation
from tests.hc18.reports import reported

SOURCE = SourceReference("1.2.840.10008.5.1.4.1.1.6.1", "1.2.3.4", "1.2.3", "1.2.3.9", 7)


def read(case: Report) -> dict[str, Any]:
    """The JSON of a case, after the library parsed it again."""
    text = to_fhir_json(case)
    assert Observation.model_validate_json(text) == to_fhir_observation(case)
    content: dict[str, Any] = json.loads(text)
    return content


def notes(content: dict[str, Any]) -> str:
    return "\n".join(note["text"] for note in content["note"])


def components(content: dict[str, Any]) -> dict[str, tuple[float, str]]:
    """Value and unit by the text of the code."""
    return {
        item["code"]["text"]: (item["valueQuantity"]["value"], item["valueQuantity"]["code"])
        for item in content.get("component", ())
    }


def test_value_is_the_reported_circumference_in_ucum_millimetres() -> None:
    content = read(reported.accepted())
    assert content["code"]["coding"][0] == {
        "system": "http://loinc.org",
        "code": "11984-2",
        "display": "Fetal Head Circumference US",
    }
    assert content["valueQuantity"] == {
        "value": round(reported.hc_mm(reported.MODEL_ELLIPSE_PX), 1),
        "unit": "mm",
        "system": "http://unitsofmeasure.org",
        "code": "mm",
    }
    assert content["category"][0]["coding"][0]["code"] == "imaging"


@pytest.mark.parametrize(
    ("case", "status"),
    [
        (reported.unreviewed(), "preliminary"),
        (reported.accepted(is_signed=False), "preliminary"),
        (reported.accepted(is_signed=False, was_amended=True), "preliminary"),
        (reported.accepted(), "final"),
        (reported.corrected(), "final"),
        (reported.accepted(was_amended=True), "amended"),
        (reported.corrected(was_amended=True), "corrected"),
        (reported.rejected(is_signed=False), "preliminary"),
        (reported.rejected(), "cancelled"),
        (reported.rejected(was_amended=True), "entered-in-error"),
    ],
)
def test_status_follows_signature_and_decision(case: Report, status: str) -> None:
    assert read(case)["status"] == status


def test_corrected_value_comes_with_the_one_before() -> None:
    content = read(reported.corrected())
    assert content["valueQuantity"]["value"] == round(reported.hc_mm(reported.FINAL_ELLIPSE_PX), 1)
    assert f"measured {reported.hc_mm(reported.MODEL_ELLIPSE_PX):.1f} mm" in notes(content)
    assert "set by the reviewer" in content["method"]["text"]


def test_without_calibration_there_is_a_reason_and_no_value() -> None:
    content = read(reported.uncalibrated())
    assert "valueQuantity" not in content
    assert "component" not in content
    assert content["dataAbsentReason"]["coding"][0]["code"] == "unknown"
    assert content["dataAbsentReason"]["text"] == reported.UNCALIBRATED.detail


def test_rejected_case_has_no_value() -> None:
    content = read(reported.rejected())
    assert "valueQuantity" not in content
    assert "rejected" in content["dataAbsentReason"]["text"]
    assert "Not the plane of the thalami." in notes(content)


def test_ages_and_percentile_are_components_with_their_standards() -> None:
    found = components(read(reported.accepted()))
    measured = reported.hc_mm(reported.MODEL_ELLIPSE_PX)
    growth = intergrowth_hc(measured, 138)
    at = "INTERGROWTH-21st fetal HC 2014, at 19+5 weeks"
    expected = {
        "Gestational age from the head circumference, Hadlock 1984": (hadlock_1984(measured).days, "d"),
        "Gestational age from the head circumference, INTERGROWTH-21st dating 2016": (
            intergrowth_dating(measured).days,
            "d",
        ),
        "Gestational age independent of the head circumference: estimated due date": (138, "d"),
        f"Growth Z-score, {at}": (growth.z_score, "1"),
        f"Growth Percentile Rank, {at}": (growth.percentile, "%"),
    }
    assert {text: unit for text, (_, unit) in found.items()} == {text: unit for text, (_, unit) in expected.items()}
    for text, (value, _) in expected.items():
        assert found[text][0] == pytest.approx(value, abs=0.051)


def test_no_percentile_without_an_independent_age() -> None:
    content = read(reported.unreviewed())
    assert not any("Growth" in text for text in components(content))
    assert "No percentile" in notes(content)


def test_model_image_and_reviewer_are_named() -> None:
    content = read(reported.accepted())
    assert content["device"]["identifier"]["value"] == reported.MODEL_SHA256
    assert "version 0.1.0" in content["device"]["display"]
    assert content["identifier"][0]["value"] == reported.IMAGE_SHA256
    assert content["performer"] == [{"display": "M. Okafor"}]
    assert content["issued"] == "2026-05-04T09:41:02Z"


def test_research_use_stands_in_note_and_narrative() -> None:
    content = read(reported.unreviewed())
    assert DISCLAIMER in notes(content)
    assert DISCLAIMER in content["text"]["div"]


def test_interval_of_the_model_is_a_note() -> None:
    content = read(reported.unreviewed(hc_interval_mm=(161.0, 170.2), hc_interval_level=0.95))
    assert "Interval of the model: 161.0 to 170.2 mm (95 %)." in notes(content)


def test_source_image_is_referred_to_only_when_it_is_dicom() -> None:
    assert "derivedFrom" not in read(reported.unreviewed())
    (reference,) = read(reported.unreviewed(dicom_source=SOURCE))["derivedFrom"]
    assert reference["identifier"] == {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}
    assert reference["display"] == "SOP instance 1.2.3.4, frame 7"


def test_subject_is_what_the_user_typed_or_absent() -> None:
    assert "subject" not in read(reported.unreviewed())
    assert read(reported.unreviewed(subject_reference="study-007"))["subject"]["identifier"] == {"value": "study-007"}


def test_script_and_line_breaks_are_text() -> None:
    content = read(reported.rejected(reviewer="<script>x</script>\nEve", reason="a\r\nb"))
    assert content["performer"] == [{"display": "<script>x</script> Eve"}]
    assert "<script" not in content["text"]["div"]
    assert "a b" in notes(content)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"status": "signed"}, "status is 'signed'"),
        ({"status": "cancelled"}, "a value in an Observation that is cancelled"),
        ({"valueQuantity": None}, "either a value or the reason"),
        ({"note": None}, "research"),
        ({"valueQuantity": {"value": 16.5, "unit": "cm", "system": "http://unitsofmeasure.org", "code": "cm"}}, "mm"),
    ],
)
def test_rules_beyond_the_library_are_checked(change: dict[str, Any], expected: str) -> None:
    content = json.loads(to_fhir_json(reported.accepted()))
    content.update(change)
    observation = Observation.model_validate({key: value for key, value in content.items() if value is not None})
    with pytest.raises(MeasurementError, match=expected):
        check_observation(observation)


def test_patient_order_and_time_are_named_where_the_site_keeps_them() -> None:
    known = Identifiers(
        patient_name="Doe^Jane", patient_id="4711", issuer_of_patient_id="KLINIK", accession_number="A-9",
        study_date="20260504", study_time="093000", utc_offset="+0200",
    )  # fmt: skip
    content = read(reported.accepted(identifiers=known, subject_reference="S-1"))
    assert content["subject"]["identifier"]["value"] == "4711"
    assert content["subject"]["identifier"]["assigner"] == {"display": "KLINIK"}
    assert content["subject"]["display"] == "Doe, Jane"
    assert content["basedOn"][0]["identifier"]["value"] == "A-9"
    assert content["effectiveDateTime"] == "2026-05-04T09:30:00+02:00"


def test_without_identifiers_there_is_no_effective_time_and_no_order() -> None:
    content = read(reported.accepted(subject_reference="S-1"))
    assert content["subject"] == {"type": "Patient", "identifier": {"value": "S-1"}}
    assert not {"effectiveDateTime", "basedOn"} & set(content)


def test_observation_keeps_its_name_when_it_is_signed_again() -> None:
    first, again = reported.accepted(), reported.accepted(was_amended=True)
    assert observation_urn(first) == observation_urn(again)
    assert observation_urn(first) in [one.get("value") for one in read(first)["identifier"]]
