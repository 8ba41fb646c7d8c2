"""Reading the HC18 tables `training_set_pixel_size_and_HC.csv` and `test_set_pixel_size.csv`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from fetal_hc.errors import Problem, raise_if_fatal
from fetal_hc.io.tables import (
    MOST_PROBLEMS,
    Table,
    field_count_problem,
    number_remedy,
    parse_table,
    positive_number,
    read_table,
    to_positive_numbers,
    uncounted_problems,
)
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


@dataclass(frozen=True, slots=True, eq=False)
class PixelSizeRows(Sequence[PixelSizeRow]):
    """The rows of a table, kept as columns: a million rows take 100 MB.

    Attributes:
        filenames: bare name of each image file.
        pixel_sizes_mm: (n,) mm per pixel; NaN where the table holds no usable number.
        hcs_mm: (n,) reference head circumference in mm; NaN where the table holds none.
        lines: (n,) lines in the file, ascending, the header being line 1.
    """

    filenames: list[str]
    pixel_sizes_mm: NDArray[np.float64]
    hcs_mm: NDArray[np.float64]
    lines: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.filenames)

    @overload
    def __getitem__(self, index: int) -> PixelSizeRow: ...
    @overload
    def __getitem__(self, index: slice) -> list[PixelSizeRow]: ...
    def __getitem__(self, index: int | slice) -> PixelSizeRow | list[PixelSizeRow]:
        """One row, or a list of rows."""
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        size, reference = float(self.pixel_sizes_mm[index]), float(self.hcs_mm[index])
        return PixelSizeRow(
            self.filenames[index],
            None if math.isnan(size) else size,
            None if math.isnan(reference) else reference,
            int(self.lines[index]),
        )


_NO_ROWS = PixelSizeRows([], np.empty(0), np.empty(0), np.empty(0, np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class RowFault:
    """The rows that have one kind of problem; the problems themselves are made when they are asked for.

    Attributes:
        kind: of the problems.
        found: what makes the problem, by line, ascending.
        to_problem: makes it of the line and that.
    """

    kind: str
    found: pd.Series[Any]
    to_problem: Callable[[int, Any], Problem]

    def first(self, count: int) -> list[Problem]:
        """The problems of the first of these rows."""
        return [self.to_problem(line, found) for line, found in _items(self.found.iloc[:count])]

    def of_line(self, line: int) -> list[Problem]:
        """The problem of a line, if it has one."""
        position = int(self.found.index.searchsorted(line))
        is_there = position < len(self.found) and self.found.index[position] == line
        return [self.to_problem(line, self.found.iloc[position])] if is_there else []


@dataclass(frozen=True, slots=True, eq=False)
class PixelSizeTable:
    """All rows of a table, also the unusable ones, and what is wrong with them.

    A name that occurs twice keeps its first row; the later ones are only reported.

    Attributes:
        path: of the file.
        rows: the rows with a file name.
        unusable: why no row of the file can be read.
        faults: what is wrong with single rows.
    """

    path: Path
    rows: PixelSizeRows
    unusable: tuple[Problem, ...] = ()
    faults: tuple[RowFault, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """File names of the rows."""
        return frozenset(self.rows.filenames)

    @property
    def n_problems(self) -> int:
        """How many problems there are."""
        return len(self.unusable) + sum(len(fault.found) for fault in self.faults)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The first problems in the order of the file, and one that counts all if there are more."""
        return (*self.first_problems(MOST_PROBLEMS), *uncounted_problems(str(self.path), self.n_problems))

    def first_problems(self, count: int) -> list[Problem]:
        """The first problems, in the order of the file."""
        found = [problem for fault in self.faults for problem in fault.first(count)]
        return [*self.unusable, *sorted(found, key=lambda problem: problem.row or 0)][:count]

    def problems_of_line(self, line: int) -> list[Problem]:
        """What is wrong with one line."""
        return [problem for fault in self.faults for problem in fault.of_line(line)]

    def without(self, kind: str) -> PixelSizeTable:
        """The table without the problems of one kind."""
        return replace(self, faults=tuple(fault for fault in self.faults if fault.kind != kind))


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
        return PixelSizeTable(path, _NO_ROWS, table.problems)
    if table.cells.empty:
        finding = f"{path}: has a header but no rows; expected one row per image"
        return PixelSizeTable(path, _NO_ROWS, (Problem("empty_table", finding),))
    names = table.column(FILENAME_COLUMN)
    is_named = ~(names.isin(["", ".", ".."]) | names.str.contains(r"[/\\]"))
    is_even = table.n_fields == len(table.header)
    n_expected = len(table.header)
    faults = [
        RowFault(
            "field_count",
            table.n_fields[~is_even],
            lambda line, n_fields: field_count_problem(str(path), line, n_fields, n_expected),
        ),
        RowFault("bad_filename", names[~is_named], partial(_name_problem, path)),
    ]
    numbers = {}
    for column, kind in ((PIXEL_SIZE_COLUMN, "bad_pixel_size"), (HC_COLUMN, "bad_hc")):
        texts = table.column(column)
        numbers[column] = to_positive_numbers(texts).where(is_even)
        if column == PIXEL_SIZE_COLUMN:
            numbers[column] = numbers[column].where(numbers[column].between(*POSSIBLE_PIXEL_SIZE_MM))
        is_wanted = is_named & is_even & (True if column == PIXEL_SIZE_COLUMN or require_hc else texts.ne(""))
        wrong = texts[is_wanted & numbers[column].isna()]
        faults.append(RowFault(kind, wrong, partial(_number_problem, path, column)))
    names = names[is_named]
    is_repeated = names.duplicated()
    faults.append(_repetitions(path, names, is_repeated))
    kept = names[~is_repeated]
    sizes, references = (
        np.asarray(numbers[column][kept.index], dtype=np.float64) for column in (PIXEL_SIZE_COLUMN, HC_COLUMN)
    )
    rows = PixelSizeRows(kept.tolist(), sizes, references, kept.index.to_numpy())
    return PixelSizeTable(path, rows, faults=tuple(fault for fault in faults if len(fault.found)))


def _repetitions(path: Path, names: pd.Series[str], is_repeated: pd.Series[bool]) -> RowFault:
    """The rows whose name stands in an earlier one."""
    repeated = names[is_repeated]
    named = repeated.iloc[:MOST_PROBLEMS]  # only these are ever described
    first = names[~is_repeated]
    first_lines = {name: line for line, name in _items(first[first.isin(named)])}
    return RowFault(
        "duplicate_row", repeated, lambda line, name: _duplicate_problem(path, line, name, first_lines[name])
    )


def _items(cells: pd.Series[Any]) -> list[tuple[int, Any]]:
    """Line and content of every cell."""
    return list(zip(cells.index.tolist(), cells.tolist(), strict=True))


def _name_problem(path: Path, row: int, name: str) -> Problem:
    """The problem of a cell that is not the bare name of a file."""
    finding = f"{path}, row {row}, '{FILENAME_COLUMN}': '{name}' is not a file name"
    return Problem("bad_filename", f"{finding}; expected the bare name of an image, without folders", row=row)


def _number_problem(path: Path, column: str, row: int, text: str) -> Problem:
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
