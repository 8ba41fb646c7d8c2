"""A measured batch as cases to review: `details.csv` of `fetal-hc score` with the images it was made from.

Names of files are used to find the images and to report what cannot be imported; they are never stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fetal_hc.errors import DatasetError, FetalHCError, ImageError
from fetal_hc.io.images import MAX_FILE_BYTES
from fetal_hc.io.storage import find_file
from hc18.measurement.details import iterate_details
from hc18.measurement.frames import open_frames
from hc18.measurement.interval_model import IntervalModel
from hc18.measurement.pixel_size_rules import read_manifest
from hc18.measurement.rows import MeasurementRow, RowStatus
from hc18.reviews.adapters import calibration_of_row, from_score_row
from hc18.reviews.models import ModelVersion, NewCase, Registration
from hc18.reviews.store import ReviewStore

CASES_PER_TRANSACTION = 20  # a few megabytes of pixels at a time
REVIEWABLE = frozenset({RowStatus.OK, RowStatus.NO_PIXEL_SIZE, RowStatus.NO_HEAD, RowStatus.FIT_FAILED})
_FRAME_NUMBER = re.compile(r"#([1-9]\d{0,8})$")


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that may have measured a batch.

    Attributes:
        version: what the record calls it.
        intervals: its interval model, so that a pixel size that changes later changes the interval; None without.
    """

    version: ModelVersion
    intervals: IntervalModel | None = None


@dataclass(frozen=True, slots=True)
class ImportedRow:
    """What became of one row.

    Attributes:
        row: line in the table, the header being line 1.
        name: of the image in the table; empty if it cannot be read.
        registration: the case; None if the row was not imported.
        problem: why not, as a sentence; empty if it was.
    """

    row: int
    name: str
    registration: Registration | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _ReadyRow:
    """A row whose case waits for its transaction."""

    row: int
    name: str
    case: NewCase


def import_batch(
    store: ReviewStore,
    details: Path,
    images: Path,
    reviewer: str,
    *,
    manifest: Path | None = None,
    models: Mapping[str, KnownModel] | None = None,
) -> Iterator[ImportedRow]:
    """Imports a measured batch into the store, a few images at a time; imported cases stay if it is interrupted.

    Images that the store knows already keep their history. Of DICOM only the ultrasound region is kept.

    Args:
        store: to add to.
        details: `details.csv` of `fetal-hc score`.
        images: folder of the images; names that lead out of it are refused.
        reviewer: who adds them.
        manifest: table that the batch was scored from, if the rows carry its ids instead of file names.
        models: known models by SHA-256; others are recorded as unknown, without an interval model.

    Yields:
        One item per row, in the order of the table, once it is in the store or refused.

    Raises:
        DatasetError: if a table cannot be read or lacks columns.
        StoreError: if the store cannot be written.
    """
    locate = _locator(images, manifest)
    waiting: list[ImportedRow | _ReadyRow] = []
    for line, found in iterate_details(details):
        waiting.append(_prepare(line, found, locate, models or {}))
        if len(waiting) >= CASES_PER_TRANSACTION:
            yield from _register(store, waiting, reviewer)
            waiting = []
    yield from _register(store, waiting, reviewer)


def read_visible(path: Path, frame_index: int = 0) -> NDArray[np.uint8]:
    """The pixels of an image file that may be stored, (H, W, 3) uint8 RGB, the same size as the picture.

    Args:
        path: PNG, JPEG, TIFF, BMP or DICOM; the first bytes decide.
        frame_index: 0-based frame of a DICOM file.

    Raises:
        ImageError: if it cannot be read; `NeedsRegion` if a DICOM file does not say which part may be shown.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ImageError(f"The image file has more than {MAX_FILE_BYTES:,} bytes; export the single image again.")
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"The image cannot be read ({error.strerror}); check the folder of the images.") from error
    return open_frames(data, "The image").visible_rgb(frame_index)


def _register(store: ReviewStore, waiting: list[ImportedRow | _ReadyRow], reviewer: str) -> Iterator[ImportedRow]:
    """Registers all that is ready in one transaction."""
    ready = [item for item in waiting if isinstance(item, _ReadyRow)]
    registrations = iter(store.register_cases([item.case for item in ready], reviewer) if ready else ())
    for item in waiting:
        yield ImportedRow(item.row, item.name, next(registrations)) if isinstance(item, _ReadyRow) else item


def _prepare(
    line: int,
    row: MeasurementRow | ValueError,
    locate: Callable[[str], tuple[Path, int]],
    models: Mapping[str, KnownModel],
) -> ImportedRow | _ReadyRow:
    """The case of a row, or why it has none."""
    if isinstance(row, ValueError):
        return ImportedRow(line, "", problem=f"The row cannot be understood: {row}.")
    name = row.file_name
    try:
        if row.status not in REVIEWABLE:
            return ImportedRow(line, name, problem=f"The batch could not measure this image ({row.status}).")
        image_rgb = read_visible(*locate(name))
        if row.image_hw is not None and row.image_hw != image_rgb.shape[:2]:
            return ImportedRow(line, name, problem=_size_problem(row.image_hw, image_rgb))
        unknown = KnownModel(ModelVersion("unknown model", "unknown", row.model_sha256))
        model = models.get(row.model_sha256, unknown)
        found = from_score_row(model.version, row, model.intervals)
        return _ReadyRow(line, name, NewCase(image_rgb, calibration_of_row(row), found))
    except FetalHCError as error:
        return ImportedRow(line, name, problem=str(error))


def _size_problem(scored_hw: tuple[int, int], image_rgb: NDArray[np.uint8]) -> str:
    height, width = image_rgb.shape[:2]
    return (
        f"The image has {width} x {height} px, the one that was scored {scored_hw[1]} x {scored_hw[0]}; it is another "
        "image. Measure the batch again, or choose its own folder."
    )


def _locator(images: Path, manifest: Path | None) -> Callable[[str], tuple[Path, int]]:
    """A function from the name in a row to the file and its 0-based frame.

    Raises:
        DatasetError: if the folder or the manifest cannot be read.
    """
    if not images.is_dir():
        raise DatasetError(f"{images}: is not a folder; expected the folder of the images; check the path")
    paths: dict[str, str] = {}
    if manifest is not None:
        paths = {row.id: row.path for row in read_manifest(str(manifest), str(images.resolve())) if not row.problem}

    def locate(name: str) -> tuple[Path, int]:
        frame = _FRAME_NUMBER.search(name)
        for known, index in ((name, 0), (name[: frame.start()], int(frame[1]) - 1) if frame else (name, 0)):
            path = find_file(images, paths.get(known, known))
            if path is not None:
                return path, index
        raise ImageError("There is no such image in the folder; choose the folder that was measured.")

    return locate
