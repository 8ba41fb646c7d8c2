"""The calibrated regions of a DICOM ultrasound image, and the one an ellipse was drawn in.

References: DICOM PS3.3 C.8.5.5, US Region Calibration Module.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from hc18.dicom.header import number_of
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration, from_region, pixel_size_problem, uncalibrated

REGION_KEYWORDS = (
    "SequenceOfUltrasoundRegions",
    "RegionSpatialFormat",
    "RegionDataType",
    "RegionLocationMinX0",
    "RegionLocationMinY0",
    "RegionLocationMaxX1",
    "RegionLocationMaxY1",
    "PhysicalUnitsXDirection",
    "PhysicalUnitsYDirection",
    "PhysicalDeltaX",
    "PhysicalDeltaY",
)

_SPATIAL_2D = 1
_TISSUE_AND_COLOR_FLOW = (1, 2)
_CENTIMETRES = 3.0  # the only unit of length
_MM_PER_CM = 10.0
_OVERHANG_PX = 1  # vendors write the number of columns as the last column
_CONTAINMENT_PX = 1.0  # an ellipse may stick out of its region by the width of its line
_SAME_SIZE = 1e-4  # relative difference up to which two pixel sizes are one, rounded differently


@dataclass(frozen=True, slots=True)
class UltrasoundRegion:
    """One item of the Sequence of Ultrasound Regions.

    Attributes:
        box_xyxy: x0, y0, x1, y1 in px, corner convention (last column x1 - 1), as the file says; may leave the image.
        is_tissue: 2D anatomy or colour flow; False for traces, spectra, graphics.
        delta_xy_mm: mm per px along x and y; None if the region is not measured in centimetres along both.
    """

    box_xyxy: tuple[int, int, int, int]
    is_tissue: bool
    delta_xy_mm: tuple[float, float] | None

    def fits(self, image_hw: tuple[int, int]) -> bool:
        """Whether the box lies in an image of that height and width, up to one column and row."""
        x0, y0, x1, y1 = self.box_xyxy
        return 0 <= x0 < x1 <= image_hw[1] + _OVERHANG_PX and 0 <= y0 < y1 <= image_hw[0] + _OVERHANG_PX

    def clipped_box_xyxy(self, image_hw: tuple[int, int]) -> tuple[int, int, int, int]:
        """The box without what leaves an image of that height and width."""
        x0, y0, x1, y1 = self.box_xyxy
        return x0, y0, min(x1, image_hw[1]), min(y1, image_hw[0])

    def contains(self, ellipse_px: Ellipse) -> bool:
        """Whether the ellipse (pixel centres at integers) lies in the box, up to the width of a line."""
        x0, y0, x1, y1 = _centered(self.box_xyxy)
        left, top, right, bottom = ellipse_px.box_xyxy()
        slack = _CONTAINMENT_PX
        return x0 - slack <= left and y0 - slack <= top and right <= x1 + slack and bottom <= y1 + slack

    def overlaps(self, ellipse_px: Ellipse) -> bool:
        """Whether the upright boxes of region and ellipse share more than a line's width."""
        x0, y0, x1, y1 = _centered(self.box_xyxy)
        left, top, right, bottom = ellipse_px.box_xyxy()
        width, height = min(x1, right) - max(x0, left), min(y1, bottom) - max(y0, top)
        return width > _CONTAINMENT_PX and height > _CONTAINMENT_PX

    def holds_center_of(self, ellipse_px: Ellipse) -> bool:
        """Whether the centre of the ellipse lies in the box."""
        x0, y0, x1, y1 = _centered(self.box_xyxy)
        return x0 <= ellipse_px.center_x <= x1 and y0 <= ellipse_px.center_y <= y1


def from_dataset(dataset: Dataset) -> tuple[UltrasoundRegion, ...]:
    """The regions of a DICOM dataset in their order; items without a readable box are left out."""
    sequence = dataset.get("SequenceOfUltrasoundRegions") or ()
    return tuple(region for item in sequence if (region := _region(item)) is not None)


