"""One image file to measure, and the files of a folder or pattern joined with the rows of a pixel-size table."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fetal_hc.errors import DatasetError, Problem, raise_if_fatal
from hc18.dataset.labelled_image import annotation_name
from hc18.dataset.pixel_size_table import PixelSizeRow, PixelSizeTable, read_pixel_size_table
from hc18.dicom.header import is_dicom

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})
DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
SOURCE_TABLE = "csv"  # `pixel_size_source`: where a pixel size came from
SOURCE_FILE = "file"  # of a job: the image file itself may know, which its row then names more exactly
SOURCE_NONE = "none"

_ANNOTATION_SUFFIX = annotation_name("")
_ABOUT_REFERENCE = "bad_hc"  # a wrong reference circumference does not concern a measurement
_WILDCARDS = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True)
class ImageTask:
    """One image file to measure.

    Attributes:
        file_name: its name in the results: the bare name of the file, or the id of a manifest row.
        path: where it is, a path or a URL; None if the table names a file that is not in the folder.
        pixel_size_xy_mm: mm per pixel along x and y, None if the table has none.
        pixel_size_source: `SOURCE_TABLE`; `SOURCE_FILE` if a DICOM file may bring its own; `SOURCE_NONE` if the table
            has a value that cannot be used.
        note: what is missing (the file or the pixel size) and how to supply it; empty if nothing is.
        index: number of the job in its batch, from 0.
    """

    file_name: str
    path: str | None
    pixel_size_xy_mm: tuple[float, float] | None
    pixel_size_source: str
    note: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """All images of a folder or pattern.

    Attributes:
        jobs: those of the table in its order, then the other images by name.
        table_problems: everything that is wrong with the table.
        n_ignored: files that are no images to measure (annotations, other types).
    """

    jobs: tuple[ImageTask, ...]
    table_problems: tuple[str, ...]
    n_ignored: int


def plan_jobs(images: str | os.PathLike[str], pixel_sizes: str | os.PathLike[str] | None = None) -> TaskPlan:
    """The images to measure: every image of a folder or pattern and every row of a table.

    Annotations (`*_Annotation.png`), hidden files, subfolders and files that are no images by their names are ignored,
    unless the table names them. A file without a suffix, or with a number for one, is an image if it is DICOM.

    Args:
        images: folder of the images, a pattern with `*`, `?` or `[...]` (`**` for folders of any depth), or one file.
            Files are named by their path below the folder or the fixed part of the pattern.
        pixel_sizes: CSV file in the layout of HC18; unusable values cost only their own image its millimetres. None if
            the images know their pixel sizes themselves.

    Raises:
        DatasetError: if the folder cannot be read or holds no image, or no row can be read from the table.
    """
    files = _find_files(os.fspath(images))
    table = None if pixel_sizes is None else read_pixel_size_table(pixel_sizes)
    if table is not None and not table.rows:
        raise_if_fatal(table.problems, f"{table.path} cannot be used")
    rows = () if table is None else table.rows
    problems = [] if table is None else [problem for problem in table.problems if problem.kind != _ABOUT_REFERENCE]
    listed = {row.filename for row in rows}
    others = sorted(name for name, path in files.items() if name not in listed and _is_image(name, path))
    if not others and files.keys().isdisjoint(listed):
        raise DatasetError(
            f"{images}: holds no image ({len(files)} other files); expected PNG, JPEG, TIFF, BMP or DICOM "
            "files; check the path"
        )
    jobs = [] if table is None else [_job_of_row(str(images), files, table, row, problems) for row in rows]
    missing_row = (
        "no table of pixel sizes was given; add --pixel-sizes"
        if table is None
        else f"{table.path}: has no row for this image; add its pixel size"
    )
    jobs += [ImageTask(name, files[name], None, SOURCE_FILE, missing_row) for name in others]
    n_ignored = sum(name not in listed for name in files) - len(others)
    numbered = tuple(
        ImageTask(job.file_name, job.path, job.pixel_size_xy_mm, job.pixel_size_source, job.note, index)
        for index, job in enumerate(jobs)
    )
    return TaskPlan(numbered, tuple(problem.message for problem in problems), n_ignored)


def _find_files(images: str) -> dict[str, str]:
    """Path of every file by its name in the results.

    Raises:
        DatasetError: if there is nothing to read.
    """
    if not Path(images).is_dir() and (Path(images).is_file() or _WILDCARDS.search(images)):
        fixed = Path(images).parent if Path(images).is_file() else _fixed_part(images)
        found = glob.iglob(images, recursive=True)  # noqa: PTH207  # Path.glob refuses absolute patterns
        paths = (Path(path) for path in found)
        files = {path.relative_to(fixed).as_posix(): str(path) for path in paths if path.is_file()}
        if not files:
            raise DatasetError(f"{images}: matches no file; expected images; check the pattern (quoted in the shell?)")
        return files
    try:
        with os.scandir(images) as entries:
            return {entry.name: entry.path for entry in entries if entry.is_file()}
    except OSError as error:
        raise DatasetError(
            f"{images}: cannot be read ({error.strerror}); expected a folder of images, a pattern or a manifest; "
            "check the path"
        ) from error


def _fixed_part(pattern: str) -> Path:
    """The folder above the first part of a pattern that has a wildcard."""
    parts = Path(pattern).parts
    n_fixed = next(index for index, part in enumerate(parts) if _WILDCARDS.search(part))
    return Path(*parts[:n_fixed])


def _is_image(name: str, path: str) -> bool:
    """Whether a file is an image to measure, judging by its name, or by its first bytes where names say nothing."""
    bare, suffix = Path(name).name, Path(name).suffix.lower()
    if bare.startswith(".") or bare.endswith(_ANNOTATION_SUFFIX):
        return False
    if suffix in IMAGE_SUFFIXES or suffix in DICOM_SUFFIXES:
        return True
    return (not suffix or suffix[1:].isdecimal()) and is_dicom(path)


def _job_of_row(
    images: str, files: Mapping[str, str], table: PixelSizeTable, row: PixelSizeRow, problems: Sequence[Problem]
) -> ImageTask:
    """The job of one table row."""
    path = files.get(row.filename)
    note = ""
    if path is None:
        note = f"{table.path}, row {row.row}: names a file that is not in {images}; add the image or remove the row"
    elif row.pixel_size_mm is None:
        where = f"{table.path}, row {row.row}"
        reasons = [problem.message for problem in problems if problem.message.startswith((f"{where}:", f"{where},"))]
        note = "; ".join(reasons) or f"{where}: has no usable pixel size"
    if row.pixel_size_mm is None:
        return ImageTask(row.filename, path, None, SOURCE_NONE, note)
    return ImageTask(row.filename, path, (row.pixel_size_mm, row.pixel_size_mm), SOURCE_TABLE, note)
