"""CSV tables: read with line numbers and one wording for every fault, written, and made safe for spreadsheets.

pandas is imported where a table is read or written as a whole. The processes of a batch need the rules for single cells
alone, and without pandas each of them takes up to 65 MB less memory and starts half a second earlier.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fetal_hc.errors import Problem
from fetal_hc.io.atomic import write_text_atomic

if TYPE_CHECKING:
    import pandas as pd

BYTE_ORDER_MARK = "\ufeff"

# What starts a formula; the last four are the full-width forms. The apostrophe keeps `from_safe_cell` exact.
FORMULA_STARTS = tuple("=+-@'\uff1d\uff0b\uff0d\uff20")

MOST_PROBLEMS = 100  # that are named one by one; a million sentences would fill the memory and help nobody

_MAX_SURPLUS_FIELDS = 64  # of a row, beyond the header's; more is another file, and would cost memory in every row


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The cells of a CSV file as text, and what is wrong with the file.

    Attributes:
        name: what messages call the file.
        header: every column name as the file writes it.
        cells: the columns that were asked for and found, under the names they were asked for by. The index is the line
            in the file, the header being line 1; lines without content are left out. Empty if `problems` is not.
        n_fields: number of fields in each of these lines.
        problems: why the file cannot be read, or which columns it lacks or has twice.
    """

    name: str
    header: tuple[str, ...]
    cells: pd.DataFrame
    n_fields: pd.Series[int]
    problems: tuple[Problem, ...] = ()

    def column(self, name: str) -> pd.Series[str]:
        """The cells of a column; empty text if the file lacks it."""
        import pandas as pd

        return self.cells[name] if name in self.cells else pd.Series("", self.cells.index, dtype=object)

    def uneven_rows(self) -> pd.Index[int]:
        """Lines that do not have as many fields as the header."""
        return self.cells.index[self.n_fields != len(self.header)]

    def uneven_problem(self, row: int) -> Problem:
        """The problem of one of these lines."""
        return field_count_problem(self.name, row, self.n_fields[row], len(self.header))

    def uneven_problems(self) -> list[Problem]:
        """The problems of the first of these lines, and one that counts the others."""
        rows = self.uneven_rows()
        first = [self.uneven_problem(row) for row in rows[:MOST_PROBLEMS]]
        return first + uncounted_problems(self.name, len(rows))


def field_count_problem(name: str, row: int, n_fields: int, n_expected: int) -> Problem:
    """The problem of a line that does not have as many fields as the header."""
    finding = f"{name}, row {row}: has {n_fields} fields, the header {n_expected}; expected the same number"
    return Problem("field_count", f"{finding}; write numbers with a decimal point, not a comma", row=row)


def uncounted_problems(name: str, n_problems: int, *, is_fatal: bool = True) -> list[Problem]:
    """What follows the first `MOST_PROBLEMS` problems of a table: nothing, or how many there are in all."""
    if n_problems <= MOST_PROBLEMS:
        return []
    finding = f"{name}: has {n_problems:,} problems in its rows; these are the first {MOST_PROBLEMS}"
    return [Problem("more_problems", f"{finding}; repair them and check the table again", fatal=is_fatal)]


def first_problems(name: str, problems: Iterable[Problem]) -> list[Problem]:
    """The first `MOST_PROBLEMS` problems of a table, and one that counts all if there are more."""
    rest = iter(problems)
    first = list(islice(rest, MOST_PROBLEMS))
    is_fatal = any(problem.fatal for problem in first)
    return first + uncounted_problems(name, len(first) + sum(1 for _ in rest), is_fatal=is_fatal)


def read_table(
    path: str | os.PathLike[str],
    required: Sequence[str],
    optional: Sequence[str] = (),
    *,
    what: str = "a CSV file",
    remedy: str = "check the path and the file",
) -> Table:
    """A CSV file; never raises for its content, see `Table.problems`.

    Byte-order mark, CRLF, spaces around cells, empty lines, further columns and any order of columns are accepted.
    Case, spaces and punctuation of column names do not matter.

    Args:
        path: CSV file in UTF-8.
        required: columns without which the table cannot be used.
        optional: columns that are read where they exist.
        what: what was expected, for messages, such as "the table of pixel sizes".
        remedy: what to do about a file that cannot be used.
    """
    text = read_table_text(path, what=what, remedy=remedy)
    if isinstance(text, Problem):
        return _unusable(str(path), [text])
    return parse_table(text, str(path), required, optional, what=what, remedy=remedy)


