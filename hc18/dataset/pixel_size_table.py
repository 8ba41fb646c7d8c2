"""Reading the HC18 tables `training_set_pixel_size_and_HC.csv` and `test_set_pixel_size.csv`."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from fetal_hc.errors import Problem, raise_if_fatal

FILENAME_COLUMN = "filename"
PIXEL_SIZE_COLUMN = "pixel size(mm)"
HC_COLUMN = "head circumference (mm)"

_REMEDY = "restore it from the original archive"


@dataclass(frozen=True, slots=True)
class PixelSizeRow:
    """One row of a pixel-size table.

    Attributes:
        filename: bare name of the image file.
        pixel_size_mm: mm per pixel, > 0; None where the table holds no usable number.
        hc_mm: reference head circumference in mm, > 0; None where the table holds none.
        row: line in the file, the header being line 1.
    """

    filename: str
    pixel_size_mm: float | None
    hc_mm: float | None
    row: int


@dataclass(frozen=True, slots=True)
class PixelSizeTable:
    """All rows of a table, also the unusable ones, and what is wrong with them.

    A name that occurs twice keeps its first row; the later ones are only reported.
    """

    path: Path
    rows: tuple[PixelSizeRow, ...]
    problems: tuple[Problem, ...]

    @property
    def names(self) -> frozenset[str]:
        """File names of the rows."""
        return frozenset(row.filename for row in self.rows)


def read_pixel_sizes(path: str | os.PathLike[str], *, require_hc: bool = False) -> list[PixelSizeRow]:
    """Rows of a table without any problem, in the order of the file.

    Byte-order mark, CRLF, surrounding spaces, empty lines, further columns and any order of columns are accepted.

    Args:
        path: CSV file.
        require_hc: whether every row needs a head circumference.

    Raises:
        DatasetError: lists all problems with file, line, column and value.
    """
    table = read_pixel_size_table(path, require_hc=require_hc)
    raise_if_fatal(table.problems, f"{table.path} cannot be used")
    return list(table.rows)


def read_pixel_size_table(path: str | os.PathLike[str], *, require_hc: bool = False) -> PixelSizeTable:
    """All rows and all problems of a table; never raises for its content.

    Args:
        path: CSV file.
        require_hc: whether a row without a head circumference is a problem.
    """
    table_path = Path(path)
    lines, problems = _read_lines(table_path)
    return _to_table(table_path, lines, problems, require_hc)


def pixel_size_table_from_text(text: str, name: str, *, require_hc: bool = False) -> PixelSizeTable:
    """All rows and all problems of a table that is not on disk; never raises for its content.

    Args:
        text: content of the table, without a byte-order mark.
        name: what to call it in messages.
        require_hc: whether a row without a head circumference is a problem.
    """
    table_path = Path(name)
    lines, problems = _parse_lines(table_path, io.StringIO(text, newline=""))
    return _to_table(table_path, lines, problems, require_hc)


def _to_table(
    table_path: Path, lines: list[tuple[int, list[str]]], problems: list[Problem], require_hc: bool
) -> PixelSizeTable:
    """The table in non-empty lines, unless there are problems already."""
    if problems:
        return PixelSizeTable(table_path, (), tuple(problems))
    (_, header), *body = lines
    columns, problems = _find_columns(table_path, header, require_hc)
    if problems:
        return PixelSizeTable(table_path, (), tuple(problems))
    rows: dict[str, PixelSizeRow] = {}
    for line, fields in body:
        row, row_problems = _parse_row(table_path, line, fields, columns, len(header), require_hc)
        problems += row_problems
        if row is None:
            continue
        if row.filename in rows:
            problems.append(
                Problem(
                    "duplicate_row",
                    f"{table_path}, row {line}, '{FILENAME_COLUMN}': "
                    f"'{row.filename}' already stands in row {rows[row.filename].row}; "
                    "expected every file once; delete one of the two rows",
                )
            )
            continue
        rows[row.filename] = row
    if not rows and not problems:
        problems.append(Problem("empty_table", f"{table_path}: has a header but no rows; expected one row per image"))
    return PixelSizeTable(table_path, tuple(rows.values()), tuple(problems))


def _read_lines(path: Path) -> tuple[list[tuple[int, list[str]]], list[Problem]]:
    """The non-empty lines as (line number, stripped fields), or the problem that prevents reading them."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return _parse_lines(path, stream)
    except FileNotFoundError:
        return [], [Problem("missing_table", f"{path}: does not exist; expected the table of pixel sizes; {_REMEDY}")]
    except OSError as error:
        return [], [Problem("unreadable_table", f"{path}: cannot be read ({error.strerror}); expected a CSV file")]


