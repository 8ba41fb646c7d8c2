"""Photos of files, folders and patterns -> faces, and annotated copies of the photos."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from face_mask.predict.face_model import FaceModel
from face_mask.predict.pictures import draw_faces
from face_mask.predict.results import TABLE, PhotoResult, found_in
from fetal_hc.batch.folder_files import find_files
from fetal_hc.batch.runners import RUNNERS
from fetal_hc.batch.tasks import Failure, ImageTask
from fetal_hc.batch.work import BatchWork, OpenImage, RowsOf
from fetal_hc.errors import DatasetError, FetalHCError
from fetal_hc.io.atomic import write_bytes_atomic
from fetal_hc.io.coco import read_coco, resolve_image_path
from fetal_hc.io.columns import ColumnTable
from fetal_hc.io.images import is_image_file, read_image

PICTURE_FOLDER = "pictures"

_WRITTEN_AS_THEY_ARE = frozenset({".jpg", ".jpeg", ".png"})


@dataclass(frozen=True, slots=True)
class Photos:
    """The photos of a prediction.

    Attributes:
        tasks: one per file, named by its path below `root`.
        root: the folder above all of them.
        n_ignored: files in the folders that are no photos.
    """

    tasks: tuple[ImageTask[None], ...]
    root: Path
    n_ignored: int


def find_photos(inputs: Sequence[str]) -> Photos:
    """The photos of files, folders and patterns, in the order they are named.

    A named file always counts, whatever its name says; of a folder, files that are named like an image; of a COCO file
    (.json), the photos that it describes.

    Args:
        inputs: see `find_files`.

    Raises:
        DatasetError: if one cannot be read or holds no photo.
    """
    paths: list[str] = []
    roots: list[str] = []
    n_ignored = 0
    for given in inputs:
        if Path(given).suffix.lower() == ".json":
            labelled = _photos_of_dataset(given)
            paths += labelled
            roots += [str(Path(path).parent) for path in labelled]
            continue
        files = find_files(given)
        taken = files if Path(given).is_file() else {n: path for n, path in files.items() if is_image_file(path)}
        if not taken:
            raise DatasetError(
                f"{given}: has no photo ({len(files)} other files); expected PNG, JPEG, TIFF or BMP; check the path"
            )
        n_ignored += len(files) - len(taken)
        paths += [taken[name] for name in sorted(taken)]
        roots += [_above(path, name) for name, path in taken.items()]
    if not roots:
        return Photos((), Path(), 0)
    root = os.path.commonpath(roots)
    unique = list(dict.fromkeys(map(os.path.abspath, paths)))
    tasks: tuple[ImageTask[None], ...] = tuple(
        ImageTask(index, _relative(path, root), path, None) for index, path in enumerate(unique)
    )
    return Photos(tasks, Path(root), n_ignored)


def _photos_of_dataset(path: str) -> list[str]:
    """The photos that a COCO file describes.

    Raises:
        DatasetError: if it is faulty or describes none.
    """
    dataset = read_coco(path)
    if not dataset.images:
        raise DatasetError(f"{path}: describes no photo; expected a COCO file with images; convert the dataset again")
    return [os.path.abspath(resolve_image_path(path, dataset, image)) for image in dataset.images]  # noqa: PTH100


def _above(path: str, name: str) -> str:
    """The folder that a name in the results starts from."""
    return os.path.abspath(Path(path).parents[len(Path(name).parts) - 1])  # noqa: PTH100  # links are kept


def _relative(path: str, root: str) -> str:
    """A path below a folder in POSIX form."""
    return Path(path).relative_to(root).as_posix()


@dataclass(frozen=True)
class PhotoWork(BatchWork[None, PhotoResult]):
    """The work of one process: photos -> faces.

    Attributes:
        min_score: smallest score of a face that counts.
        pictures: folder for annotated photos; None for none.
    """

    min_score: float
    pictures: Path | None

    table: ClassVar[ColumnTable] = TABLE  # type: ignore[type-arg]  # of faces, of which a photo has many
    facts_type: ClassVar[type] = type(None)

    def load(self) -> OpenImage[None, PhotoResult]:
        """Loads the model; see `BatchWork.load`."""
        model = FaceModel(self.model, self.num_threads)

        def open_image(task: ImageTask[None], data: bytes) -> RowsOf[PhotoResult]:
            image_rgb = read_image(data, name=task.path or task.file_name)

            def rows_of() -> Sequence[PhotoResult]:
                faces = model.predict(image_rgb, self.min_score)
                if self.pictures is not None:
                    drawn = draw_faces(image_rgb, faces, model.spec.class_names)
                    write_picture(picture_path(self.pictures, task.file_name), drawn)
                return [found_in(task.file_name, (image_rgb.shape[0], image_rgb.shape[1]), faces)]

            return rows_of

        return open_image

    def failed_row(self, task: ImageTask[None], failure: Failure, reason: str) -> PhotoResult:
        """See `BatchWork.failed_row`."""
        return PhotoResult(task.file_name, failure, reason)


def predict_photos(photos: Photos, work: PhotoWork, n_workers: int, *, progress: bool) -> Iterator[PhotoResult]:
    """The result of every photo, in order.

    Args:
        photos: the files.
        work: what to do with each.
        n_workers: processes; one works in this process.
        progress: show a progress bar if the error output is a terminal.

    Raises:
        ModelError: if the model cannot be used.
    """
    run = RUNNERS["serial" if n_workers == 1 else "pool"]
    results = run(work, work.crashed_result, iter(photos.tasks), n_workers)
    bar = tqdm(results, "looking for faces", len(photos.tasks), unit="img", disable=None if progress else True)
    for result in bar:
        yield from result.rows


def picture_path(folder: Path, file_name: str) -> Path:
    """Where the annotated copy of a photo goes: under its own name, with `.jpg` added to other formats."""
    path = folder / file_name
    return path if path.suffix.lower() in _WRITTEN_AS_THEY_ARE else path.with_name(f"{path.name}.jpg")


def write_picture(path: Path, image_rgb: NDArray[np.uint8]) -> None:
    """Writes a picture in the format of its suffix, as a whole or not at all.

    Raises:
        FetalHCError: if it cannot be written.
    """
    try:
        _make_folder(path.parent)
    except OSError as error:
        raise FetalHCError(f"{path.parent}: cannot be created ({error.strerror}); choose another --output") from error
    done, data = cv2.imencode(path.suffix, cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR))
    if not done:
        raise FetalHCError(f"{path}: cannot be encoded; choose another name for the photo")
    write_bytes_atomic(path, data.tobytes())


@cache
def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
