"""From an uploaded image to a case in the review store."""

from __future__ import annotations

from dataclasses import dataclass

from fetal_hc.errors import MeasurementError
from fetal_hc.io.records import InstancePrediction
from fetal_hc_app.intake import StillImage
from fetal_hc_app.resources import Model
from hc18.dataset.pixel_size_table import PixelSizeRow
from hc18.dicom.image import DicomImage
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration, from_table, from_user, uncalibrated
from hc18.measure.head_measurement import calibrated, measure_instances
from hc18.measure.measurement import HeadMeasurement, Status
from hc18.measure.photograph_check import rejection_reason
from hc18.reviews.measured import from_head_measurement
from hc18.reviews.records import CaseId, NewCase, SoftMask
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


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the image of a case came from in this session.

    Attributes:
        name: of the file, for this session only.
        calibration: what its file said about the pixel size.
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


def register_still(
    store: ReviewStore, model: Model, still: StillImage, sizes: Sizes, reviewer: str
) -> tuple[CaseId, Origin]:
    """Measures an image and puts it into the store.

    Raises:
        ModelError: if the network fails on the image.
        StoreError: if the case cannot be written.
    """
    image_rgb = still.image_rgb
    predictor = model.predictor
    refusal = rejection_reason(image_rgb)
    instances = [] if refusal else predictor.predict(image_rgb)
    in_px = HeadMeasurement(Status.NO_HEAD, refusal) if refusal else measure_instances(predictor, image_rgb, instances)
    calibration = find_calibration(still, sizes, in_px.ellipse_px)
    measurement = calibrated(predictor, in_px, calibration.pixel_size_xy_mm)
    trust = predictor.spec.trust
    found = from_head_measurement(model.version, measurement, None if trust is None else trust.coverage)
    case = NewCase(image_rgb, calibration, found, soft_mask=_mask_of(instances, measurement))
    registration = store.register_case(case, reviewer or NOBODY)
    origin = Origin(still.name, calibration, registration.is_new, still.dicom, still.data, still.frame_index)
    return registration.case_id, origin


def find_calibration(still: StillImage, sizes: Sizes, ellipse_px: Ellipse | None) -> Calibration:
    """The pixel size of an image: from its DICOM file, else from a table, else as typed, else none with the reason."""
    own = None if still.dicom is None else still.dicom.calibrate(ellipse_px, still.frame_index)
    if own is not None and own.pixel_size_xy_mm is not None:
        return own
    known = calibration_by_name(still.name, sizes)
    if known is not None:
        return known
    if own is not None:
        return own
    return uncalibrated("No millimetres: the file does not say how large its pixels are. Type the pixel size.")


def calibration_by_name(name: str, sizes: Sizes) -> Calibration | None:
    """The pixel size of a file from a table, else as typed; a refusal if that value is impossible; None without."""
    row = sizes.table.get(name)
    try:
        if row is not None and row.pixel_size_mm is not None:
            return from_table(row.pixel_size_mm, row.row)
        if sizes.typed_mm is not None:
            return from_user(sizes.typed_mm, sizes.reviewer)
    except MeasurementError as error:
        return uncalibrated(f"No millimetres: {error}")
    return None


def _mask_of(instances: list[InstancePrediction], measurement: HeadMeasurement) -> SoftMask | None:
    """The mask of the head that was measured; None without one."""
    if measurement.ellipse_px is None:
        return None
    head = next((instance for instance in instances if float(instance.score) == measurement.score), None)
    return None if head is None else SoftMask(head.box_xyxy, head.soft_mask)
