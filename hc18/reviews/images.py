"""The images that a file brings for review, each with the file it comes from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hc18.dicom import DicomImage, read_dicom
from hc18.measurement.frames import check_side

MOST_FRAMES = 100  # of a clip, evenly spaced: those that are played and measured
Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in px, corner convention


@dataclass(frozen=True, slots=True, eq=False)
class ImageFile:
    """The file that an image comes from, and which frame of it.

    Attributes:
        file_name: of the whole file, as tables of pixel sizes name it.
        dicom: what was read of a DICOM file; None for a picture file.
        dicom_data: content of a DICOM file, for the identifiers of a report; empty for a picture file.
        frame_index: 0-based.
    """

    file_name: str
    dicom: DicomImage | None = None
    dicom_data: bytes = b""
    frame_index: int = 0

    @property
    def name(self) -> str:
        """What the image is called in this session."""
        if self.dicom is None or self.dicom.n_frames == 1:
            return self.file_name
        return f"{self.file_name}, frame {self.frame_index + 1}"


@dataclass(frozen=True, slots=True, eq=False)
class StillImage:
    """An image that can be measured at once.

    Attributes:
        file: where it comes from.
        image_rgb: (H, W, 3) uint8, only the pixels that may be shown.
    """

    file: ImageFile
    image_rgb: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class DicomToPrepare:
    """A DICOM file of which a person has to choose something first: a frame, or the part that may be shown.

    Attributes:
        name: of the file.
        dicom: what was read of it.
        data: its content.
    """

    name: str
    dicom: DicomImage
    data: bytes

    @property
    def needs_region(self) -> bool:
        """Whether a person has to choose the part that may be shown."""
        return self.dicom.needs_region


def open_dicom(name: str, data: bytes) -> StillImage | DicomToPrepare:
    """A DICOM file as an image that can be measured at once, or with what has to be chosen first.

    Args:
        name: of the file, as it is shown.
        data: its content.

    Raises:
        ImageError: with a sentence, if it is damaged, of another modality, without a picture or too small.
    """
    prepared = DicomToPrepare(name, read_dicom(data), data)
    check_side(prepared.dicom.image_hw)
    if prepared.dicom.n_frames > 1 or prepared.needs_region:
        return prepared
    return still_of(prepared, 0, None)


def still_of(dicom: DicomToPrepare, frame_index: int, box_xyxy: Box | None) -> StillImage:
    """The chosen frame as an image to measure.

    Args:
        dicom: the file.
        frame_index: 0-based.
        box_xyxy: the part that a person chose, px, corner convention; None leaves the choice to the file.

    Raises:
        ImageError: if the frame cannot be decoded; `NeedsRegion` if a part has to be chosen first.
    """
    image_rgb = dicom.dicom.visible_rgb(frame_index, box_xyxy)
    return StillImage(ImageFile(dicom.name, dicom.dicom, dicom.data, frame_index), image_rgb)


def clip_code(clip: DicomToPrepare) -> str:
    """A code that the frames of a clip have in common; it follows from the content of the file and names nobody."""
    return f"clip-{hashlib.sha256(clip.data).hexdigest()[:8]}"


def clip_frames(n_frames: int) -> list[int]:
    """The frames of a clip that are played and measured: all, or evenly spaced ones of a long clip; 0-based."""
    return sorted({round(float(at)) for at in np.linspace(0, n_frames - 1, min(n_frames, MOST_FRAMES))})
