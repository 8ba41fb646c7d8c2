"""What has to be measured: the images of a folder joined with the rows of a pixel-size table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hc18.pixel_sizes import PixelSizeRow, PixelSizeTable, read_pixel_size_table
from hc18.problems import Problem, raise_if_fatal
from hc18.training_case import annotation_name
from segdata.errors import DatasetError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})
SOURCE_TABLE = "csv"  # `pixel_size_source`: where a pixel size came from
SOURCE_NONE = "none"

_ANNOTATION_SUFFIX = annotation_name("")
_ABOUT_REFERENCE = "bad_hc"  # a wrong reference circumference does not concern a measurement


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """One image to measure.

    Attributes:
        file_name: bare name of the image.
        path: the image, None if the table names a file that is not in the folder.
        pixel_size_mm: mm per pixel in both directions, None if unknown.
        pixel_size_source: `SOURCE_TABLE` or `SOURCE_NONE`.
        note: what is missing (the file or the pixel size) and how to supply it; empty if nothing is.
    """

    file_name: str
    path: Path | None
    pixel_size_mm: float | None
    pixel_size_source: str
    note: str


@dataclass(frozen=True, slots=True)
class ScorePlan:
    """All images of a batch.

    Attributes:
        jobs: those of the table in its order, then the folder's other images by name.
        table_names: file names of the table, in its order.
        table_problems: everything that is wrong with the table.
        n_ignored: files of the folder that are no images to measure (annotations, other types).
    """

    jobs: tuple[ScoreJob, ...]
    table_names: tuple[str, ...]
    table_problems: tuple[str, ...]
    n_ignored: int


def plan_jobs(images: str | os.PathLike[str], pixel_sizes: str | os.PathLike[str]) -> ScorePlan:
    """The images to measure: every image of a folder and every row of a table.

    Annotations (`*_Annotation.png`), hidden files, subfolders and files without the suffix of an image are ignored,
    unless the table names them.

    Args:
        images: folder of the images.
        pixel_sizes: CSV file in the layout of HC18; unusable values cost only their own image its millimetres.

    Raises:
        DatasetError: if the folder cannot be read or holds no image, or no row can be read from the table.
    """
    folder = Path(images)
    file_names = _read_file_names(folder)
    table = read_pixel_size_table(pixel_sizes)
    if not table.rows:
        raise_if_fatal(table.problems, f"{table.path} cannot be used")
    problems = [problem for problem in table.problems if problem.kind != _ABOUT_REFERENCE]
    listed = tuple(row.filename for row in table.rows)
    others = sorted(name for name in file_names - set(listed) if _is_image_name(name))
    if not others and not file_names & set(listed):
        raise DatasetError(
            f"{folder}: holds no image ({len(file_names)} other files); expected PNG, JPEG, TIFF or BMP "
            "files; check the path"
        )
    jobs = [_job_of_row(folder, file_names, table, row, problems) for row in table.rows]
    missing_row = f"{table.path}: has no row for this image; add its pixel size"
    jobs += [ScoreJob(name, folder / name, None, SOURCE_NONE, missing_row) for name in others]
    n_ignored = len(file_names - set(listed)) - len(others)
    return ScorePlan(tuple(jobs), listed, tuple(problem.message for problem in problems), n_ignored)


def _read_file_names(folder: Path) -> set[str]:
    """Names of all files in a folder.

    Raises:
        DatasetError: if it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except OSError as error:
        raise DatasetError(
            f"{folder}: cannot be read ({error.strerror}); expected a folder of images; check the path"
        ) from error


def _is_image_name(name: str) -> bool:
    """Whether a file is an image to measure, judging by its name."""
    is_image = Path(name).suffix.lower() in IMAGE_SUFFIXES
    return is_image and not name.startswith(".") and not name.endswith(_ANNOTATION_SUFFIX)


def _job_of_row(
    folder: Path, file_names: set[str], table: PixelSizeTable, row: PixelSizeRow, problems: Sequence[Problem]
) -> ScoreJob:
    """The job of one table row."""
    path = folder / row.filename if row.filename in file_names else None
    note = ""
    if path is None:
        note = f"{table.path}, row {row.row}: names a file that is not in {folder}; add the image or remove the row"
    elif row.pixel_size_mm is None:
        where = f"{table.path}, row {row.row}"
        reasons = [problem.message for problem in problems if problem.message.startswith((f"{where}:", f"{where},"))]
        note = "; ".join(reasons) or f"{where}: has no usable pixel size"
    source = SOURCE_NONE if row.pixel_size_mm is None else SOURCE_TABLE
    return ScoreJob(row.filename, path, row.pixel_size_mm, source, note)
