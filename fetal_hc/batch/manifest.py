"""Manifests: tables of any length that name every image of a batch, read row by row and never as a whole.

Columns, in any order, further ones ignored: `path` (or `filename`), relative to the folder of the manifest or of
`--images`; `id`, the name in the results, the path if there is none; `pixel_size_mm`, or `pixel_size_x_mm` and
`pixel_size_y_mm`. An empty pixel size, or `dicom`, means that the image file knows it.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fetal_hc.batch.jobs import SOURCE_FILE, SOURCE_NONE, SOURCE_TABLE
from fetal_hc.errors import DatasetError
from fetal_hc.io.extras import import_scale_library
from fetal_hc.io.storage import is_url, join_location, open_binary

PARQUET_SUFFIXES = frozenset({".parquet", ".pq"})
MANIFEST_SUFFIXES = PARQUET_SUFFIXES | {".csv"}
_PATH_COLUMNS = ("path", "filename")
_ID_COLUMN = "id"
_SIZE_COLUMN, _SIZE_X_COLUMN, _SIZE_Y_COLUMN = "pixelsizemm", "pixelsizexmm", "pixelsizeymm"
_FROM_DICOM = "dicom"
_FRAME_NUMBER = re.compile(r"#\d+$")
_ROWS_PER_BATCH = 4096
_READING_ERRORS = (OSError, UnicodeDecodeError, csv.Error, ValueError)  # pyarrow's errors are ValueErrors or OSErrors


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One row of a manifest.

    Attributes:
        row: number in the file, the header of a CSV file and the first row of a Parquet file being 1.
        id: name in the results; empty if the row cannot be used, for the reason in `problem`.
        path: where the image is, a path or a URL.
        pixel_size_xy_mm: mm per pixel along x and y, None if the row has none.
        pixel_size_source: as in `fetal_hc.batch.jobs.ImageTask`.
        problem: what is wrong with the row; empty if nothing is.
    """

    row: int
    id: str
    path: str
    pixel_size_xy_mm: tuple[float, float] | None
    pixel_size_source: str
    problem: str


def read_manifest(manifest: str, folder: str) -> Iterator[ManifestRow]:
    """Every row of a manifest, one after the other.

    Args:
        manifest: CSV or Parquet file (by its suffix), a path or a URL.
        folder: relative paths of images start here.

    Raises:
        DatasetError: if the file cannot be read or lacks a column.
        ConfigError: if it needs a library that is not installed.
    """
    is_parquet = Path(manifest).suffix.lower() in PARQUET_SUFFIXES
    try:
        with (
            open_binary(manifest) as stream,
            closing(_read_parquet(stream) if is_parquet else _read_csv(stream)) as lines,
        ):
            _, header = next(lines, (0, []))
            parse = _row_parser(manifest, folder, header)
            for row, fields in lines:
                if any(fields):
                    yield parse(row, fields)
    except _READING_ERRORS as error:
        raise DatasetError(
            f"{manifest}: cannot be read ({error}); expected a {'Parquet' if is_parquet else 'UTF-8 CSV'} file with a "
            "column 'path'; check the path and the file"
        ) from error


def manifest_folder(manifest: str) -> str:
    """The folder a manifest lies in."""
    return manifest.rpartition("/")[0] if is_url(manifest) else str(Path(manifest).parent)


def _read_csv(stream: Any) -> Generator[tuple[int, list[str]], None, None]:
    """Line number and stripped fields of every line, the header first."""
    with io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        reader = csv.reader(text, strict=True)
        for fields in reader:
            yield reader.line_num, [field.strip() for field in fields]


