"""Writing, reading and checking the HC18 challenge's submission CSV.

One row per test image in the order of `test_set_pixel_size.csv`: ellipse in mm, origin at the image's top-left, x
right, y down, `a` the semi-MAJOR axis, `angle_rad` its direction from +x towards +y in [0, pi).

An image without a measurement has NO row. A made-up ellipse would be scored as a measurement, and the format knows no
empty values; so the writer returns the names it left out and `check_submission` reports each of them as missing.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fetal_hc.errors import DatasetError, Problem, raise_problems
from fetal_hc.io.atomic import write_text_atomic
from fetal_hc.io.tables import (
    BYTE_ORDER_MARK,
    MOST_PROBLEMS,
    Table,
    first_problems,
    is_safe_cell,
    parse_table,
    read_table_text,
    to_csv_text,
    to_numbers,
    uncounted_problems,
)
from hc18.geometry.ellipse import Ellipse, circumference
from hc18.obstetrics.growth import PLAUSIBLE_AXIS_RATIO, PLAUSIBLE_HC_MM, is_plausible_hc, is_too_flat

SUBMISSION_COLUMNS = ("filename", "center_x_mm", "center_y_mm", "semi_axes_a_mm", "semi_axes_b_mm", "angle_rad")

PLAUSIBLE_CENTER_MM = (0.0, 500.0)  # the deepest fetal scans show 300 mm

# What is wrong with a row, after the file and the line; filled in with its cells.
_FINDINGS = {
    "bad_filename": ", 'filename': '{filename}'; expected the bare name of an image",
    "bad_number": ", '{column}': '{cell}' is not a finite number; expected a decimal number; an image without a "
    "measurement has no row",
    "bad_axes": ", 'semi_axes_a_mm', 'semi_axes_b_mm': {semi_axes_a_mm}, {semi_axes_b_mm}; expected a >= b > 0; "
    "exchange them and turn the angle by pi/2",
    "bad_angle": ", 'angle_rad': {angle_rad}; expected [0, pi); reduce it modulo pi",
    "duplicate_row": ": '{filename}' already has a row; expected every image once; delete one of the two rows",
}

_DECIMALS = 6  # of a mm
_ANGLE_DECIMALS = 8  # of a radian; 3.14159265 < pi, so rounding never leaves [0, pi), as 6 decimals would
_TEXT_ONLY_KINDS = ("byte_order_mark", "line_ends", "empty_line")  # wrong for the challenge, harmless for reading


def write_submission(
    path: str | os.PathLike[str], ellipses_mm: Mapping[str, Ellipse | None], filenames: Sequence[str]
) -> list[str]:
    """Writes `to_submission_text` atomically and returns the names of `filenames` that have no row.

    Raises:
        DatasetError: if a measured image is not among `filenames`, a name is listed twice or cannot be written.
        FetalHCError: if `path` cannot be written.
    """
    text, omitted = to_submission_text(ellipses_mm, filenames)
    write_text_atomic(path, text)
    return omitted


def to_submission_text(ellipses_mm: Mapping[str, Ellipse | None], filenames: Sequence[str]) -> tuple[str, list[str]]:
    """The text of a submission with a row for every measured image, and the names of `filenames` that have no row.

    Args:
        ellipses_mm: ellipse in mm of each measured image; None or no entry for an image that was not measured.
        filenames: all images, in the order of the challenge's table.

    Raises:
        DatasetError: if a measured image is not among `filenames`, a name is listed twice or cannot be written.
    """
    unknown = sorted(set(ellipses_mm) - set(filenames))
    repeated = [name for name, count in Counter(filenames).items() if count > 1]
    problems = [
        f"'{name}' was measured but is not among the {len(filenames)} images of the table; remove the image or "
        "add its row"
        for name in unknown
    ]
    problems += [f"'{name}' is listed twice; expected every image once" for name in repeated]
    problems += [problem for name, ellipse in ellipses_mm.items() if ellipse and (problem := name_problem(name))]
    if problems:
        raise_problems(DatasetError, problems, "the submission cannot be written")
    measured = {name: ellipse for name in filenames if (ellipse := ellipses_mm.get(name)) is not None}
    rows = (to_submission_row(name, ellipse) for name, ellipse in measured.items())
    return to_csv_text(SUBMISSION_COLUMNS, rows), [name for name in filenames if name not in measured]


def name_problem(filename: str) -> str:
    """Why a file name cannot be in a submission; empty if it can.

    The format does not allow to escape a name that a spreadsheet would take for a formula, or that breaks a line.
    """
    if is_safe_cell(filename):
        return ""
    return (
        f"{filename!r} has no row, because a spreadsheet may run the name as a formula or break the line at it; "
        "expected a name that starts with a letter or digit and is one line; rename the file or choose another id"
    )


def read_submission(path: str | os.PathLike[str]) -> dict[str, Ellipse]:
    """Ellipse in mm of every file name, in the order of the rows; CRLF and a byte-order mark are accepted.

    Raises:
        DatasetError: lists every row that is not a file name with an ellipse in the challenge's convention.
    """
    rows, problems = _parse(Path(path))
    problems = [problem for problem in problems if problem.kind not in _TEXT_ONLY_KINDS]
    if problems:
        raise_problems(DatasetError, [problem.message for problem in problems], f"{path} is not a valid submission")
    return dict(zip(rows.names, map(Ellipse, *rows.numbers.T.tolist()), strict=True))


def check_submission(path: str | os.PathLike[str], filenames: Sequence[str]) -> list[Problem]:
    """Every problem of a submission; empty if the challenge can score it.

    Fatal: anything that breaks the format, images without a row, rows of other images, another order. Warnings: values
    that no fetal head has (wrong calibration, pixels instead of mm).

    Args:
        path: CSV file.
        filenames: all images, in the order of the challenge's table.
    """
    table = Path(path)
    rows, problems = _parse(table)
    found, expected = set(rows.names), set(filenames)
    problems += [
        Problem(
            "missing_row",
            f"{table}: no row for '{name}'; expected one row per test image; measure the image, by hand if need be",
        )
        for name in filenames
        if name not in found
    ]
    unknown = (
        Problem(
            "unknown_row", f"{table}: '{name}' is not among the {len(filenames)} images of the table; remove the row"
        )
        for name in rows.names
        if name not in expected
    )
    problems += first_problems(str(table), unknown)
    present = [name for name in rows.names if name in expected]
    ordered = [name for name in filenames if name in found]
    if present != ordered:
        first, wanted = next((name, other) for name, other in zip(present, ordered, strict=False) if name != other)
        problems.append(
            Problem(
                "row_order",
                f"{table}: '{first}' stands where '{wanted}' is expected; sort the rows as in the challenge's table",
            )
        )
    return problems + _implausible_rows(str(table), rows)


def _implausible_rows(table: str, rows: _Rows) -> list[Problem]:
    """Warnings for the first rows whose values no fetal head has, and how many there are if there are more."""
    found = np.column_stack(_implausibility(rows.numbers))
    problems: list[Problem] = []
    for index in np.flatnonzero(found.any(axis=1))[:MOST_PROBLEMS].tolist():
        ellipse = Ellipse(*rows.numbers[index].tolist())
        problems += implausible_problems(f"{table}, '{rows.names[index]}'", ellipse)
    return problems[:MOST_PROBLEMS] + uncounted_problems(table, int(found.sum()), is_fatal=False)


def to_submission_row(filename: str, ellipse: Ellipse) -> list[str]:
    """The cells of a row, for an ellipse in mm; adding 0.0 turns a rounded -0.0 into 0.0."""
    lengths = (ellipse.center_x, ellipse.center_y, ellipse.semi_axis_a, ellipse.semi_axis_b)
    return [
        filename,
        *(f"{round(value, _DECIMALS) + 0.0:.{_DECIMALS}f}" for value in lengths),
        f"{ellipse.angle_rad:.{_ANGLE_DECIMALS}f}",
    ]


_EMPTY_LINE = re.compile(r"^,*\r?\n", re.MULTILINE)  # a spreadsheet writes an empty row as commas


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """The usable rows of a submission: their `names`, and their `numbers` (n, 5) as the columns have them."""

    names: list[str]
    numbers: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Fault:
    """Something that can be wrong with a row: a kind of `_FINDINGS`, and `is_in` (n,) bool, which rows have it."""

    kind: str
    is_in: NDArray[np.bool_]
    column: str = SUBMISSION_COLUMNS[0]


def _parse(path: Path) -> tuple[_Rows, list[Problem]]:
    """The usable rows of a submission and every problem of its format."""
    what, remedy = "a submission CSV", "write it again"
    none = _Rows([], np.empty((0, 5)))
    text = read_table_text(path, what=what, remedy=remedy)
    if isinstance(text, Problem):
        return none, [text]
    problems = _text_problems(path, text)
    table = parse_table(text, str(path), (), SUBMISSION_COLUMNS, what=what, remedy=remedy, strip=False)
    if table.problems:
        return none, [*problems, *table.problems]
    if table.header != SUBMISSION_COLUMNS:
        finding = f"{path}, row 1: {list(table.header)}; expected {','.join(SUBMISSION_COLUMNS)} and no index column"
        return none, [*problems, Problem("bad_header", f"{finding}; write it again", row=1)]
    names = table.column(SUBMISSION_COLUMNS[0]).tolist()
    numbers = np.column_stack([to_numbers(table.column(column)) for column in SUBMISSION_COLUMNS[1:]])
    faults = _find_faults(table, names, numbers)
    is_good = ~_any(faults)
    problems += _row_problems(table, faults)
    return _Rows(list(compress(names, is_good.tolist())), numbers[is_good]), problems


def _find_faults(table: Table, names: Sequence[str], numbers: NDArray[np.float64]) -> list[_Fault]:
    """Everything that can be wrong with the rows; `numbers` are (n, 5) and NaN where a cell is none."""
    is_even = (table.n_fields == len(table.header)).to_numpy()
    is_bare = np.fromiter(map(_is_bare_name, names), dtype=bool, count=len(names))
    faults = [_Fault("field_count", ~is_even), _Fault("bad_filename", is_even & ~is_bare)]
    faults += [
        _Fault("bad_number", is_even & np.isnan(values), column)
        for column, values in zip(SUBMISSION_COLUMNS[1:], numbers.T, strict=True)
    ]
    is_complete = ~_any(faults)
    axis_a, axis_b, angle = numbers[:, 2:].T
    faults += [
        _Fault("bad_axes", is_complete & ~((axis_a >= axis_b) & (axis_b > 0.0))),
        _Fault("bad_angle", is_complete & ~((angle >= 0.0) & (angle < math.pi))),
    ]
    return [*faults, _Fault("duplicate_row", _follow_their_like(names, ~_any(faults)))]


def _any(faults: Sequence[_Fault]) -> NDArray[np.bool_]:
    """(n,) whether each row has one of the faults."""
    found: NDArray[np.bool_] = np.logical_or.reduce([fault.is_in for fault in faults])
    return found


def _follow_their_like(names: Sequence[str], is_usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) whether a usable row with the same name stands before each row."""
    import pandas as pd

    codes, unique = pd.factorize(np.array(names, dtype=object))
    first_usable = np.full(len(unique), len(names))
    usable = np.flatnonzero(is_usable)[::-1]
    first_usable[codes[usable]] = usable  # of several rows with a name, the last one written is the first in the file
    follows: NDArray[np.bool_] = first_usable[codes] < np.arange(len(names))
    return follows


