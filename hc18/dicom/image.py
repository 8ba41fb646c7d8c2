"""A DICOM ultrasound image: its frames, its pixel size and the part of it that may be shown. Nothing else is kept."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import MediaStorageDirectoryStorage

from fetal_hc.errors import ImageError
from fetal_hc.io.images import MAX_PIXELS
from hc18.dicom import pixels as dicom_pixels
from hc18.dicom import regions as dicom_regions
from hc18.dicom.header import read_attributes, read_bytes
from hc18.dicom.pixels import PIXEL_KEYWORDS, FramePixels
from hc18.dicom.privacy import NeedsRegion, hide_outside
from hc18.dicom.regions import REGION_KEYWORDS, UltrasoundRegion, calibrate_by_region, why_no_region
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import (
    Calibration,
    from_pixel_spacing,
    pixel_size_problem,
    uncalibrated,
    warn_of_other_size,
)

_ULTRASOUND = "US"
_ULTRASOUND_CLASSES = "1.2.840.10008.5.1.4.1.1.6"  # and what is derived from it, retired classes and volumes included
_ULTRASOUND_MULTIFRAME_CLASSES = "1.2.840.10008.5.1.4.1.1.3"
_MODALITIES = {
    "CR": "a radiograph",
    "CT": "computed tomography",
    "DX": "a radiograph",
    "ECG": "an electrocardiogram",
    "IVUS": "ultrasound inside a vessel",
    "MG": "a mammogram",
    "MR": "magnetic resonance",
    "NM": "nuclear medicine",
    "OT": "of an unnamed kind",
    "PT": "positron emission tomography",
    "RTDOSE": "a radiotherapy dose",
    "RTIMAGE": "a radiotherapy image",
    "RTPLAN": "a radiotherapy plan",
    "RTSTRUCT": "a set of radiotherapy contours",
    "SEG": "a segmentation",
    "SR": "a report",
    "XA": "an angiogram",
}
_HEADER_KEYWORDS = (
    "SOPClassUID",
    "Modality",
    "BurnedInAnnotation",
    "PixelSpacing",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "PixelMeasuresSequence",
)


@dataclass(frozen=True, slots=True)
class DicomImage:
    """One DICOM ultrasound object with one or more frames.

    `visible_rgb` gives the pixels that may be shown or stored, `measured_rgb` those that are measured. Where the file
    names no tissue region and does not exclude text in the pixels, the two differ: the whole frame is measured,
    because numbers name nobody, but no pixel is shown until a person has chosen a part.

    Attributes:
        n_frames: number of frames, at least 1.
        image_hw: height and width of every frame in px.
        modality: always `US`; others are refused.
        regions: the ultrasound regions, valid for all frames, in the order of the file.
        may_show_identity: text about the patient may be burned into the pixels: always, unless the file says NO.
    """

    n_frames: int
    image_hw: tuple[int, int]
    modality: str
    regions: tuple[UltrasoundRegion, ...]
    may_show_identity: bool
    _pixels: FramePixels = field(repr=False)
    _spacings_xy_mm: tuple[tuple[float, float] | None, ...] = field(repr=False)

    def frame_rgb(self, index: int = 0) -> NDArray[np.uint8]:
        """One whole frame as uint8 (H, W, 3) RGB, which may show a name: never show or store it.

        Args:
            index: 0-based; the other frames are not decoded.

        Raises:
            ImageError: if there is no such frame or it cannot be decoded.
        """
        return self._pixels.frame_rgb(index)

    @property
    def needs_region(self) -> bool:
        """Whether a person has to choose the part that is shown: the file names none, and names may be burned in."""
        return self.may_show_identity and not self.tissue_boxes_xyxy()

    def visible_rgb(self, index: int = 0, box_xyxy: tuple[int, int, int, int] | None = None) -> NDArray[np.uint8]:
        """The pixels of a frame that may be shown and stored, all others black; uint8 (H, W, 3) RGB.

        Args:
            index: 0-based; the other frames are not decoded.
            box_xyxy: the part that a person chose, in px, corner convention; None for the tissue regions of the file.

        Raises:
            NeedsRegion: if the file names no region, may show a name, and nobody has chosen a part.
            ImageError: if there is no such frame or it cannot be decoded.
        """
        if box_xyxy is not None:
            return hide_outside(self.frame_rgb(index), box_xyxy)
        if self.needs_region:
            raise NeedsRegion(
                "The DICOM file does not say where the ultrasound picture is, so a name may be burned into it; upload "
                "it by itself in the review app and choose the part that may be shown."
            )
        return self.measured_rgb(index)

    def measured_rgb(self, index: int = 0) -> NDArray[np.uint8]:
        """The pixels of a frame that are measured; uint8 (H, W, 3) RGB.

        Banners and menus outside the tissue regions are black. The whole frame is left where the file names no region.

        Args:
            index: 0-based; the other frames are not decoded.

        Raises:
            ImageError: if there is no such frame or it cannot be decoded.
        """
        boxes_xyxy = self.tissue_boxes_xyxy()
        frame_rgb = self.frame_rgb(index)
        return hide_outside(frame_rgb, *boxes_xyxy) if boxes_xyxy else frame_rgb

    def tissue_boxes_xyxy(self) -> tuple[tuple[int, int, int, int], ...]:
        """Boxes of the regions that show 2D tissue, in px, corner convention, inside the image.

        Empty if the file names none, or one that leaves the image and so cannot be trusted.
        """
        tissue = [region for region in self.regions if region.is_tissue]
        if any(not region.fits(self.image_hw) for region in tissue):
            return ()
        return tuple(region.clipped_box_xyxy(self.image_hw) for region in tissue)

    def calibrate(self, ellipse_px: Ellipse | None = None, frame_index: int = 0) -> Calibration:
        """The pixel size where the ellipse lies; never raises, a refusal carries its reason.

        The ultrasound region that contains the ellipse counts first, then Pixel Spacing with a warning.

        Args:
            ellipse_px: in px of the frame, pixel centres at integers; None if nothing was drawn yet.
            frame_index: 0-based; matters only for volumes, whose frames have a spacing each.
        """
        spacing = self._spacing_xy_mm(frame_index)
        by_region = calibrate_by_region(self.regions, self.image_hw, ellipse_px)
        if by_region is not None:
            return by_region if spacing is None else warn_of_other_size(by_region, spacing)
        if spacing is None:
            return uncalibrated(why_no_region(self.regions))
        problem = pixel_size_problem(spacing)
        if problem:
            return uncalibrated(f"No millimetres: the Pixel Spacing of the DICOM file is impossible. {problem}")
        return from_pixel_spacing(spacing)

    def _spacing_xy_mm(self, frame_index: int) -> tuple[float, float] | None:
        """Pixel Spacing of a frame in mm per px along x and y; None without."""
        of_frames = self._spacings_xy_mm
        index = frame_index if len(of_frames) > 1 else 0
        return of_frames[index] if 0 <= index < len(of_frames) else None


def read_dicom(path_or_bytes: str | os.PathLike[str] | bytes, *, max_pixels: int = MAX_PIXELS) -> DicomImage:
    """A DICOM ultrasound image; its frames are decoded when asked for.

    Names, numbers, dates and the path are neither kept nor quoted in a message.

    Args:
        path_or_bytes: the file, or its content.
        max_pixels: larger frames are refused.

    Raises:
        ImageError: if the file is missing, empty, no DICOM, damaged, of another modality, without a picture, too large,
            or of a kind that cannot be shown. The message is a sentence for a clinician.
    """
    dataset = read_attributes(read_bytes(path_or_bytes), (*_HEADER_KEYWORDS, *REGION_KEYWORDS, *PIXEL_KEYWORDS))
    _check_ultrasound(dataset)
    pixels = dicom_pixels.from_dataset(dataset, max_pixels)
    return DicomImage(
        n_frames=pixels.pixel_format.n_frames,
        image_hw=pixels.pixel_format.image_hw,
        modality=_ULTRASOUND,
        regions=dicom_regions.from_dataset(dataset),
        may_show_identity=dataset.get("BurnedInAnnotation") != "NO",
        _pixels=pixels,
        _spacings_xy_mm=_spacings_xy_mm(dataset),
    )


def _check_ultrasound(dataset: Dataset) -> None:
    """Refuses every other modality.

    Raises:
        ImageError: naming the modality if it is a common one.
    """
    if dataset.file_meta.MediaStorageSOPClassUID == MediaStorageDirectoryStorage:
        raise ImageError(
            "The file is the table of contents of a DICOM medium (DICOMDIR); choose an image file next to it."
        )
    sop_class, modality = str(dataset.get("SOPClassUID") or ""), str(dataset.get("Modality") or "")
    is_ultrasound_class = sop_class.startswith((_ULTRASOUND_CLASSES, _ULTRASOUND_MULTIFRAME_CLASSES))
    if modality == _ULTRASOUND or (not modality and is_ultrasound_class):
        return
    if modality in _MODALITIES:
        what = f"it is {_MODALITIES[modality]} (modality {modality})"
    else:
        what = "it is of another modality" if modality else "it does not name its modality"
    raise ImageError(f"The DICOM file is not an ultrasound image: {what}. Choose a file of modality US.")


def _spacings_xy_mm(dataset: Dataset) -> tuple[tuple[float, float] | None, ...]:
    """Pixel Spacing in mm per px along x and y: of every frame where frames have their own, else a single one."""
    own = _spacing_xy_mm(dataset) or _measured_spacing(dataset.get("SharedFunctionalGroupsSequence"))
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    return tuple(_measured_spacing([frame]) or own for frame in frames) or (own,)


def _measured_spacing(groups: Sequence[Dataset] | None) -> tuple[float, float] | None:
    """Pixel Spacing in the Pixel Measures of the first functional group; None without."""
    measures = groups[0].get("PixelMeasuresSequence") if groups else None
    return _spacing_xy_mm(measures[0]) if measures else None


def _spacing_xy_mm(dataset: Dataset) -> tuple[float, float] | None:
    """Pixel Spacing as mm per px along x and y (DICOM has the row spacing, which is y, first); None without."""
    values = dataset.get("PixelSpacing")
    try:
        down, across = (float(value) for value in values)
    except (TypeError, ValueError):
        return None
    return (across, down) if math.isfinite(across) and math.isfinite(down) else None
