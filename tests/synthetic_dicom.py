"""Small DICOM ultrasound objects written in memory, full of planted personal data that nothing may keep; real files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID, ExplicitVRLittleEndian, UltrasoundImageStorage

IDENTITY = {
    "PatientName": "Identitas^Planta",
    "PatientID": "PID-4711-SECRET",
    "PatientBirthDate": "19870605",
    "AccessionNumber": "ACC-0815-SECRET",
    "StudyDate": "20210203",
    "InstitutionName": "Klinik Nirgendwo",
    "ReferringPhysicianName": "Refer^Medica",
    "StudyID": "STUDY-99-SECRET",
    "ImageComments": "comment about Identitas Planta",
}
SECRETS = ("Identitas", "Planta", "PID-4711", "19870605", "ACC-0815", "20210203", "Nirgendwo", "Medica", "STUDY-99")
UIDS = {"SOPInstanceUID": "1.2.3.4", "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.5"}


def region(
    box: tuple[int, int, int, int] = (10, 5, 89, 69), delta_cm: tuple[float, float] = (0.02, 0.02), **changes: Any
) -> Dataset:
    """A calibrated 2D tissue region; `box` is MinX0, MinY0, MaxX1, MaxY1, inclusive; a change to None deletes."""
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, 1, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = box[:2]
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = box[2:]
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX, item.PhysicalDeltaY = delta_cm
    _change(item, changes)
    return item


def ultrasound(
    pixels: NDArray[np.generic] | None = None, regions: Sequence[Dataset] | None = None, **changes: Any
) -> Dataset:
    """A US image dataset with planted identity; 80 rows x 100 columns of grey unless `pixels` are given.

    Args:
        pixels: (H, W), (frames, H, W), (H, W, 3) or (frames, H, W, 3), uint8 or uint16.
        regions: items of the region sequence; no sequence when None.
        changes: attributes to set, or to delete when None.
    """
    values = gradient() if pixels is None else pixels
    is_color = values.ndim > 2 and values.shape[-1] == 3
    frame_shape = values.shape[-3:-1] if is_color else values.shape[-2:]
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword, value in {**IDENTITY, **UIDS}.items():
        setattr(dataset, keyword, value)
    dataset.SOPClassUID, dataset.Modality = UltrasoundImageStorage, "US"
    dataset.Rows, dataset.Columns = frame_shape
    if values.ndim == len(frame_shape) + is_color + 1:
        dataset.NumberOfFrames = values.shape[0]
    dataset.SamplesPerPixel = 3 if is_color else 1
    dataset.PhotometricInterpretation = "RGB" if is_color else "MONOCHROME2"
    if is_color:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = values.dtype.itemsize * 8
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, 0
    raw = values.tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    if regions is not None:
        dataset.SequenceOfUltrasoundRegions = DicomSequence(regions)
    _change(dataset, changes)
    return dataset


def to_bytes(dataset: Dataset) -> bytes:
    """The dataset as a DICOM file; the preamble is our own, because pydicom would refuse to write what it finds odd."""
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=False)
    return bytes(128) + b"DICM" + stream.getvalue()


def written(*args: Any, **changes: Any) -> bytes:
    """`ultrasound(...)` as a DICOM file."""
    return to_bytes(ultrasound(*args, **changes))


def encoded(image: NDArray[np.uint8], file_format: str, **options: Any) -> bytes:
    """The image as Pillow writes it."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, file_format, **options)
    return stream.getvalue()


def compressed(frames: list[bytes], syntax: UID, **changes: Any) -> bytes:
    """A DICOM file that announces grey frames of 80 x 100 and holds these encoded ones."""
    dataset = ultrasound(**changes)
    dataset.file_meta.TransferSyntaxUID = syntax
    if len(frames) > 1:
        dataset.NumberOfFrames = len(frames)
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    return to_bytes(dataset)


def repeated(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey (H, W) as (H, W, 3)."""
    return np.repeat(grey[:, :, None], 3, axis=2)


def gradient(height: int = 80, width: int = 100) -> NDArray[np.uint8]:
    """Grey 0..255 from left to right."""
    return np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))


def _change(dataset: Dataset, changes: dict[str, Any]) -> None:
    for keyword, value in changes.items():
        if value is None:
            if keyword in dataset:
                delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)


def dicom_file(name: str) -> str:
    """Path of a test file of pydicom or pydicom-data; never downloads."""
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str), f"{name} is missing: install the extra dev"
    return path