def _parse_lines(path: Path, stream: TextIO) -> tuple[list[tuple[int, list[str]]], list[Problem]]:
    """The non-empty lines of a text as (line number, stripped fields), or why they cannot be told apart.

    Raises:
        OSError: if the stream cannot be read.
    """
    try:
        reader = csv.reader(stream, strict=True)
        lines = [(reader.line_num, [field.strip() for field in fields]) for fields in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        return [], [
            Problem("unreadable_table", f"{path}: is not a UTF-8 CSV file ({error}); save it as CSV UTF-8 or {_REMEDY}")
        ]
    lines = [(number, fields) for number, fields in lines if any(fields)]
    if not lines:
        return [], [Problem("empty_table", f"{path}: is empty; expected a header and one row per image; {_REMEDY}")]
    return lines, []


def _find_columns(path: Path, header: Sequence[str], require_hc: bool) -> tuple[dict[str, int], list[Problem]]:
    """Position of each known column; spaces, case and punctuation of the header do not matter."""
    positions: dict[str, int] = {}
    for index, name in enumerate(header):
        positions.setdefault(_column_key(name), index)
    wanted = {FILENAME_COLUMN: True, PIXEL_SIZE_COLUMN: True, HC_COLUMN: require_hc}
    columns = {name: positions[_column_key(name)] for name in wanted if _column_key(name) in positions}
    missing = [name for name, required in wanted.items() if required and name not in columns]
    hint = "save it with commas between the columns" if ";" in "".join(header) else "restore the header line"
    return columns, [
        Problem("missing_column", f"{path}, row 1: no column '{name}' among {list(header)}; {hint}") for name in missing
    ]


def _column_key(name: str) -> str:
    """Letters and digits of a column name in lower case."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _parse_row(
    path: Path, line: int, fields: Sequence[str], columns: dict[str, int], n_columns: int, require_hc: bool
) -> tuple[PixelSizeRow | None, list[Problem]]:
    """The row with None for each unusable number, or None if it names no file; and its problems."""
    where = f"{path}, row {line}"
    problems: list[Problem] = []
    if len(fields) != n_columns:
        problems.append(
            Problem(
                "field_count",
                f"{where}: has {len(fields)} fields, the header {n_columns}; expected "
                "the same number; write numbers with a decimal point, not a comma",
            )
        )
    name = fields[columns[FILENAME_COLUMN]] if columns[FILENAME_COLUMN] < len(fields) else ""
    if not name or Path(name).name != name or "\\" in name:
        problems.append(
            Problem(
                "bad_filename",
                f"{where}, '{FILENAME_COLUMN}': '{name}' is not a file name; expected "
                "the bare name of an image, without folders",
            )
        )
        return None, problems
    values: dict[str, float | None] = {PIXEL_SIZE_COLUMN: None, HC_COLUMN: None}
    if len(fields) == n_columns:
        for column in values:
            text = fields[columns[column]] if column in columns else ""
            if column == HC_COLUMN and not text and not require_hc:
                continue
            values[column] = _positive_number(text)
            if values[column] is None:
                problems.append(_number_problem(f"{where}, '{column}'", text, column))
    return PixelSizeRow(name, values[PIXEL_SIZE_COLUMN], values[HC_COLUMN], line), problems


def _positive_number(text: str) -> float | None:
    """`text` as a finite number > 0, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 and "_" not in text else None


def _number_problem(where: str, text: str, column: str) -> Problem:
    """The problem of a value that is not a positive number."""
    unit = "mm per pixel" if column == PIXEL_SIZE_COLUMN else "mm"
    remedy = "restore the row from the original archive"
    if re.fullmatch(r"\d+,\d+", text):
        remedy = f"write it with a decimal point: {text.replace(',', '.')}"
    return Problem(
        "bad_pixel_size" if column == PIXEL_SIZE_COLUMN else "bad_hc",
        f"{where}: '{text}' is not a positive number; expected {unit}; {remedy}",
    )