def _row_problems(table: Table, faults: Sequence[_Fault]) -> list[Problem]:
    """What is wrong with the first rows that are not good, and how many there are if there are more."""
    wrong = np.flatnonzero(_any(faults)).tolist()
    problems = []
    for index in wrong[:MOST_PROBLEMS]:
        line = int(table.cells.index[index])
        cells = {column: str(table.cells[column].iloc[index]) for column in SUBMISSION_COLUMNS}
        for fault in faults:
            if fault.kind == "field_count" and fault.is_in[index]:
                problems.append(table.uneven_problem(line))
            elif fault.is_in[index]:
                finding = _FINDINGS[fault.kind].format(**cells, column=fault.column, cell=cells[fault.column])
                problems.append(Problem(fault.kind, f"{table.name}, row {line}{finding}", row=line))
    return problems + uncounted_problems(table.name, len(wrong))


def _is_bare_name(name: str) -> bool:
    """Whether a cell names a file and no folder."""
    return name == name.strip() and "/" not in name and name not in ("", ".", "..")


def _text_problems(path: Path, text: str) -> list[Problem]:
    """A byte-order mark, line ends other than LF, and empty lines."""
    problems = []
    if text.startswith(BYTE_ORDER_MARK):
        problems.append(Problem("byte_order_mark", f"{path}: starts with a byte-order mark; expected plain UTF-8"))
    if "\r" in text:
        problems.append(Problem("line_ends", f"{path}: has carriage returns; expected LF line ends"))
    elif text and not text.endswith("\n"):
        problems.append(Problem("line_ends", f"{path}: does not end with a line end; the file may be cut off"))
    if _EMPTY_LINE.search(text):
        problems.append(Problem("empty_line", f"{path}: has empty lines; expected one row per image; remove them"))
    return problems


