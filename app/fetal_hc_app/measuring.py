"""From an uploaded image to a case in the review store."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from fetal_hc_app.intake import StillImage
from fetal_hc_app.resources import Model
from hc18.dataset.pixel_size_table import PixelSizeRow
from hc18.dicom.image import DicomImage
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration, candidate, from_table, from_user
from hc18.measure.pipeline import measure_frame
from hc18.reviews.adapters import from_measurement
from hc18.reviews.models import CaseId, NewCase, SoftMask
from hc18.reviews.store import ReviewStore

NOBODY = "no name given"  # for measurements before the reviewer has typed a name; decisions need one


@dataclass(frozen=True, slots=True)
class Sizes:
    """The pixel sizes that a session knows besides those in DICOM files.

    Attributes:
        table: rows of uploaded tables, by file name.
        typed_mm: what the reviewer typed for images without their own; None for nothing.
        reviewer: who typed it.
    """

    table: dict[str, PixelSizeRow]
    typed_mm: float | None
    reviewer: str

    def of(self, name: str) -> tuple[Calibration, ...]:
        """What table and reviewer say about the pixel size of a file, or why an impossible value says nothing."""
        row, found = self.table.get(name), []
        if row is not None and row.pixel_size_mm is not None:
            found.append(candidate(from_table, row.pixel_size_mm, row.row))
        if self.typed_mm is not None:
            found.append(candidate(from_user, self.typed_mm, self.reviewer))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class UploadSource:
    """Where the image of a case came from in this session.

    Attributes:
        name: of the file, for this session only.
        calibration: the pixel size that its file and this session gave when it was uploaded.
        is_new: False if the same pixels were in the store already.
        dicom: the DICOM file; None for a picture file.
        dicom_data: its content; empty for a picture file.
        frame_index: 0-based frame of it.
    """

    name: str
    calibration: Calibration
    is_new: bool
    dicom: DicomImage | None = None
    dicom_data: bytes = b""
    frame_index: int = 0

    def candidates(self, sizes: Sizes, ellipse_px: Ellipse | None) -> tuple[Calibration, ...]:
        """What file, tables and reviewer say about the pixel size where an ellipse lies, as far as they say anything.

        Args:
            sizes: of the session, now.
            ellipse_px: as drawn now: regions of a DICOM image may differ in their pixel size.
        """
        own = () if self.dicom is None else (self.dicom.calibrate(ellipse_px, self.frame_index),)
        return (*own, *sizes.of(self.name))


def register_still(
    store: ReviewStore, model: Model, still: StillImage, sizes: Sizes, reviewer: str
) -> tuple[CaseId, UploadSource]:
    """Measures an image and puts it into the store.

    Raises:
        ModelError: if the network fails on the image.
        StoreError: if the case cannot be written.
    """
    calibrate = None if still.dicom is None else partial(still.dicom.calibrate, frame_index=still.frame_index)
    found = measure_frame(model.predictor, still.image_rgb, sizes.of(still.name), calibrate)
    measurement, mask = found.measurement, None
    if found.detection is not None:
        mask = SoftMask(found.detection.box_xyxy, found.detection.soft_mask)
    recorded = from_measurement(model.version, measurement, model.predictor.spec.trust)
    case = NewCase(still.image_rgb, measurement.calibration, recorded, soft_mask=mask)
    registration = store.register_case(case, reviewer or NOBODY)
    source = UploadSource(
        still.name, measurement.calibration, registration.is_new, still.dicom, still.data, still.frame_index
    )
    return registration.case_id, source
