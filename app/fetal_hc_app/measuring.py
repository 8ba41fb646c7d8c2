"""From an uploaded image to a case in the review store."""

from __future__ import annotations

from dataclasses import dataclass

from fetal_hc_app.resources import Model
from fetal_hc_app.uploads import ImageFile, StillImage
from hc18.dataset.pixel_size_table import PixelSizeRow
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration, candidate, choose_pixel_size, from_table, from_user
from hc18.measurement.pipeline import measure_frame
from hc18.reviews.adapters import from_measurement
from hc18.reviews.models import CaseId, NewCase, SoftMask
from hc18.reviews.store import ReviewStore

NOBODY = "no name given"  # for measurements before the reviewer has typed a name; decisions need one


@dataclass(frozen=True, slots=True)
class Sizes:
    """The pixel sizes that a session knows besides those in DICOM files.

    Attributes:
        table: rows of uploaded tables, by file name.
        typed_mm: what the reviewer typed for images whose size neither file nor table gives; None for nothing.
        reviewer: who typed it.
    """

    table: dict[str, PixelSizeRow]
    typed_mm: float | None
    reviewer: str

    def candidates(self, image: ImageFile, ellipse_px: Ellipse | None) -> tuple[Calibration, ...]:
        """What file, table and reviewer say about the pixel size where an ellipse lies, or why they say nothing.

        Args:
            image: the file and its frame.
            ellipse_px: in px of the frame: regions of a DICOM image may differ in their pixel size.
        """
        found = [] if image.dicom is None else [image.dicom.calibrate(ellipse_px, image.frame_index)]
        row = self.table.get(image.file_name)
        if row is not None and row.pixel_size_mm is not None:
            found.append(candidate(from_table, row.pixel_size_mm, row.row))
        if self.typed_mm is not None and all(known.pixel_size_xy_mm is None for known in found):
            found.append(candidate(from_user, self.typed_mm, self.reviewer))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class UploadSource:
    """The upload and frame from which a case of this session came.

    Attributes:
        image: the file and its frame.
        is_new: False if the same pixels were in the store already.
    """

    image: ImageFile
    is_new: bool


def register_still(
    store: ReviewStore, model: Model, still: StillImage, sizes: Sizes, reviewer: str
) -> tuple[CaseId, UploadSource]:
    """Measures an image and puts it into the store.

    Raises:
        ModelError: if the network fails on the image.
        StoreError: if the case cannot be written.
    """

    def calibrate(ellipse_px: Ellipse | None) -> Calibration:
        return choose_pixel_size(sizes.candidates(still.file, ellipse_px))

    found = measure_frame(model.heads, still.image_rgb, calibrate=calibrate)
    measurement, mask = found.measurement, None
    if found.detection is not None:
        mask = SoftMask(found.detection.box_xyxy, found.detection.soft_mask)
    recorded = from_measurement(model.version, measurement, model.heads.intervals)
    case = NewCase(still.image_rgb, measurement.calibration, recorded, soft_mask=mask)
    registration = store.register_case(case, reviewer or NOBODY)
    return registration.case_id, UploadSource(still.file, registration.is_new)
