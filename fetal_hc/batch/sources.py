"""What a batch measures, whatever names it: a folder, a pattern or a manifest, as a repeatable stream of jobs."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from array import array
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fetal_hc.batch.jobs import ImageTask, plan_jobs
from fetal_hc.batch.manifest import MANIFEST_SUFFIXES, ManifestRow, manifest_folder, read_manifest
from fetal_hc.batch.message_log import MessageLog
from fetal_hc.errors import ConfigError, DatasetError
from fetal_hc.io.storage import check_protocol, file_stamp, is_url, open_binary

Location = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class ImageSource:
    """The images of a batch.

    Attributes:
        n_jobs: number of image files.
        jobs: starts the stream of jobs anew; they are numbered from 0.
        identity: what the stream was made of, to recognise the same batch again: texts by name.
        problems: what is wrong with the table.
        n_ignored: files that are no images to measure.
        tables: files that were read.
    """

    n_jobs: int
    jobs: Callable[[], Iterator[ImageTask]]
    identity: dict[str, str]
    problems: MessageLog
    n_ignored: int
    tables: tuple[Path, ...]


def open_source(
    images: Location | None = None, pixel_sizes: Location | None = None, manifest: Location | None = None
) -> ImageSource:
    """The images to measure.

    Args:
        images: folder, pattern or single file; with a manifest the folder its paths start from. A CSV or Parquet file
            is taken as the manifest.
        pixel_sizes: table of pixel sizes in the layout of HC18, for a folder or pattern.
        manifest: CSV or Parquet file that names the images, a path or a URL.

    Raises:
        ConfigError: if the arguments contradict each other or need a library that is not installed.
        DatasetError: if there is nothing to measure, or a table cannot be read.
    """
    images = None if images is None else os.fspath(images)
    if manifest is None and images is not None and Path(images).suffix.lower() in MANIFEST_SUFFIXES:
        images, manifest = None, images
    if manifest is None:
        if images is None:
            raise ConfigError("nothing to measure: expected a folder, a pattern or a manifest; add --images")
        return _folder_source(images, None if pixel_sizes is None else Path(pixel_sizes))
    if pixel_sizes is not None:
        raise ConfigError(
            f"{os.fspath(manifest)}: is a manifest and holds the pixel sizes itself; expected no other table; "
            "leave out --pixel-sizes"
        )
    return _manifest_source(os.fspath(manifest), images)


def _folder_source(images: str, pixel_sizes: Path | None) -> ImageSource:
    """The images of a folder or pattern, which are all in memory by name."""
    plan = plan_jobs(images, pixel_sizes)
    problems = MessageLog()
    for problem in plan.table_problems:
        problems.add(problem)
    digest = hashlib.sha256()
    for job in plan.jobs:
        digest.update(f"{job.file_name}\0{job.path is None}\0{job.pixel_size_xy_mm}\n".encode())
    identity = {
        "images": os.path.abspath(images),  # noqa: PTH100  # a pattern is no path to resolve
        "pixel sizes": "" if pixel_sizes is None else str(pixel_sizes.resolve()),
        "list of images (SHA-256)": digest.hexdigest(),
        "number of images": str(len(plan.jobs)),
    }
    tables = () if pixel_sizes is None else (pixel_sizes,)
    return ImageSource(len(plan.jobs), lambda: iter(plan.jobs), identity, problems, plan.n_ignored, tables)


def _manifest_source(manifest: str, images: str | None) -> ImageSource:
    """The images of a manifest, which is read once here and again while they are measured."""
    if images is not None and not is_url(images) and not Path(images).is_dir():
        raise DatasetError(f"{images}: is no folder; expected the folder that the paths of {manifest} start from")
    folder = manifest_folder(manifest) if images is None else images
    folder = folder if is_url(folder) else str(Path(folder).resolve())
    stamp = file_stamp(manifest)
    problems, left_out, n_rows = _check_rows(manifest, folder)
    n_jobs = n_rows - len(left_out)
    if n_jobs == 0:
        first = f": {problems.first[0]}" if problems.first else ""
        raise DatasetError(f"{manifest}: names no image that can be measured{first}; expected one row per image")

    def jobs() -> Iterator[ImageTask]:
        if file_stamp(manifest) != stamp:
            raise DatasetError(f"{manifest}: was changed while it was used; start again when it is finished")
        return _jobs(manifest, folder, left_out)

    identity = {
        "manifest": manifest if is_url(manifest) else str(Path(manifest).resolve()),
        "images": folder,
        "manifest (SHA-256)": _sha256(manifest),
        "number of images": str(n_jobs),
    }
    tables = () if is_url(manifest) else (Path(manifest),)
    return ImageSource(n_jobs, jobs, identity, problems, 0, tables)


def _check_rows(manifest: str, folder: str) -> tuple[MessageLog, array[int], int]:
    """What is wrong with a manifest, its rows that name no image or a known one, and how many rows it has.

    The names are compared in a database in a temporary file, so that memory does not grow with the manifest.

    Raises:
        ConfigError: if a row needs a library that is not installed.
    """
    problems, left_out, protocols, n_rows = MessageLog(), array("q"), set[str](), 0
    with closing(sqlite3.connect("")) as names:
        names.execute("CREATE TABLE names (id TEXT PRIMARY KEY, row INTEGER) WITHOUT ROWID")
        for row in read_manifest(manifest, folder):
            n_rows += 1
            repetition = _repetition(names, manifest, row) if row.id else ""
            for problem in filter(None, (row.problem, repetition)):
                problems.add(problem)
            if not row.id or repetition:
                left_out.append(row.row)
            elif is_url(row.path) and (protocol := row.path.partition("://")[0]) not in protocols:
                protocols.add(protocol)
                if unusable := check_protocol(row.path):
                    raise ConfigError(f"{manifest}, row {row.row}: {unusable}")
    return problems, left_out, n_rows


def _repetition(names: sqlite3.Connection, manifest: str, row: ManifestRow) -> str:
    """Remembers the name of a row; what is wrong if it is there already."""
    if names.execute("INSERT OR IGNORE INTO names VALUES (?, ?)", (row.id, row.row)).rowcount:
        return ""
    earlier = names.execute("SELECT row FROM names WHERE id = ?", (row.id,)).fetchone()[0]
    return (
        f"{manifest}, row {row.row}, 'id': '{row.id}' already stands in row {earlier}; expected every id once; "
        "delete one of the two rows or give them different ids"
    )


def _jobs(manifest: str, folder: str, left_out: array[int]) -> Iterator[ImageTask]:
    """The jobs of a checked manifest; `left_out` holds the rows without one, ascending."""
    index, skipped = 0, 0
    for row in read_manifest(manifest, folder):
        if skipped < len(left_out) and row.row == left_out[skipped]:
            skipped += 1
            continue
        note = row.problem or (
            f"{manifest}, row {row.row}: has no pixel size and the image file has none either; add it"
            if row.pixel_size_xy_mm is None
            else ""
        )
        yield ImageTask(row.id, row.path, row.pixel_size_xy_mm, row.pixel_size_source, note, index)
        index += 1


def _sha256(location: str) -> str:
    """Hex SHA-256 of a file.

    Raises:
        DatasetError: if it cannot be read.
    """
    try:
        with open_binary(location) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
    except OSError as error:
        raise DatasetError(f"{location}: cannot be read ({error}); expected a manifest; check the path") from error
