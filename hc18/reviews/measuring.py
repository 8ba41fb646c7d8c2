"""From an image to a case of the review store: the one way for uploads, folders and images of an archive."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fetal_hc.errors import FetalHCError
from fetal_hc.model.checksum import file_sha256
from hc18.dataset.pixel_size_table import PixelSizeRow
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration, candidate, choose_pixel_size, from_table, from_user
from hc18.measurement.head_model import HeadModel, load_model
from hc18.measurement.pipeline import MeasuredFrame, measure_frame
from hc18.measurement.rows import MeasurementRow, RowStatus, frame_name
from hc18.measurement.worker import row_of_measurement
from hc18.reviews.adapters import from_measurement
from hc18.reviews.images import Box, DicomToPrepare, ImageFile, StillImage, still_of
from hc18.reviews.models import ModelVersion, NewCase, SoftMask

MOST_WORKERS = 8
_WARM_UP_HW = (540, 800)


@dataclass(frozen=True, slots=True)
class Model:
    """The network and what it is called in the record. Threads may share it: it is never changed."""

    heads: HeadModel
    version: ModelVersion


def read_model(path: Path, num_threads: int) -> Model:
    """A model that has measured once, so that the first image is not slower.

    Args:
        path: a bundle or an exported ONNX file.
        num_threads: threads for each network, at least 1.

    Raises:
        ModelError: if it is missing or damaged.
    """
    heads = load_model(path, num_threads=num_threads)
    heads.predict(np.zeros((*_WARM_UP_HW, 3), dtype=np.uint8))
    return Model(heads, ModelVersion(heads.name, heads.version, file_sha256(path)))


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

    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, MOST_WORKERS)) as pool:
        yield from pool.map(measure, frames)


def _measure_frame(model: Model, still: StillImage, sizes: Sizes) -> MeasuredFrame:
    """The measurement of an image with the pixel sizes of this session.

    Raises:
        ModelError: if the network fails on the image.
    """

    def calibrate(ellipse_px: Ellipse | None) -> Calibration:
        return choose_pixel_size(sizes.candidates(still.file, ellipse_px))

    return measure_frame(model.heads, still.image_rgb, calibrate=calibrate)