def read_table_text(path: str | os.PathLike[str], *, what: str, remedy: str) -> str | Problem:
    """The text of a table with its byte-order mark, or why it cannot be read."""
    try:
        return Path(path).read_bytes().decode("utf-8")
    except FileNotFoundError:
        return Problem("missing_table", f"{path}: does not exist; expected {what}; {remedy}")
    except OSError as error:
        return Problem("unreadable_table", f"{path}: cannot be read ({error.strerror}); expected {what}; {remedy}")
    except UnicodeDecodeError as error:
        return _not_csv(str(path), error, remedy)


def parse_table(
    text: str,
    name: str,
    required: Sequence[str],
    optional: Sequence[str] = (),
    *,
    what: str = "a CSV file",
    remedy: str = "check the file",
    strip: bool = True,
) -> Table:
    """A table that is in memory; see `read_table`.

    Args:
        text: content of the table.
        name: what messages call it.
        required: columns without which the table cannot be used.
        optional: columns that are read where they exist.
        what: what was expected, for messages.
        remedy: what to do about a table that cannot be used.
        strip: whether spaces around cells are removed.
    """
    import pandas as pd

    try:
        lines, n_fields, frame = _parse(text.removeprefix(BYTE_ORDER_MARK))
    except (csv.Error, ValueError) as error:
        return _unusable(name, [_not_csv(name, error, remedy)])
    frame = frame.set_axis(lines, axis="index")
    if strip:
        frame = frame.apply(lambda column: column.str.strip())
    has_content = frame.apply(lambda column: (column if strip else column.str.strip()).ne("")).any(axis="columns")
    frame, n_fields = frame[has_content], n_fields[has_content.to_numpy(dtype=bool)]
    if frame.empty:
        finding = f"{name}: is empty; expected {what}, with a header and one row per image; {remedy}"
        return _unusable(name, [Problem("empty_table", finding)])
    header = tuple(str(cell) for cell in frame.iloc[0].iloc[: n_fields[0]])
    positions, problems = find_columns(name, header, required, optional, remedy=remedy)
    if problems:
        return _unusable(name, problems, header)
    cells = frame.iloc[1:, list(positions.values())].set_axis(list(positions), axis="columns")
    return Table(name, header, cells, pd.Series(n_fields[1:], cells.index))


def find_columns(
    name: str,
    header: Sequence[str],
    required: Sequence[str],
    optional: Sequence[str] = (),
    *,
    remedy: str = "restore the header line",
) -> tuple[dict[str, int], list[Problem]]:
    """Position of each known column, and a problem for each that is missing or stands twice.

    Args:
        name: what messages call the table.
        header: the names in its first line.
        required: columns that must exist.
        optional: columns that may exist.
        remedy: what to do about a missing column.
    """
    places: dict[str, list[int]] = {}
    for index, title in enumerate(header):
        places.setdefault(column_key(title), []).append(index)
    found = {title: places[column_key(title)] for title in (*required, *optional) if column_key(title) in places}
    hint = "save it with commas between the columns" if ";" in "".join(header) else remedy
    problems = [
        Problem("missing_column", f"{name}, row 1: no column '{title}' among {list(header)[:20]}; {hint}")
        for title in required
        if title not in found
    ]
    problems += [
        Problem(
            "duplicate_column",
            f"{name}, row 1: the columns {', '.join(str(place + 1) for place in where)} are all named '{title}'; "
            "expected one; remove the others",
        )
        for title, where in found.items()
        if len(where) > 1
    ]
    return {title: where[0] for title, where in found.items()}, problems


def column_key(name: str) -> str:
    """Letters and digits of a column name in lower case: names with the same key are the same column."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def to_number(text: str) -> float:
    """`text` as a finite decimal number; NaN if it is none."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) and text.isascii() and "_" not in text else math.nan


def to_numbers(texts: pd.Series[str]) -> pd.Series[float]:
    """The finite decimal numbers among texts; NaN for everything else."""
    import pandas as pd

    cells = texts.tolist()
    together = "".join(cells)
    try:
        if not together.isascii() or "_" in together:
            raise ValueError
        numbers = pd.Series(list(map(float, cells)), texts.index, dtype=float)  # a third of the time
    except ValueError:
        return pd.Series(list(map(to_number, cells)), texts.index, dtype=float)
    return numbers.where(np.isfinite(numbers))


def to_positive_numbers(texts: pd.Series[str]) -> pd.Series[float]:
    """The finite numbers > 0 among texts; NaN for everything else."""
    numbers = to_numbers(texts)
    return numbers.where(numbers > 0)


