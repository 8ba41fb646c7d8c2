"""Imports a folder of images, measured by `fetal-hc score` or not, into the review store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fetal_hc.errors import DatasetError, FetalHCError
from fetal_hc.io.images import find_images
from fetal_hc.io.storage import read_image_file
from fetal_hc_app import wording
from fetal_hc_app.measuring import NOBODY, register_still
from fetal_hc_app.uploads import Refusal, from_upload
from hc18.dataset.labelled_image import is_annotation
from hc18.dicom import is_dicom
from hc18.reviews.batch_import import KnownModel, import_batch
from hc18.reviews.images import StillImage
from hc18.reviews.measuring import Model, Sizes
from hc18.reviews.models import CaseId
from hc18.reviews.store import ReviewStore

DETAILS_NAME = "details.csv"


@dataclass(frozen=True, slots=True)
class Batch:
    """Images to import.

    Attributes:
        folder: of the images.
        details: results of `fetal-hc score`; None when nothing was measured yet.
    """

    folder: Path
    details: Path | None


@dataclass(frozen=True, slots=True)
class BatchStep:
    """One image of a batch.

    Attributes:
        name: of its file.
        problem: why it was left out; empty if it was imported.
        same_as: name of an earlier file of the batch with the same pixels, which is the same case; empty for none.
    """

    name: str
    problem: str
    same_as: str = ""


def open_batch(details_or_folder: str, image_folder: str, allowed: Path | None) -> Batch:
    """A batch to import: details table, images and manifest.

    Args:
        details_or_folder: path of a `details.csv`, or of a folder with or without one.
        image_folder: where the images are; empty for the folder of the details.
        allowed: folder that both must lie in; None for any.

    Raises:
        DatasetError: if a path does not exist or is not allowed.
    """
    chosen = _checked(details_or_folder, allowed)
    details = chosen / DETAILS_NAME if chosen.is_dir() else chosen
    folder = _checked(image_folder, allowed) if image_folder.strip() else details.parent
    if not folder.is_dir():
        raise DatasetError("The images are expected in a folder; check its path")
    return Batch(folder, details if details.is_file() else None)


def import_images(batch: Batch, store: ReviewStore, model: Model, sizes: Sizes, reviewer: str) -> Iterator[BatchStep]:
    """Registers every image of a batch; yields after each one.

    Raises:
        DatasetError: if the table of results cannot be read.
        StoreError: if the store cannot be written.
    """
    if batch.details is None:
        results = _measure_folder(batch.folder, store, model, sizes, reviewer)
    else:
        results = _import_rows(batch.details, batch.folder, store, model, reviewer)
    first_names: dict[CaseId, str] = {}
    for name, case_id, problem in results:
        first = name if case_id is None else first_names.setdefault(case_id, name)
        yield BatchStep(name, problem, "" if first == name else first)


def _import_rows(
    details: Path, folder: Path, store: ReviewStore, model: Model, reviewer: str
) -> Iterator[tuple[str, CaseId | None, str]]:
    """Name, case and problem of each row of a scored batch."""
    models = {model.version.sha256: KnownModel(model.version, model.heads.intervals)}
    for row in import_batch(store, details, folder, reviewer or NOBODY, models=models):
        name = wording.display_name(row.name) if row.name else f"row {row.row}"
        case_id = None if row.registration is None else row.registration.case_id
        yield name, case_id, wording.sentence(row.problem) if row.problem else ""


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


def _measure_folder(
    folder: Path, store: ReviewStore, model: Model, sizes: Sizes, reviewer: str
) -> Iterator[tuple[str, CaseId | None, str]]:
    """Name, case and problem of each image of a folder, once it is measured and registered."""
    for path in find_images(folder, is_dicom=is_dicom):
        if is_annotation(path.name):
            continue
        yield wording.display_name(path.name), *_measure_file(path, store, model, sizes, reviewer)


def _measure_file(
    path: Path, store: ReviewStore, model: Model, sizes: Sizes, reviewer: str
) -> tuple[CaseId | None, str]:
    """The case of an image that is measured and registered, or None and why it is not."""
    try:
        item = from_upload(path.name, read_image_file(str(path))[0])
        if isinstance(item, StillImage):
            return register_still(store, model, item, sizes, reviewer)[0], ""
    except FetalHCError as error:
        return None, wording.sentence(str(error))
    if isinstance(item, Refusal):
        return None, item.reason
    return None, "A frame or a part of this file has to be chosen; upload it by itself."
