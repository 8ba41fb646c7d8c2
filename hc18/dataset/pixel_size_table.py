"""Reading the HC18 tables `training_set_pixel_size_and_HC.csv` and `test_set_pixel_size.csv`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fetal_hc.errors import Problem, raise_if_fatal
from fetal_hc.io.tables import Table, number_remedy, parse_table, positive_number, read_table, to_positive_numbers
from hc18.geometry.pixel_size import POSSIBLE_PIXEL_SIZE_MM

if TYPE_CHECKING:
    import pandas as pd

FILENAME_COLUMN = "filename"
PIXEL_SIZE_COLUMN = "pixel size(mm)"
HC_COLUMN = "head circumference (mm)"

_WHAT = "the table of pixel sizes"
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
    required, optional = _columns(require_hc)
    return _to_table(read_table(path, required, optional, what=_WHAT, remedy=_REMEDY), require_hc)


def pixel_size_table_from_text(text: str, name: str, *, require_hc: bool = False) -> PixelSizeTable:
    """All rows and all problems of a table that is not on disk; never raises for its content.

    Args:
        text: content of the table, without a byte-order mark.
        name: what to call it in messages.
        require_hc: whether a row without a head circumference is a problem.
    """
    required, optional = _columns(require_hc)
    return _to_table(parse_table(text, name, required, optional, what=_WHAT, remedy=_REMEDY), require_hc)


def _columns(require_hc: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns that a table must have, and those it may have."""
    if require_hc:
        return (FILENAME_COLUMN, PIXEL_SIZE_COLUMN, HC_COLUMN), ()
    return (FILENAME_COLUMN, PIXEL_SIZE_COLUMN), (HC_COLUMN,)


def _to_table(table: Table, require_hc: bool) -> PixelSizeTable:
    """The rows of a table that could be read, each number checked."""
    path = Path(table.name)
    if table.problems:
        return PixelSizeTable(path, (), table.problems)
    if table.cells.empty:
        finding = f"{path}: has a header but no rows; expected one row per image"
        return PixelSizeTable(path, (), (Problem("empty_table", finding),))
    names = table.column(FILENAME_COLUMN)
    is_named = ~(names.isin(["", ".", ".."]) | names.str.contains(r"[/\\]"))
    is_even = ~names.index.isin(table.uneven_rows())
    problems = [*table.uneven_problems(), *(_name_problem(path, row, name) for row, name in _items(names[~is_named]))]
    numbers = {}
    for column in (PIXEL_SIZE_COLUMN, HC_COLUMN):
        texts = table.column(column)
        numbers[column] = to_positive_numbers(texts).where(is_even)
        if column == PIXEL_SIZE_COLUMN:
            numbers[column] = numbers[column].where(numbers[column].between(*POSSIBLE_PIXEL_SIZE_MM))
        is_wanted = is_named & is_even & (True if column == PIXEL_SIZE_COLUMN or require_hc else texts.ne(""))
        wrong = texts[is_wanted & numbers[column].isna()]
        problems += [_number_problem(path, row, text, column) for row, text in _items(wrong)]
    names = names[is_named]
    is_repeated = names.duplicated()
    first_rows = {name: row for row, name in _items(names[~is_repeated])} if is_repeated.any() else {}
    problems += [_duplicate_problem(path, row, name, first_rows[name]) for row, name in _items(names[is_repeated])]
    kept = names[~is_repeated]
    sizes, references = (numbers[column][kept.index].tolist() for column in (PIXEL_SIZE_COLUMN, HC_COLUMN))
    rows = tuple(
        PixelSizeRow(name, size if size > 0 else None, reference if reference > 0 else None, row)  # NaN is not > 0
        for row, name, size, reference in zip(kept.index.tolist(), kept.tolist(), sizes, references, strict=True)
    )
    return PixelSizeTable(path, rows, tuple(sorted(problems, key=lambda problem: problem.row or 0)))


def _items(cells: pd.Series[str]) -> list[tuple[int, str]]:
    """Line and text of every cell."""
    return list(zip(cells.index.tolist(), cells.tolist(), strict=True))


def _name_problem(path: Path, row: int, name: str) -> Problem:
    """The problem of a cell that is not the bare name of a file."""
    finding = f"{path}, row {row}, '{FILENAME_COLUMN}': '{name}' is not a file name"
    return Problem("bad_filename", f"{finding}; expected the bare name of an image, without folders", row=row)


def _number_problem(path: Path, row: int, text: str, column: str) -> Problem:
    """The problem of a value that is not a positive number, or not a possible pixel size."""
    low, high = POSSIBLE_PIXEL_SIZE_MM
    unit = f"{low:g} to {high:g} mm per pixel" if column == PIXEL_SIZE_COLUMN else "mm"
    kind = "a possible pixel size" if column == PIXEL_SIZE_COLUMN and positive_number(text) else "a positive number"
    remedy = number_remedy(text, "restore the row from the original archive")
    return Problem(
        "bad_pixel_size" if column == PIXEL_SIZE_COLUMN else "bad_hc",
        f"{path}, row {row}, '{column}': '{text}' is not {kind}; expected {unit}; {remedy}",
        row=row,
    )


def _duplicate_problem(path: Path, row: int, name: str, first_row: int) -> Problem:
    """The problem of a file name that stands in an earlier row as well."""
    return Problem(
        "duplicate_row",
        f"{path}, row {row}, '{FILENAME_COLUMN}': '{name}' already stands in row {first_row}; expected every file "
        "once; delete one of the two rows",
        row=row,
    )
