"""Identifiers of a DICOM file: read whole, written and read again, and never shown by accident."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from hc18.dicom import Identifiers, read_identifiers
from tests.synthetic_dicom import SECRETS, to_bytes, ultrasound


def read(**changes: object) -> Identifiers:
    return read_identifiers(to_bytes(ultrasound(**changes)))


def test_file_gives_patient_study_and_time() -> None:
    found = read(AcquisitionDate="20210203", AcquisitionTime="101112.5", TimezoneOffsetFromUTC="+0100")
    assert (found.patient_name, found.patient_id) == ("Identitas^Planta", "PID-4711-SECRET")
    assert (found.accession_number, found.study_id) == ("ACC-0815-SECRET", "STUDY-99-SECRET")
    assert (found.birth_date, found.study_date) == ("19870605", "20210203")
    assert found.display_name == "Identitas, Planta"
    assert found.examined == datetime(2021, 2, 3, 10, 11, 12, tzinfo=timezone(timedelta(hours=1)))


def test_names_of_other_alphabets_are_read_by_their_character_set() -> None:
    found = read(SpecificCharacterSet="ISO_IR 100", PatientName="Größe^Änne")
    assert found.patient_name == "Größe^Änne"


def test_text_that_is_stored_gives_the_same_identifiers() -> None:
    found = read()
    assert Identifiers.from_json(found.to_json()) == found
    assert Identifiers.from_json('{"patient_id": "7", "of_a_later_version": "x"}') == Identifiers(patient_id="7")


def test_nothing_personal_is_shown_by_accident() -> None:
    shown = f"{read()} {read()!r}"
    assert "patient_name" in shown
    assert not [secret for secret in SECRETS if secret in shown]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"study_date": "20210203", "study_time": "101112"}, date(2021, 2, 3)),  # a time of an unknown zone
        (
            {"study_date": "20210203", "study_time": "1011", "utc_offset": "+0000"},
            datetime(2021, 2, 3, 10, 11, tzinfo=UTC),
        ),
        ({"study_date": "20210203", "acquisition_date": "20210204"}, date(2021, 2, 4)),
        ({"study_date": "20211341"}, None),
        ({"study_date": "2021.02.03"}, None),
        ({}, None),
    ],
)
def test_time_of_the_examination(values: dict[str, str], expected: date | None) -> None:
    assert Identifiers(**values).examined == expected
