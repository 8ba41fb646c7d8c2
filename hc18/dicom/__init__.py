"""Ultrasound images in DICOM files: frames, calibrated regions, and which pixels may be shown."""

from hc18.dicom.header import is_dicom
from hc18.dicom.image import DicomImage, read_dicom
from hc18.dicom.privacy import NeedsRegion, pixel_sha256
from hc18.dicom.reference import SourceReference, source_reference
from hc18.dicom.regions import UltrasoundRegion

__all__ = [
    "DicomImage",
    "NeedsRegion",
    "SourceReference",
    "UltrasoundRegion",
    "is_dicom",
    "pixel_sha256",
    "read_dicom",
    "source_reference",
]
