"""Who and when a DICOM image shows: for sites that let reports go back to the patient's record. Never for a log.

References: DICOM PS3.3, C.7.1.1 (patient), C.7.2.1 (study), C.7.6.1 (time of an image).
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime, time, timedelta, timezone

from hc18.dicom.header import PARSING_ERRORS, read_attributes, read_bytes

_KEYWORDS = {
    "patient_name": "PatientName",
    "patient_id": "PatientID",
    "issuer_of_patient_id": "IssuerOfPatientID",
    "birth_date": "PatientBirthDate",
    "sex": "PatientSex",
    "accession_number": "AccessionNumber",
    "study_id": "StudyID",
    "study_date": "StudyDate",
    "study_time": "StudyTime",
    "acquisition_date": "AcquisitionDate",
    "acquisition_time": "AcquisitionTime",
    "utc_offset": "TimezoneOffsetFromUTC",
}
_DATE, _TIME = re.compile(r"\d{8}"), re.compile(r"(\d{2})(\d{2})(\d{2})?(\.\d{1,6})?")
_OFFSET = re.compile(r"([+-])(\d{2})(\d{2})")


@dataclass(frozen=True, slots=True, repr=False)
class Identifiers:
    """What leads from an image to its patient, as the file writes it; empty where it says nothing.

    Attributes:
        patient_name: components separated by carets.
        patient_id: number of the patient.
        issuer_of_patient_id: who gave that number.
        birth_date: YYYYMMDD.
        sex: F, M or O.
        accession_number: of the order.
        study_id: of the examination.
        study_date: YYYYMMDD.
        study_time: HHMMSS.
        acquisition_date: of the image, YYYYMMDD.
        acquisition_time: of the image, HHMMSS.
        utc_offset: of all times, such as +0100.
    """

    patient_name: str = ""
    patient_id: str = ""
    issuer_of_patient_id: str = ""
    birth_date: str = ""
    sex: str = ""
    accession_number: str = ""
    study_id: str = ""
    study_date: str = ""
    study_time: str = ""
    acquisition_date: str = ""
    acquisition_time: str = ""
    utc_offset: str = ""

    def __repr__(self) -> str:
        """Says which are known and none of their values, so that a log or a traceback shows none."""
        known = ", ".join(item.name for item in fields(self) if getattr(self, item.name))
        return f"Identifiers({known or 'none'})"

    def to_json(self) -> str:
        """As text, to be encrypted before it is stored."""
        return json.dumps({name: value for name, value in asdict(self).items() if value}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Identifiers:
        """From the text of `to_json`; names that this version does not know are left out."""
        known = {item.name for item in fields(cls)}
        return cls(**{name: str(value) for name, value in json.loads(text).items() if name in known})

    @property
    def display_name(self) -> str:
        """The patient's name for readers: family name, comma, given names."""
        alphabetic = self.patient_name.partition("=")[0]
        family, *given = [part.strip() for part in alphabetic.split("^")]
        return ", ".join(part for part in (family, " ".join(part for part in given[:2] if part)) if part)

    @property
    def examined(self) -> date | datetime | None:
        """When the image was taken, else when the study began; a time only where its zone is known."""
        day, clock = self.acquisition_date, self.acquisition_time
        if not day:
            day, clock = self.study_date, self.study_time
        try:
            on = date(int(day[:4]), int(day[4:6]), int(day[6:])) if _DATE.fullmatch(day) else None
            at, zone = _to_time(clock), _to_zone(self.utc_offset)
        except ValueError:
            return None
        return on if on is None or at is None or zone is None else datetime.combine(on, at, zone)


def read_identifiers(path_or_bytes: str | os.PathLike[str] | bytes) -> Identifiers:
    """The identifiers of a DICOM file; an attribute that cannot be read counts as absent.

    Args:
        path_or_bytes: the file, or its content.

    Raises:
        ImageError: if it is not a DICOM file or cannot be parsed.
    """
    dataset = read_attributes(read_bytes(path_or_bytes), (*_KEYWORDS.values(), "SpecificCharacterSet"))
    values = {}
    for name, keyword in _KEYWORDS.items():
        try:
            values[name] = _one_line(str(dataset.get(keyword) or ""))
        except PARSING_ERRORS:
            values[name] = ""
    return Identifiers(**values)


def _one_line(text: str) -> str:
    """The text without what is no part of a name or number: control characters, spaces at the ends."""
    return "".join(character for character in text if character.isprintable()).strip()


def _to_time(text: str) -> time | None:
    """A time of DICOM; None if it is missing or less precise than a minute; ValueError for an impossible one."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    hour, minute, second, _ = found.groups()
    return time(int(hour), int(minute), min(int(second or 0), 59))


def _to_zone(text: str) -> timezone | None:
    found = _OFFSET.fullmatch(text)
    if found is None:
        return None
    sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-offset if sign == "-" else offset)
