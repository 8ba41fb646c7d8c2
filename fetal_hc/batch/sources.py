"""The images of a batch from a folder, a pattern or a manifest, as a repeatable stream of tasks."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Generic

from fetal_hc.batch.folder_files import find_files
from fetal_hc.batch.manifest import MANIFEST_SUFFIXES, ManifestRow, manifest_folder, read_manifest
from fetal_hc.batch.rules import FolderTable, SourceRules
from fetal_hc.batch.summary import MessageLog
from fetal_hc.batch.tasks import Facts, ImageTask
from fetal_hc.errors import ConfigError, DatasetError
from fetal_hc.io.storage import check_url, file_stamp, is_url, open_binary

Location = str | os.PathLike[str]
_ROWS_PER_RUN = 1000  # names that are looked up together


@dataclass(frozen=True, slots=True)
class ImageSource(Generic[Facts]):
    """The images of a batch.

    Attributes:
        n_tasks: number of image files.
        tasks: starts the stream of tasks from its beginning; they are numbered from 0.
        identity: what the stream was made of, to recognise the same batch again: texts by name.
        problems: what is wrong with the table.
        n_ignored: files that are not images to process.
        tables: files that were read.
    """

    n_tasks: int
    tasks: Callable[[], Iterator[ImageTask[Facts]]]
    identity: dict[str, str]
    problems: MessageLog
    n_ignored: int
    tables: tuple[Path, ...]


def open_source(
    rules: SourceRules[Facts],
    images: Location | None = None,
    table: Location | None = None,
    manifest: Location | None = None,
) -> ImageSource[Facts]:
    """The images to process.

    Args:
        rules: recognise images and understand tables.
        images: folder, pattern or single file; with a manifest the folder its paths start from. A CSV or Parquet file
            is taken as the manifest.
        table: what is known about the images of a folder or pattern.
        manifest: CSV or Parquet file that names the images, a path or a URL.

    Raises:
        ConfigError: if the arguments contradict each other or need a library that is not installed.
        DatasetError: if there is nothing to process, or a table cannot be read.
    """
    images = None if images is None else os.fspath(images)
    if manifest is None and images is not None and Path(images).suffix.lower() in MANIFEST_SUFFIXES:
        images, manifest = None, images
    if manifest is None:
        if images is None:
            raise ConfigError("nothing to measure: expected a folder, a pattern or a manifest; add --images")
        return _folder_source(rules, images, None if table is None else Path(table))
    if table is not None:
        raise ConfigError(
            f"{os.fspath(manifest)}: is a manifest and has the pixel sizes itself; expected no other table; "
            "leave out --pixel-sizes"
        )
    return _manifest_source(rules, os.fspath(manifest), images)


def _folder_source(rules: SourceRules[Facts], images: str, path: Path | None) -> ImageSource[Facts]:
    """The images of a folder or pattern: those of the table in its order, then the others by name.

    What the rules do not take for an image is ignored, unless the table names it.

    Raises:
        DatasetError: if the folder cannot be read or has no image, or no row can be read from the table.
    """
    files = find_files(images)
    table = None if path is None else rules.read_table(path)
    listed = frozenset(() if table is None else table.names)
    others = sorted(name for name, location in files.items() if name not in listed and rules.is_image(location))
    if not others and files.keys().isdisjoint(listed):
        raise DatasetError(
            f"{images}: has no image ({len(files)} other files); expected PNG, JPEG, TIFF, BMP or DICOM files; check "
            "the path"
        )
    n_listed = 0 if table is None else len(table.names)
    note = rules.without_table if table is None else f"{table.path}: {rules.without_row}"

    def tasks() -> Iterator[ImageTask[Facts]]:
        for index in range(n_listed if table is not None else 0):
            yield _task_of_row(images, files, table, index)  # type: ignore[arg-type]  # there is one
        for index, name in enumerate(others, start=n_listed):
            yield ImageTask(index, name, files[name], None, note)

    digest = hashlib.sha256()
    for name in sorted((listed & files.keys()) | set(others)):
        digest.update(name.encode("utf-8", "surrogatepass") + b"\n")
    n_tasks = n_listed + len(others)
    identity = {
        "images": os.path.abspath(images),  # noqa: PTH100  # a pattern is not a path to resolve
        "table": "" if path is None else str(path.resolve()),
        "table (SHA-256)": "" if path is None else _sha256(str(path)),
        "list of images (SHA-256)": digest.hexdigest(),
        "number of images": str(n_tasks),
    }
    n_ignored = sum(name not in listed for name in files) - len(others)
    problems = MessageLog() if table is None else table.problems
    return ImageSource(n_tasks, tasks, identity, problems, n_ignored, () if path is None else (path,))


def _task_of_row(images: str, files: dict[str, str], table: FolderTable[Facts], index: int) -> ImageTask[Facts]:
    """The task of one table row."""
    name, stated = table.names[index], table.stated(index)
    path = files.get(name)
    note = stated.note
    if path is None:
        where = f"{table.path}, row {table.rows[index]}"
        note = f"{where}: names a file that is not in {images}; add the image or remove the row"
    return ImageTask(index, name, path, stated.facts, note)


def _manifest_source(rules: SourceRules[Facts], manifest: str, images: str | None) -> ImageSource[Facts]:
    """The images of a manifest, which is read once here and again while they are processed."""
    if images is not None and not is_url(images) and not Path(images).is_dir():
        raise DatasetError(f"{images}: is not a folder; expected the folder that the paths of {manifest} start from")
    folder = manifest_folder(manifest) if images is None else images
    folder = folder if is_url(folder) else str(Path(folder).resolve())
    stamp = file_stamp(manifest)
    problems, left_out, n_rows = _check_rows(rules, manifest, folder)
    n_tasks = n_rows - len(left_out)
    if n_tasks == 0:
        first = f": {problems.first[0]}" if problems.first else ""
        raise DatasetError(f"{manifest}: names no image that can be measured{first}; expected one row per image")

    def tasks() -> Iterator[ImageTask[Facts]]:
        if file_stamp(manifest) != stamp:
            raise DatasetError(f"{manifest}: was changed while it was used; start again when it is finished")
        return _manifest_tasks(rules, manifest, folder, left_out)

    identity = {
        "manifest": manifest if is_url(manifest) else str(Path(manifest).resolve()),
        "images": folder,
        "manifest (SHA-256)": _sha256(manifest),
        "number of images": str(n_tasks),
    }
    tables = () if is_url(manifest) else (Path(manifest),)
    return ImageSource(n_tasks, tasks, identity, problems, 0, tables)


def _check_rows(rules: SourceRules[Facts], manifest: str, folder: str) -> tuple[MessageLog, array[int], int]:
    """What is wrong with a manifest, its rows that name no image or a known one, and how many rows it has.

    The names are compared in a database in a temporary file, so that memory does not grow with the manifest.

    Raises:
        ConfigError: if a row needs a library that is not installed, or has a URL of a kind that is not allowed.
    """
    problems, left_out, protocols, n_rows = MessageLog(), array("q"), set[str](), 0
    with closing(sqlite3.connect("")) as names:
        names.execute("CREATE TABLE names (id TEXT PRIMARY KEY, row INTEGER) WITHOUT ROWID")
        rows = read_manifest(manifest, folder, rules)
        while run := list(islice(rows, _ROWS_PER_RUN)):
            n_rows += len(run)
            earlier_rows = _remember(names, run)
            for row in run:
                earlier = earlier_rows.get(row.row)
                repetition = "" if earlier is None else _repetition(manifest, row, earlier)
                for problem in filter(None, (row.problem, repetition)):
                    problems.add(problem)
                if not row.id or repetition:
                    left_out.append(row.row)
                elif is_url(row.path) and ("::" in row.path or row.path.partition("://")[0] not in protocols):
                    check_url(row.path, where=f"{manifest}, row {row.row}: ")
                    protocols.add(row.path.partition("://")[0])
    return problems, left_out, n_rows


def _remember(names: sqlite3.Connection, rows: Sequence[ManifestRow[Facts]]) -> dict[int, int]:
    """Remembers the names of rows; by row, in which earlier row a name stands that was there already."""
    named = [(row.id, row.row) for row in rows if row.id]
    if names.executemany("INSERT OR IGNORE INTO names VALUES (?, ?)", named).rowcount == len(named):
        return {}
    first = {name: names.execute("SELECT row FROM names WHERE id = ?", (name,)).fetchone()[0] for name, _ in named}
    return {row: first[name] for name, row in named if first[name] != row}


def _repetition(manifest: str, row: ManifestRow[Facts], earlier: int) -> str:
    """What is wrong with a row whose name stands in an earlier one."""
    return (
        f"{manifest}, row {row.row}, 'id': '{row.id}' already stands in row {earlier}; expected every id once; "
        "delete one of the two rows or give them different ids"
    )


def _manifest_tasks(
    rules: SourceRules[Facts], manifest: str, folder: str, left_out: array[int]
) -> Iterator[ImageTask[Facts]]:
    """The tasks of a checked manifest; `left_out` has the rows without one, ascending."""
    index, skipped = 0, 0
    for row in read_manifest(manifest, folder, rules):
        if skipped < len(left_out) and row.row == left_out[skipped]:
            skipped += 1
            continue
        yield ImageTask(index, row.id, row.path, row.stated.facts, row.stated.note)
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
