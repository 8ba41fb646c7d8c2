"""From an uploaded image to a case in the review store."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fetal_hc.errors import FetalHCError
from fetal_hc_app.resources import Model
from fetal_hc_app.uploads import Box, DicomToPrepare, ImageFile, StillImage, still_of
from hc18.dataset.pixel_size_table import PixelSizeRow
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration, candidate, choose_pixel_size, from_table, from_user
from hc18.measurement.pipeline import MeasuredFrame, measure_frame
from hc18.measurement.rows import MeasurementRow, RowStatus, frame_name
from hc18.measurement.worker import row_of_measurement
from hc18.reviews.adapters import from_measurement
from hc18.reviews.models import CaseId, NewCase, Registration, SoftMask
from hc18.reviews.store import ReviewStore

_PER_TRANSACTION, _MOST_WORKERS = 16, 8
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
    registration = store.register_case(measure_still(model, still, sizes), reviewer or NOBODY)
    return _to_source(still, registration)


def register_many(
    store: ReviewStore, model: Model, stills: Sequence[StillImage], sizes: Sizes, reviewer: str
) -> Iterator[list[tuple[StillImage, tuple[CaseId, UploadSource] | FetalHCError]]]:
    """Measures many images on all cores and puts them into the store, some in one transaction.

    Args:
        store: to add to.
        model: whose network uses one thread for an image.
        stills: the images.
        sizes: that the session knows.
        reviewer: who adds them.

    Yields:
        What became of the next images, in their order; an image that cannot be measured has its error.

    Raises:
        StoreError: if the cases cannot be written.
    """

    def attempt(still: StillImage) -> NewCase | FetalHCError:
        try:
            return measure_still(model, still, sizes)
        except FetalHCError as error:
            return error

    pool = ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, _MOST_WORKERS))
    try:
        waiting = [pool.submit(attempt, still) for still in stills]
        for start in range(0, len(stills), _PER_TRANSACTION):  # the next images are measured while these are stored
            chunk = stills[start : start + _PER_TRANSACTION]
            found = [future.result() for future in waiting[start : start + _PER_TRANSACTION]]
            new = [case for case in found if isinstance(case, NewCase)]
            registered = iter(store.register_cases(new, reviewer or NOBODY))
            yield [
                (still, case if isinstance(case, FetalHCError) else _to_source(still, next(registered)))
                for still, case in zip(chunk, found, strict=True)
            ]
    finally:
        pool.shutdown(cancel_futures=True)


def _to_source(still: StillImage, registration: Registration) -> tuple[CaseId, UploadSource]:
    return registration.case_id, UploadSource(still.file, registration.is_new)


def measure_still(model: Model, still: StillImage, sizes: Sizes) -> NewCase:
    """An image with its measurement, ready for the store.

    Raises:
        ModelError: if the network fails on the image.
    """
    found = _measure_frame(model, still, sizes)
    measurement, mask = found.measurement, None
    if found.detection is not None:
        mask = SoftMask(found.detection.box_xyxy, found.detection.soft_mask)
    recorded = from_measurement(model.version, measurement, model.heads.intervals)
    return NewCase(still.image_rgb, measurement.calibration, recorded, soft_mask=mask)


def measure_clip(
    model: Model, clip: DicomToPrepare, box_xyxy: Box | None, frames: Sequence[int], sizes: Sizes
) -> Iterator[MeasurementRow]:
    """Measures frames of a clip on all cores and stores nothing; a row for each, in their order.

    Args:
        model: whose network uses one thread for an image.
        clip: the file.
        box_xyxy: the part that a person chose, px, corner convention; None leaves the choice to the file.
        frames: 0-based.
        sizes: that the session knows.
    """

    def measure(frame: int) -> MeasurementRow:
        name = frame_name(clip.name, frame + 1)
        try:
            still = still_of(clip, frame, box_xyxy)
            found = _measure_frame(model, still, sizes)
        except FetalHCError as error:
            return MeasurementRow(name, RowStatus.UNREADABLE, str(error))
        return row_of_measurement(name, still.image_rgb, found.measurement)

    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, _MOST_WORKERS)) as pool:
        yield from pool.map(measure, frames)


def _measure_frame(model: Model, still: StillImage, sizes: Sizes) -> MeasuredFrame:
    """The measurement of an image with the pixel sizes of this session.

    Raises:
        ModelError: if the network fails on the image.
    """

    def calibrate(ellipse_px: Ellipse | None) -> Calibration:
        return choose_pixel_size(sizes.candidates(still.file, ellipse_px))

    return measure_frame(model.heads, still.image_rgb, calibrate=calibrate)
