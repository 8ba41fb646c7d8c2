"""DICOM objects of phantoms as a scanner sends them, and the other side of the network."""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, UltrasoundImageStorage, UltrasoundMultiFrameImageStorage
from pynetdicom import AE
from pynetdicom.association import Association

from hc18.phantoms.phantom import Phantom, render_phantom
from hc18.phantoms.spec import sample_spec
from tests.synthetic_dicom import region, ultrasound

IMAGE_HW = (270, 400)
PEER = "SCANNER1"
RECEIVER_TITLE = "FETALHC"
STUDY = "1.2.826.0.1.3680043.10.5432.1"


@functools.cache
def phantom(number: int) -> Phantom:
    """A small picture of a head of known circumference."""
    return render_phantom(sample_spec(np.random.default_rng(number), IMAGE_HW))


def scanned(
    number: int, *, pixels: NDArray[np.uint8] | None = None, calibrated: bool = True, **changes: Any
) -> Dataset:
    """An ultrasound object with a phantom, a UID of its own and planted identity.

    Args:
        number: of the phantom and of the UIDs.
        pixels: other pixels, (H, W) or (frames, H, W).
        calibrated: whether a region gives the pixel size of the phantom.
        changes: attributes to set, or to delete when None.
    """
    shown = phantom(number)
    values = shown.image if pixels is None else pixels
    delta = shown.pixel_size_mm / 10.0
    box = (0, 0, values.shape[-1] - 1, values.shape[-2] - 1)
    regions = [region(box, (delta, delta))] if calibrated else [region(box, PhysicalUnitsXDirection=0)]
    is_clip = values.ndim == 3
    own = {
        "SOPClassUID": UltrasoundMultiFrameImageStorage if is_clip else UltrasoundImageStorage,
        "SOPInstanceUID": f"{STUDY}.{number}.1.1",
        "StudyInstanceUID": f"{STUDY}.{number}",
        "SeriesInstanceUID": f"{STUDY}.{number}.1",
        "PatientID": f"PID-{number}-SECRET",
    }
    dataset = ultrasound(values, regions, **{**own, **changes})
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def clip(number: int, n_frames: int = 3, **changes: Any) -> Dataset:
    """A clip of a phantom whose frames differ by noise."""
    shown, rng = phantom(number).image, np.random.default_rng(number)
    noise = rng.integers(-3, 4, (n_frames, *shown.shape))
    pixels = np.clip(shown.astype(int) + noise, 0, 255).astype(np.uint8)
    return scanned(number, pixels=pixels, **changes)


def associate(port: int, *, title: str = PEER, called: str = RECEIVER_TITLE) -> Association:
    """An association as a scanner asks for it; perhaps refused."""
    entity = AE(ae_title=title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
    for sop_class in (UltrasoundImageStorage, UltrasoundMultiFrameImageStorage, "1.2.840.10008.1.1"):
        entity.add_requested_context(UID(sop_class), ExplicitVRLittleEndian)
    return entity.associate("127.0.0.1", port, ae_title=called)


def send(port: int, *datasets: Dataset) -> list[int]:
    """Sends objects over one association; the status of each."""
    association = associate(port)
    assert association.is_established
    try:
        return [association.send_c_store(dataset).Status for dataset in datasets]
    finally:
        association.release()