def implausible_problems(where: str, ellipse: Ellipse) -> list[Problem]:
    """Warnings for values in mm that no fetal head has, beginning with `where`."""
    hc_mm = ellipse.circumference()
    findings = (
        f"circumference {hc_mm:.1f} mm; expected {PLAUSIBLE_HC_MM[0]:g} to {PLAUSIBLE_HC_MM[1]:g} mm",
        f"axes {ellipse.semi_axis_a:.1f} and {ellipse.semi_axis_b:.1f} mm; expected a ratio of at least "
        f"{PLAUSIBLE_AXIS_RATIO:g}",
        f"centre {ellipse.center_x:.1f}, {ellipse.center_y:.1f} mm; expected {PLAUSIBLE_CENTER_MM[0]:g} to "
        f"{PLAUSIBLE_CENTER_MM[1]:g} mm",
    )
    numbers = np.array([[getattr(ellipse, name) for name in Ellipse.__slots__]])
    return [
        Problem("implausible", f"{where}: {finding}; check pixel size and unit", fatal=False)
        for finding, (is_found,) in zip(findings, _implausibility(numbers), strict=True)
        if is_found
    ]


def _implausibility(numbers: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether circumference, axes and centre are none of a fetal head's, (n,) each; `numbers` are (n, 5) ellipses."""
    low_mm, high_mm = PLAUSIBLE_CENTER_MM
    centers_mm, axes_mm = numbers[:, :2], numbers[:, 2:4].T.tolist()
    has_no_hc = [not is_plausible_hc(hc_mm) for hc_mm in map(circumference, *axes_mm)]
    is_flat = list(map(is_too_flat, *axes_mm))
    is_inside: NDArray[np.bool_] = np.all((centers_mm >= low_mm) & (centers_mm <= high_mm), axis=1)
    return np.array(has_no_hc, dtype=bool), np.array(is_flat, dtype=bool), ~is_inside
