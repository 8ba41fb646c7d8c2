"""Finding and fetching images of an archive by DICOMweb: studies, their ultrasound images, thumbnails, files.

What is found names patients. It is for the screen of the person who searched: it is stored nowhere and never logged.

References: DICOM PS3.18, chapters 10.4 (WADO-RS) and 10.6 (QIDO-RS).
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from typing import Any

import pydicom
from PIL import Image
from pydicom.dataset import Dataset

from fetal_hc.io.quiet import quiet_decoders
from hc18.dicom.header import PARSING_ERRORS
from hc18.pacs.web import ArchiveError, WebService

MOST_STUDIES = 100  # of one search; a person narrows it down
_MODALITY = "US"
_THUMBNAIL_PX = 480
_WILDCARDS = "*?"
_NOT_ASCII = re.compile(r"[^\x00-\x7F]+")
_ENCODED = re.compile(r"[^A-Za-z0-9._~*?-]")
_STUDY_FIELDS = ("StudyDescription", "NumberOfStudyRelatedInstances", "ModalitiesInStudy")
_IMAGE_FIELDS = ("NumberOfFrames", "Rows", "Columns", "InstanceNumber")


@dataclass(frozen=True, slots=True, repr=False)
class StudyQuery:
    """What is searched for; empty fields match everything. Without wildcards a text may go on after what is typed.

    Attributes:
        patient_name: family name first, as the archive writes it.
        patient_id: number of the patient.
        accession_number: of the order.
        description: of the study.
        first_day: of the study.
        last_day: of the study.
    """

    patient_name: str = ""
    patient_id: str = ""
    accession_number: str = ""
    description: str = ""
    first_day: date | None = None
    last_day: date | None = None

    @property
    def patterns(self) -> dict[str, str]:
        """What each attribute must look like; identifiers are matched whole."""
        texts = {
            "PatientName": _open_end(self.patient_name),
            "PatientID": self.patient_id.strip(),
            "AccessionNumber": self.accession_number.strip(),
            "StudyDescription": _open_end(self.description, at_both=True),
        }
        return {keyword: text for keyword, text in texts.items() if text}

    def to_filters(self) -> dict[str, str]:
        """As the archive is asked, for less than `patterns`: `search_studies` compares what it gets.

        Wildcards stand for every character that addresses must encode: some archives do not decode them (Orthanc 1.10),
        or take a letter with an accent for several characters.
        """
        texts = {keyword: _ENCODED.sub("?", _NOT_ASCII.sub("*", text)) for keyword, text in self.patterns.items()}
        if self.first_day is not None or self.last_day is not None:
            days = [f"{day:%Y%m%d}" if day is not None else "" for day in (self.first_day, self.last_day)]
            texts["StudyDate"] = "-".join(days)
        return texts | {"ModalitiesInStudy": _MODALITY}


@dataclass(frozen=True, slots=True, repr=False)
class FoundStudy:
    """A study that was found."""

    uid: str
    patient_name: str
    patient_id: str
    accession_number: str
    study_date: str
    description: str
    n_instances: int


@dataclass(frozen=True, slots=True, repr=False)
class FoundImage:
    """An image of a study.

    Attributes:
        study_uid: of its study.
        series_uid: of its series.
        uid: its own.
        series_number: of its series; 0 if the archive says none.
        number: in its series; 0 if the archive says none.
        n_frames: at least 1.
        series_description: in the archive's words.
    """

    study_uid: str
    series_uid: str
    uid: str
    series_number: int
    number: int
    n_frames: int
    series_description: str

    @property
    def file_name(self) -> str:
        """What it is called in a session; names nobody."""
        return f"series {self.series_number} image {self.number}.dcm"


def search_studies(service: WebService, query: StudyQuery) -> list[FoundStudy]:
    """The studies with ultrasound that match, newest first, at most `MOST_STUDIES`.

    Raises:
        ArchiveError: if the archive cannot be asked.
    """
    filters, patterns = query.to_filters(), query.patterns
    with service.asking():
        answers = service.dicomweb().search_for_studies(
            limit=MOST_STUDIES, fields=list(_STUDY_FIELDS), search_filters=filters
        )
    datasets = [Dataset.from_json(answer) for answer in answers]
    found = [_to_study(dataset) for dataset in datasets if _matches(dataset, patterns)]
    return sorted((study for study in found if study.uid), key=lambda study: study.study_date, reverse=True)


def list_images(service: WebService, study_uid: str) -> list[FoundImage]:
    """The ultrasound images of a study by series and number.

    Raises:
        ArchiveError: if the archive cannot be asked.
    """
    images = []
    with service.asking():
        client = service.dicomweb()
        for answer in client.search_for_series(study_uid, fields=["SeriesDescription"]):
            series = Dataset.from_json(answer)
            if series.get("Modality") != _MODALITY:
                continue
            instances = client.search_for_instances(study_uid, series.SeriesInstanceUID, fields=list(_IMAGE_FIELDS))
            images += [_to_image(study_uid, series, Dataset.from_json(one)) for one in instances]
    return sorted(images, key=lambda image: (image.series_number, image.series_uid, image.number, image.uid))


def fetch_thumbnail(service: WebService, image: FoundImage, frame: int = 1) -> bytes:
    """A small picture of an image as the archive draws it: a JPEG, which may show names that are written into it.

    Args:
        service: of the archive.
        image: the image.
        frame: 1-based.

    Raises:
        ArchiveError: if the archive cannot draw it.
    """
    with service.asking():
        client, uids = service.dicomweb(), (image.study_uid, image.series_uid, image.uid)
        if image.n_frames == 1:
            drawn = client.retrieve_instance_rendered(*uids, media_types=("image/jpeg",))
        else:
            drawn = client.retrieve_instance_frames_rendered(*uids, [frame], media_types=("image/jpeg",))
        return _shrunk(drawn)


def fetch_file(service: WebService, image: FoundImage) -> bytes:
    """The content of the DICOM file of an image, in the transfer syntax that the archive stores.

    Raises:
        ArchiveError: if the archive does not give it.
    """
    with service.asking():
        dataset = service.dicomweb().retrieve_instance(
            image.study_uid, image.series_uid, image.uid, media_types=(("application/dicom", "*"),)
        )
    stream = io.BytesIO()
    try:
        with quiet_decoders():
            pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    except PARSING_ERRORS:
        raise ArchiveError(f"{service.url}: gave a damaged DICOM object; look at it in the archive") from None
    return stream.getvalue()


def _matches(answer: Dataset, patterns: dict[str, str]) -> bool:
    """Whether an answer fits what was typed, where the archive was asked for less."""
    asked = {keyword: text for keyword, text in patterns.items() if _ENCODED.search(text)}
    return all(fnmatchcase(_text(answer, keyword).casefold(), text.casefold()) for keyword, text in asked.items())


def _shrunk(content: bytes) -> bytes:
    """A picture of at most `_THUMBNAIL_PX` as a JPEG; raises `OSError` if it cannot be read."""
    with Image.open(io.BytesIO(content)) as picture:
        small = picture.convert("RGB")
    small.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=85)
    return stream.getvalue()


def _to_study(answer: Dataset) -> FoundStudy:
    return FoundStudy(
        uid=_text(answer, "StudyInstanceUID"),
        patient_name=_text(answer, "PatientName"),
        patient_id=_text(answer, "PatientID"),
        accession_number=_text(answer, "AccessionNumber"),
        study_date=_text(answer, "StudyDate"),
        description=_text(answer, "StudyDescription"),
        n_instances=_number(answer, "NumberOfStudyRelatedInstances"),
    )


def _to_image(study_uid: str, series: Dataset, answer: Dataset) -> FoundImage:
    return FoundImage(
        study_uid=study_uid,
        series_uid=_text(series, "SeriesInstanceUID"),
        uid=_text(answer, "SOPInstanceUID"),
        series_number=_number(series, "SeriesNumber"),
        number=_number(answer, "InstanceNumber"),
        n_frames=max(_number(answer, "NumberOfFrames"), 1),
        series_description=_text(series, "SeriesDescription"),
    )


def _open_end(text: str, *, at_both: bool = False) -> str:
    """The text with a wildcard behind it, or around it, unless it has one."""
    bare = text.strip()
    if not bare or any(character in bare for character in _WILDCARDS):
        return bare
    return f"*{bare}*" if at_both else f"{bare}*"


def _text(dataset: Dataset, keyword: str) -> str:
    return "".join(character for character in str(dataset.get(keyword) or "") if character.isprintable()).strip()


def _number(dataset: Dataset, keyword: str) -> int:
    value: Any = dataset.get(keyword)
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0
