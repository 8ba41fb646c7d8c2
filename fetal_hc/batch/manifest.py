"""Manifests: tables of any length that name every image of a batch, read row by row and never as a whole.

Columns, in any order, further ones ignored: `path` (or `filename`), relative to the folder of the manifest or of
`--images`; `id`, the name in the results, the path if there is none; and those in which the domain states facts.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Generic, NamedTuple

from fetal_hc.batch.rules import SourceRules, Stated
from fetal_hc.batch.tasks import Facts
from fetal_hc.errors import DatasetError
from fetal_hc.io.extras import import_scale_library
from fetal_hc.io.storage import check_url, is_url, join_location, open_binary
from fetal_hc.io.tables import column_key

PARQUET_SUFFIXES = frozenset({".parquet", ".pq"})
MANIFEST_SUFFIXES = PARQUET_SUFFIXES | {".csv"}
_PATH_COLUMNS = ("path", "filename")
_ID_COLUMN = "id"
_FRAME_NUMBER = re.compile(r"#\d+$")
_ROWS_PER_BATCH = 4096
_READING_ERRORS = (OSError, UnicodeDecodeError, csv.Error, ValueError)  # pyarrow's errors are ValueErrors or OSErrors


class ManifestRow(NamedTuple, Generic[Facts]):
    """One row of a manifest.

    Attributes:
        row: number in the file, the header of a CSV file and the first row of a Parquet file being 1.
        id: name in the results; empty if the row cannot be used, for the reason in `stated.problem`.
        path: where the image is, a path or a URL.
        stated: what the row states about the image, and what is wrong with the row.
    """

    row: int
    id: str
    path: str
    stated: Stated[Facts]

    @property
    def problem(self) -> str:
        """What is wrong with the row; empty if nothing is."""
        return self.stated.problem


def read_manifest(manifest: str, folder: str, rules: SourceRules[Facts]) -> Iterator[ManifestRow[Facts]]:
    """Every row of a manifest, one after the other.

    Args:
        manifest: CSV or Parquet file (by its suffix), a path or a URL.
        folder: relative paths of images start here.
        rules: understand what the rows state about the images.

    Raises:
        DatasetError: if the file cannot be read or lacks a column.
        ConfigError: if it needs a library that is not installed, or a URL of a kind that is not allowed.
    """
    is_parquet = Path(manifest).suffix.lower() in PARQUET_SUFFIXES
    known = {*_PATH_COLUMNS, _ID_COLUMN, *rules.columns}
    try:
        if is_url(manifest):
            check_url(manifest)
        with (
            open_binary(manifest) as stream,
            closing(_read_parquet(stream, known) if is_parquet else _read_csv(stream)) as lines,
        ):
            _, header = next(lines, (0, []))
            parse = _row_parser(manifest, folder, header, rules)
            for row, fields in lines:
                if any(fields):
                    yield parse(row, fields)
    except _READING_ERRORS as error:
        raise DatasetError(
            f"{manifest}: cannot be read ({error}); expected a {'Parquet' if is_parquet else 'UTF-8 CSV'} file with a "
            "column 'path'; check the path and the file"
        ) from error


def read_manifest_column(manifest: str, column: str) -> dict[str, str]:
    """The text in a column for every row that has one, by the name of the row in the results; empty without the column.

    Args:
        manifest: CSV or Parquet file (by its suffix), a path or a URL.
        column: name of the column.

    Raises:
        DatasetError: if the file cannot be read.
        ConfigError: if it needs a library that is not installed.
    """
    is_parquet = Path(manifest).suffix.lower() in PARQUET_SUFFIXES
    wanted = column_key(column)
    try:
        with (
            open_binary(manifest) as stream,
            closing(
                _read_parquet(stream, {*_PATH_COLUMNS, _ID_COLUMN, wanted}) if is_parquet else _read_csv(stream)
            ) as lines,
        ):
            header = [column_key(name) for name in next(lines, (0, []))[1]]
            if wanted not in header:
                return {}
            names = [header.index(name) for name in (_ID_COLUMN, *_PATH_COLUMNS) if name in header]
            place = header.index(wanted)
            found = {}
            for _, fields in lines:
                if len(fields) == len(header) and fields[place]:
                    found[next((fields[index] for index in names if fields[index]), "")] = fields[place]
            return found
    except _READING_ERRORS as error:
        raise DatasetError(f"{manifest}: cannot be read ({error}); expected a table; check the path") from error


def manifest_folder(manifest: str) -> str:
    """The folder a manifest lies in."""
    return manifest.rpartition("/")[0] if is_url(manifest) else str(Path(manifest).parent)


def _read_csv(stream: Any) -> Generator[tuple[int, list[str]], None, None]:
    """Line number and stripped fields of every line, the header first."""
    with io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        reader = csv.reader(text, strict=True)
        for fields in reader:
            yield reader.line_num, [field.strip() for field in fields]


def _read_parquet(stream: Any, known: Collection[str]) -> Generator[tuple[int, list[str]], None, None]:
    """Row number and the known columns as text, the header first; a few thousand rows are in memory at a time."""
    parquet = import_scale_library("pyarrow.parquet", "a Parquet manifest").ParquetFile(stream)
    names = [name for name in parquet.schema_arrow.names if column_key(name) in known]
    yield 0, names
    row = 0
    for batch in parquet.iter_batches(batch_size=_ROWS_PER_BATCH, columns=names):
        columns = [batch.column(index).to_pylist() for index in range(len(names))]
        for values in zip(*columns, strict=True):
            row += 1
            yield row, ["" if value is None else str(value).strip() for value in values]


def _row_parser(
    manifest: str, folder: str, header: Sequence[str], rules: SourceRules[Facts]
) -> Callable[[int, Sequence[str]], ManifestRow[Facts]]:
    """The function that understands the rows below a header.

    Raises:
        DatasetError: if columns are missing.
    """
    positions: dict[str, int] = {}
    for index, name in enumerate(header):
        positions.setdefault(column_key(name), index)
    path_column = next((name for name in _PATH_COLUMNS if name in positions), None)
    missing = [*([] if path_column else ["path"]), *rules.missing_columns(positions)]
    if path_column is None or missing:
        hint = "save it with commas between the columns" if ";" in "".join(header) else "add it"
        optional = ", ".join(("id", *rules.columns.values()))
        raise DatasetError(
            f"{manifest}, row 1: no column '{', '.join(missing)}' among {list(header)[:20]}; expected path, and where "
            f"they are known {optional}; {hint}"
        )
    path_index, id_index = positions[path_column], positions.get(_ID_COLUMN)
    fact_positions = [(name, index) for name, index in positions.items() if name in rules.columns]
    below = join_location(folder, "")

    def parse(row: int, fields: Sequence[str]) -> ManifestRow[Facts]:
        if len(fields) != len(header):
            problem = f"has {len(fields)} fields, the header {len(header)}; expected the same number"
            return _unusable(row, "", f"{manifest}, row {row}: {problem}; write numbers with a decimal point")
        path = fields[path_index]
        name = (id_index is not None and fields[id_index]) or path
        if not path or "\0" in path or ("#" in name and _FRAME_NUMBER.search(name)):
            return _unusable(row, path, f"{manifest}, row {row}, {_name_problem(path, name)}")
        values = {column: fields[index] for column, index in fact_positions}
        is_relative = path[0] != "/" and ":" not in path and "\\" not in path
        location = below + path if is_relative else join_location(folder, path)
        return ManifestRow(row, name, location, rules.parse(f"{manifest}, row {row}", values))

    return parse


def _unusable(row: int, path: str, problem: str) -> ManifestRow[Any]:
    return ManifestRow(row, "", path, Stated(None, problem, problem))


def _name_problem(path: str, name: str) -> str:
    """Why a row names no image."""
    if not path:
        return "'path': is empty; expected the path of an image; add it or remove the row"
    if "\0" in path:
        return "'path': has a zero byte; expected the path of an image; correct it"
    return (
        f"'id': '{name}' ends like the number of a frame ('name#2'), which the results use for images of several "
        "frames; choose another id"
    )
