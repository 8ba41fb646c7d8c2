"""The identifiers by which a report refers to its source image: UIDs, and nothing of the patient."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from fetal_hc.errors import ImageError
from hc18.dicom.header import count_of, read_attributes, read_bytes

_KEYWORDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_LONGEST_UID = 64


@dataclass(frozen=True, slots=True)
class SourceReference:
    """The DICOM image, and the frame of it, that a report speaks of.

    The UIDs lead back to the patient in the archive that holds the image: they belong into a report that returns to
    that archive, not into a store of cases.

    Attributes:
        sop_class_uid: kind of DICOM object.
        sop_instance_uid: the image.
        study_instance_uid: the examination.
        series_instance_uid: the series.
        frame_number: 1-based, as DICOM counts; None if the image has a single frame.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    frame_number: int | None = None


def source_reference(path_or_bytes: str | os.PathLike[str] | bytes, frame_index: int = 0) -> SourceReference:
    """The identifiers of a DICOM image.

    Args:
        path_or_bytes: the file, or its content.
        frame_index: 0-based frame.

    Raises:
        ImageError: if it is not a DICOM file, lacks one of the identifiers or has no such frame.
    """
    dataset = read_attributes(read_bytes(path_or_bytes), (*_KEYWORDS, "NumberOfFrames"))
    uids = [str(dataset.get(keyword) or "") for keyword in _KEYWORDS]
    if not all(_UID.fullmatch(uid) and len(uid) <= _LONGEST_UID for uid in uids):
        raise ImageError(
            "The DICOM file lacks the identifiers by which a report could refer to it (image, series and study); "
            "a DICOM report needs the original file from the archive."
        )
    n_frames = max(count_of(dataset, "NumberOfFrames"), 1)
    if not 0 <= frame_index < n_frames:
        raise ImageError(f"There is no frame {frame_index + 1}; the file has {n_frames}.")
    sop_class, sop_instance, study_instance, series_instance = uids
    frame_number = None if n_frames == 1 else frame_index + 1
    return SourceReference(sop_class, sop_instance, study_instance, series_instance, frame_number)
