"""Ultrasound images in DICOM files: frames, calibrated regions, and which pixels may be shown.

Only `is_dicom` is loaded at once; the rest brings the library that reads DICOM, which batches of pictures do not need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hc18.dicom.signature import is_dicom

if TYPE_CHECKING:
    from hc18.dicom.identifiers import Identifiers, read_identifiers
    from hc18.dicom.image import DicomImage, read_dicom
    from hc18.dicom.privacy import NeedsRegion, pixel_sha256
    from hc18.dicom.reference import SourceReference, source_reference
    from hc18.dicom.regions import UltrasoundRegion

__all__ = [
    "DicomImage",
    "Identifiers",
    "NeedsRegion",
    "SourceReference",
    "UltrasoundRegion",
    "is_dicom",
    "pixel_sha256",
    "read_dicom",
    "read_identifiers",
    "source_reference",
]

_MODULES = {
    "DicomImage": "image",
    "read_dicom": "image",
    "Identifiers": "identifiers",
    "read_identifiers": "identifiers",
    "NeedsRegion": "privacy",
    "pixel_sha256": "privacy",
    "SourceReference": "reference",
    "source_reference": "reference",
    "UltrasoundRegion": "regions",
}


def __getattr__(name: str) -> Any:
    """One of the public names, loaded when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module 'hc18.dicom' has no attribute '{name}'")
    return getattr(import_module(f"hc18.dicom.{_MODULES[name]}"), name)