def calibrate_by_region(
    regions: Sequence[UltrasoundRegion], image_hw: tuple[int, int], ellipse_px: Ellipse | None
) -> Calibration | None:
    """The pixel size of the region that contains the ellipse, or the refusal of one; None if no region has any.

    Args:
        regions: of the file the frame belongs to.
        image_hw: height and width of the frame in px.
        ellipse_px: in px of the frame, pixel centres at integers; None if nothing was drawn yet.
    """
    tissue = [region for region in regions if region.is_tissue]
    if any(not region.fits(image_hw) for region in tissue):
        return uncalibrated(
            "No millimetres: the calibrated region in the DICOM file is larger than the image, so the image was "
            "cropped or resized after it was calibrated. Export the original image, or type the pixel size."
        )
    calibrated = [region for region in tissue if region.delta_xy_mm is not None]
    if not calibrated:
        return None
    if ellipse_px is None:
        return _agreed(calibrated, regions)
    containing = [region for region in calibrated if region.contains(ellipse_px)]
    if containing:
        return _agreed(containing, regions)
    return _partly_outside(calibrated, regions, ellipse_px)


def why_no_region(regions: Sequence[UltrasoundRegion]) -> str:
    """Why none of the regions says how large a pixel is, as a sentence."""
    if not regions:
        return "No millimetres: the DICOM file does not say how large its pixels are (it has no ultrasound region)."
    if not any(region.is_tissue for region in regions):
        return "No millimetres: no region of the DICOM file is a 2D image of tissue (only traces, spectra or graphics)."
    return "No millimetres: the 2D region of the DICOM file is not measured in centimetres along both axes."


def _partly_outside(
    calibrated: Sequence[UltrasoundRegion], regions: Sequence[UltrasoundRegion], ellipse_px: Ellipse
) -> Calibration:
    """The calibration of an ellipse that no region contains."""
    if not any(region.holds_center_of(ellipse_px) for region in calibrated):
        return uncalibrated(
            "No millimetres: the ellipse lies outside the calibrated region of the DICOM image. "
            "Move it onto the head, or type the pixel size."
        )
    touched = [region for region in calibrated if region.overlaps(ellipse_px)]
    warning = (
        "The ellipse reaches across two regions of the image. Check that both show the same head."
        if len(touched) > 1
        else "The ellipse reaches beyond the calibrated region of the image. Check that the head is cut off there."
    )
    return _agreed(touched, regions, (warning,))


def _agreed(
    chosen: Sequence[UltrasoundRegion], regions: Sequence[UltrasoundRegion], warnings: tuple[str, ...] = ()
) -> Calibration:
    """The common pixel size of `chosen`, which all have one, or the refusal if they disagree."""
    sizes = [region.delta_xy_mm for region in chosen if region.delta_xy_mm is not None]
    first = sizes[0]
    if any(abs(size[axis] - first[axis]) > _SAME_SIZE * first[axis] for size in sizes for axis in (0, 1)):
        return uncalibrated(
            f"No millimetres: {len(chosen)} regions of the DICOM image have different pixel sizes. "
            "Place the ellipse inside one of them, or type the pixel size."
        )
    problem = pixel_size_problem(first)
    if problem:
        return uncalibrated(f"No millimetres: the DICOM file has an impossible calibration. {problem}")
    return from_region(first, f"ultrasound region {regions.index(chosen[0]) + 1} of {len(regions)}", warnings)


def _region(item: Dataset) -> UltrasoundRegion | None:
    """One item of the sequence; None if it has no readable box."""
    corners = [number_of(item, f"RegionLocation{name}") for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
    if any(not math.isfinite(corner) for corner in corners):
        return None
    x0, y0, x1, y1 = (int(corner) for corner in corners)
    return UltrasoundRegion(
        box_xyxy=(x0, y0, x1 + 1, y1 + 1),
        is_tissue=number_of(item, "RegionSpatialFormat") == _SPATIAL_2D
        and number_of(item, "RegionDataType") in _TISSUE_AND_COLOR_FLOW,
        delta_xy_mm=_delta_xy_mm(item),
    )


def _delta_xy_mm(item: Dataset) -> tuple[float, float] | None:
    """Mm per px along x and y; None if a unit is not a length or a delta is missing, zero or not finite."""
    units = (number_of(item, "PhysicalUnitsXDirection"), number_of(item, "PhysicalUnitsYDirection"))
    across, down = number_of(item, "PhysicalDeltaX"), number_of(item, "PhysicalDeltaY")
    if units != (_CENTIMETRES, _CENTIMETRES) or not all(math.isfinite(delta) and delta for delta in (across, down)):
        return None
    return abs(across) * _MM_PER_CM, abs(down) * _MM_PER_CM


def _centered(box_xyxy: tuple[int, int, int, int]) -> tuple[float, float, float, float]:
    """A corner-convention box in the convention of ellipses, half a pixel less."""
    x0, y0, x1, y1 = box_xyxy
    return x0 - 0.5, y0 - 0.5, x1 - 0.5, y1 - 0.5