def _read_parquet(stream: Any) -> Generator[tuple[int, list[str]], None, None]:
    """Row number and the known columns as text, the header first; a few thousand rows are in memory at a time."""
    parquet = import_scale_library("pyarrow.parquet", "a Parquet manifest").ParquetFile(stream)
    known = {*_PATH_COLUMNS, _ID_COLUMN, _SIZE_COLUMN, _SIZE_X_COLUMN, _SIZE_Y_COLUMN}
    names = [name for name in parquet.schema_arrow.names if _column_key(name) in known]
    yield 0, names
    row = 0
    for batch in parquet.iter_batches(batch_size=_ROWS_PER_BATCH, columns=names):
        columns = [batch.column(index).to_pylist() for index in range(len(names))]
        for values in zip(*columns, strict=True):
            row += 1
            yield row, ["" if value is None else str(value).strip() for value in values]


def _row_parser(manifest: str, folder: str, header: Sequence[str]) -> Callable[[int, Sequence[str]], ManifestRow]:
    """The function that understands the rows below a header.

    Raises:
        DatasetError: if columns are missing.
    """
    positions: dict[str, int] = {}
    for index, name in enumerate(header):
        positions.setdefault(_column_key(name), index)
    path_column = next((name for name in _PATH_COLUMNS if name in positions), None)
    halves = {_SIZE_X_COLUMN: "pixel_size_x_mm", _SIZE_Y_COLUMN: "pixel_size_y_mm"}
    missing = [] if path_column else ["path"]
    if any(name in positions for name in halves):
        missing += [spelling for name, spelling in halves.items() if name not in positions]
    if path_column is None or missing:
        hint = "save it with commas between the columns" if ";" in "".join(header) else "add it"
        raise DatasetError(
            f"{manifest}, row 1: no column '{', '.join(missing)}' among {list(header)[:20]}; expected path, and id and "
            f"pixel_size_mm where they are known; {hint}"
        )

    def parse(row: int, fields: Sequence[str]) -> ManifestRow:
        where = f"{manifest}, row {row}"
        if len(fields) != len(header):
            problem = f"{where}: has {len(fields)} fields, the header {len(header)}; expected the same number"
            return ManifestRow(row, "", "", None, SOURCE_NONE, f"{problem}; write numbers with a decimal point")
        values = {name: fields[index] for name, index in positions.items()}
        path, name = values[path_column], values.get(_ID_COLUMN) or values[path_column]
        problem = _name_problem(where, path, name)
        if problem:
            return ManifestRow(row, "", path, None, SOURCE_NONE, problem)
        size_xy_mm, source, problem = _pixel_size(where, values)
        return ManifestRow(row, name, join_location(folder, path), size_xy_mm, source, problem)

    return parse


def _name_problem(where: str, path: str, name: str) -> str:
    """Why a row names no image; empty if it does."""
    if not path:
        return f"{where}, 'path': is empty; expected the path of an image; add it or remove the row"
    if _FRAME_NUMBER.search(name):
        return (
            f"{where}, 'id': '{name}' ends like the number of a frame ('name#2'), which the results use for images of "
            "several frames; choose another id"
        )
    return ""


def _pixel_size(where: str, values: Mapping[str, str]) -> tuple[tuple[float, float] | None, str, str]:
    """Mm per pixel along x and y, where they come from, and what is wrong with them."""
    both = values.get(_SIZE_COLUMN, "")
    texts = [values.get(_SIZE_X_COLUMN) or both, values.get(_SIZE_Y_COLUMN) or both]
    if all(text.lower() in ("", _FROM_DICOM) for text in texts):
        return None, SOURCE_FILE, ""
    across, down = (_positive_number(text) for text in texts)
    if across is None or down is None:
        wrong = texts[0] if across is None else texts[1]
        problem = (
            f"{where}, 'pixel_size_mm': '{wrong}' is not a positive number; expected mm per pixel with a decimal "
            "point, or nothing if the image file knows it"
        )
        return None, SOURCE_NONE, problem
    return (across, down), SOURCE_TABLE, ""


def _positive_number(text: str) -> float | None:
    """`text` as a finite number > 0, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 and "_" not in text else None


def _column_key(name: str) -> str:
    """Letters and digits of a column name in lower case."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