def positive_number(text: str) -> float | None:
    """`text` as a finite number > 0, or None."""
    value = to_number(text)
    return value if value > 0 else None


def number_remedy(text: str, otherwise: str) -> str:
    """How to repair a cell that is not a number: a decimal point for a decimal comma, else what the caller says."""
    is_decimal_comma = re.fullmatch(r"\d+,\d+", text)
    return f"write it with a decimal point: {text.replace(',', '.')}" if is_decimal_comma else otherwise


def to_csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]], *, for_spreadsheets: bool = False) -> str:
    """A table as text: one header line, then one line per row; None is an empty cell.

    Args:
        columns: names of the columns.
        rows: as many values each; numbers are written so that they read back exactly.
        for_spreadsheets: with a byte-order mark and CRLF, as spreadsheets expect it, instead of plain line feeds.
    """
    import pandas as pd

    frame = pd.DataFrame(list(rows), columns=list(columns), dtype=object)
    text = frame.to_csv(index=False, lineterminator="\r\n" if for_spreadsheets else "\n")
    return BYTE_ORDER_MARK + text if for_spreadsheets else text


def write_csv(path: str | os.PathLike[str], columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a table with plain line feeds, as a whole or not at all.

    Raises:
        FetalHCError: if `path` cannot be written.
    """
    write_text_atomic(path, to_csv_text(columns, rows))


def to_safe_cell(text: str) -> str:
    """`text` as one line that no spreadsheet takes for a formula.

    Control characters become spaces; what starts like a formula, spaces aside, gets an apostrophe before it.

    References: OWASP, CSV Injection.
    """
    line = "".join(character if character.isprintable() else " " for character in to_printable(text))
    return f"'{line}" if line.lstrip().startswith(FORMULA_STARTS) else line


def is_safe_cell(text: str) -> bool:
    """Whether `text` can be written to a table as it is, for formats that do not allow an apostrophe before it."""
    return to_safe_cell(text) == to_printable(text)


def to_printable(text: str) -> str:
    """`text` with the bytes of a file name that are not UTF-8 written as escaped codes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def from_safe_cell(cell: str) -> str:
    """The text that `to_safe_cell` made safe, up to control characters."""
    return cell.removeprefix("'")


def _parse(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64], pd.DataFrame]:
    """Last line of every record, its number of fields, and the cells as text, one column per position.

    Raises:
        csv.Error: if quotes are not closed.
        ValueError: if the text cannot be told apart into cells.
    """
    import pandas as pd

    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines, n_fields = _record_shapes(text)
    widths = n_fields[n_fields > 0]
    if not len(widths):
        return lines[:0], n_fields[:0], pd.DataFrame()
    width = int(widths.max())
    if width > widths[0] + _MAX_SURPLUS_FIELDS:
        raise ValueError(f"row {lines[n_fields.argmax()]} has {width} fields, the first row {widths[0]}")
    frame = pd.read_csv(
        io.StringIO(text), header=None, names=range(width), dtype=str, keep_default_na=False, skip_blank_lines=False
    )
    if len(frame) != len(lines):
        raise ValueError(f"{len(frame)} rows were read where {len(lines)} were expected")
    return lines, n_fields, frame


def _record_shapes(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Last line and number of fields of every record; only quotes can put several lines into one.

    Raises:
        csv.Error: if quotes are not closed.
    """
    if '"' in text:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        shapes = np.array([(reader.line_num, len(fields)) for fields in reader], dtype=np.int64).reshape(-1, 2)
        return shapes[:, 0], shapes[:, 1]
    data = np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    if len(data) and data[-1] != ord("\n"):
        ends = np.append(ends, len(data))
    n_commas = np.diff(np.searchsorted(np.flatnonzero(data == ord(",")), ends), prepend=0)
    is_empty = np.diff(ends, prepend=-1) == 1
    return np.arange(1, len(ends) + 1), np.where(is_empty, 0, n_commas + 1)


def _unusable(name: str, problems: Sequence[Problem], header: Sequence[str] = ()) -> Table:
    """A table without cells, because of its problems."""
    import pandas as pd

    return Table(name, tuple(header), pd.DataFrame(), pd.Series(dtype=int), tuple(problems))


def _not_csv(name: str, error: Exception, remedy: str) -> Problem:
    return Problem("unreadable_table", f"{name}: is not a UTF-8 CSV file ({error}); save it as CSV UTF-8 or {remedy}")
