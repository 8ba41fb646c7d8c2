"""A folder of images, scored by `tools/score.py` or not, taken into the review store."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app import wording
from app.intake import DicomToPrepare, Refusal, StillImage, from_upload, still_of
from app.measuring import NOBODY, Sizes, register_still
from app.resources import Model
from hc18.calibration import Calibration, CalibrationSource, from_table, uncalibrated
from inference.details import read_details
from inference.rows import ScoreRow
from reviews.records import ModelMeasurement, ModelVersion, NewCase
from reviews.store import ReviewStore
from segdata.errors import DatasetError, HeadSegError

DETAILS_NAME = "details.csv"
_CHUNK = 20  # images per transaction
_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm")
_ANNOTATION = "_annotation"
_FRAME_MARK = "#"


@dataclass(frozen=True, slots=True)
class Batch:
    """Images to take in.

    Attributes:
        folder: of the images.
        rows: results by file name; empty when nothing was scored yet.
        names: files, in order.
        model: that scored them; None when nothing was scored yet.
    """

    folder: Path
    rows: dict[str, ScoreRow]
    names: tuple[str, ...]
    model: ModelVersion | None


@dataclass(frozen=True, slots=True)
class BatchStep:
    """One image of a batch: its name, and why it was left out; empty if it was taken in."""

    name: str
    problem: str


def open_batch(details_or_folder: str, image_folder: str, allowed: Path | None, model: ModelVersion) -> Batch:
    """What is in a folder.

    Args:
        details_or_folder: path of a `details.csv`, or of a folder with or without one.
        image_folder: where the images are; empty for the folder of the details.
        allowed: folder that both must lie in; None for any.
        model: the one that is loaded, to name the one that scored the batch if it is the same.

    Raises:
        DatasetError: if a path does not exist, is not allowed, or the table cannot be read.
    """
    chosen = _checked(details_or_folder, allowed)
    details = chosen / DETAILS_NAME if chosen.is_dir() else chosen
    folder = _checked(image_folder, allowed) if image_folder.strip() else details.parent
    if not folder.is_dir():
        raise DatasetError("The folder of the images does not exist; check the path")
    if not details.is_file():
        names = [path.name for path in sorted(folder.iterdir()) if _is_image_name(path)]
        return Batch(folder, {}, tuple(names), None)
    rows = {row.file_name: row for row in read_details(details)}
    return Batch(folder, rows, tuple(rows), _model_of(details, model))


def take_in(batch: Batch, store: ReviewStore, model: Model, sizes: Sizes, reviewer: str) -> Iterator[BatchStep]:
    """Registers every image of a batch, in transactions of a few; yields after each image.

    Raises:
        StoreError: if the store cannot be written.
    """
    waiting: list[NewCase] = []
    for name in batch.names:
        problem = ""
        still = _read_still(batch.folder, name)
        if isinstance(still, Refusal):
            problem = still.reason
        elif batch.model is None:
            problem = _measure(store, model, still, sizes, reviewer)
        else:
            waiting.append(_scored_case(still, batch.rows[name], batch.model))
        if len(waiting) >= _CHUNK:
            store.register_cases(waiting, reviewer or NOBODY)
            waiting = []
        yield BatchStep(wording.display_name(name), problem)
    if waiting:
        store.register_cases(waiting, reviewer or NOBODY)


def _checked(text: str, allowed: Path | None) -> Path:
    """An existing path inside the allowed folder.

    Raises:
        DatasetError: if there is none.
    """
    if not text.strip():
        raise DatasetError("Type the path of a folder or of a details.csv")
    path = Path(text.strip()).expanduser().resolve()
    if allowed is not None and not path.is_relative_to(allowed):
        raise DatasetError(f"Only folders below {allowed} may be opened")
    if not path.exists():
        raise DatasetError("There is no such file or folder; check the path")
    return path


def _is_image_name(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and not path.stem.lower().endswith(_ANNOTATION) and path.is_file()


def _model_of(details: Path, loaded: ModelVersion) -> ModelVersion:
    """The model that scored a batch, from the table's first row."""
    with details.open(encoding="utf-8-sig", newline="") as stream:
        first = next(csv.DictReader(stream), {})
    sha256 = first.get("model_sha256") or "0" * 64
    return loaded if sha256 == loaded.sha256 else ModelVersion("another model", "unknown", sha256)


def _read_still(folder: Path, name: str) -> StillImage | Refusal:
    """The image of a row; `name#3` is the third frame of a DICOM file."""
    bare, mark, frame = name.rpartition(_FRAME_MARK)
    is_frame = bool(mark) and frame.isdigit() and not (folder / name).exists()
    path, index = (folder / bare, int(frame) - 1) if is_frame else (folder / name, 0)
    shown = wording.display_name(name)
    if not path.resolve().is_relative_to(folder):
        return Refusal(shown, "The name leads out of the folder of the images.")
    try:
        intake = from_upload(name, path.read_bytes())
        if isinstance(intake, DicomToPrepare) and not intake.needs_region and (is_frame or intake.dicom.n_frames == 1):
            intake = still_of(intake, index, None)
    except OSError as error:
        return Refusal(shown, f"The file cannot be read ({error.strerror}).")
    except HeadSegError as error:
        return Refusal(shown, wording.sentence(str(error)))
    if isinstance(intake, StillImage | Refusal):
        return intake
    return Refusal(shown, "A frame or a part of this file has to be chosen; upload it by itself.")


def _measure(store: ReviewStore, model: Model, still: StillImage, sizes: Sizes, reviewer: str) -> str:
    """Measures and registers an image that was not scored; why not, empty if it was."""
    try:
        register_still(store, model, still, sizes, reviewer)
    except HeadSegError as error:
        return wording.sentence(str(error))
    return ""


def _scored_case(still: StillImage, row: ScoreRow, model: ModelVersion) -> NewCase:
    """The case of an image with the result that its row holds."""
    found = ModelMeasurement(model, row.status.value, row.reason, row.ellipse_px, row.confidence, row.flags)
    return NewCase(still.image_rgb, _calibration_of(still, row), found)


def _calibration_of(still: StillImage, row: ScoreRow) -> Calibration:
    """The pixel size that a row was measured with."""
    if row.pixel_size_xy_mm is None:
        return uncalibrated("No millimetres: the batch was scored without a pixel size for this image.")
    if row.pixel_size_source == CalibrationSource.CSV:
        return from_table(row.pixel_size_xy_mm[0])
    own = None if still.dicom is None else still.dicom.calibrate(row.ellipse_px, still.frame_index)
    if own is not None and own.pixel_size_xy_mm is not None:
        return own
    return Calibration(row.pixel_size_xy_mm, CalibrationSource.CSV, "From the table of the scored batch.")
