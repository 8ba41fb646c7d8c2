"""Writing, reading and checking the HC18 challenge's submission CSV.

One row per test image in the order of `test_set_pixel_size.csv`: ellipse in mm, origin at the image's top-left, x
right, y down, `a` the semi-MAJOR axis, `angle_rad` its direction from +x towards +y in [0, pi).

An image without a measurement has NO row. A made-up ellipse would be scored as a measurement, and the format knows no
empty values; so the writer returns the names it left out and `check_submission` reports each of them as missing.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
    to_number,
    to_numbers,
    uncounted_problems,
)
from hc18.geometry.ellipse import Ellipse
from hc18.obstetrics.growth import PLAUSIBLE_AXIS_RATIO, PLAUSIBLE_HC_MM, is_plausible_hc, is_too_flat

SUBMISSION_COLUMNS = ("filename", "center_x_mm", "center_y_mm", "semi_axes_a_mm", "semi_axes_b_mm", "angle_rad")

PLAUSIBLE_CENTER_MM = (0.0, 500.0)  # the deepest fetal scans show 300 mm

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
    ellipses, problems = _parse(Path(path))
    problems = [problem for problem in problems if problem.kind not in _TEXT_ONLY_KINDS]
    if problems:
        raise_problems(DatasetError, [problem.message for problem in problems], f"{path} is not a valid submission")
    return ellipses


def check_submission(path: str | os.PathLike[str], filenames: Sequence[str]) -> list[Problem]:
    """Every problem of a submission; empty if the challenge can score it.

    Fatal: anything that breaks the format, images without a row, rows of other images, another order. Warnings: values
    that no fetal head has (wrong calibration, pixels instead of mm).

    Args:
        path: CSV file.
        filenames: all images, in the order of the challenge's table.
    """
    table = Path(path)
    ellipses, problems = _parse(table)
    problems += [
        Problem(
            "missing_row",
            f"{table}: no row for '{name}'; expected one row per test image; measure the image, by hand if need be",
        )
        for name in filenames
        if name not in ellipses
    ]
    expected = set(filenames)
    unknown = (
        Problem(
            "unknown_row", f"{table}: '{name}' is not among the {len(filenames)} images of the table; remove the row"
        )
        for name in ellipses
        if name not in expected
    )
    problems += first_problems(str(table), unknown)
    present = [name for name in ellipses if name in expected]
    ordered = [name for name in filenames if name in ellipses]
    if present != ordered:
        first, wanted = next((name, other) for name, other in zip(present, ordered, strict=False) if name != other)
        problems.append(
            Problem(
                "row_order",
                f"{table}: '{first}' stands where '{wanted}' is expected; sort the rows as in the challenge's table",
            )
        )
    implausible = (
        problem for name, ellipse in ellipses.items() for problem in implausible_problems(f"{table}, '{name}'", ellipse)
    )
    return problems + first_problems(str(table), implausible)


def to_submission_row(filename: str, ellipse: Ellipse) -> list[str]:
    """The cells of a row, for an ellipse in mm; adding 0.0 turns a rounded -0.0 into 0.0."""
    lengths = (ellipse.center_x, ellipse.center_y, ellipse.semi_axis_a, ellipse.semi_axis_b)
    return [
        filename,
        *(f"{round(value, _DECIMALS) + 0.0:.{_DECIMALS}f}" for value in lengths),
        f"{ellipse.angle_rad:.{_ANGLE_DECIMALS}f}",
    ]


def _parse(path: Path) -> tuple[dict[str, Ellipse], list[Problem]]:
    """The valid rows of a submission and every problem of its format."""
    what, remedy = "a submission CSV", "write it again"
    text = read_table_text(path, what=what, remedy=remedy)
    if isinstance(text, Problem):
        return {}, [text]
    problems = _text_problems(path, text)
    table = parse_table(text, str(path), (), SUBMISSION_COLUMNS, what=what, remedy=remedy, strip=False)
    if table.problems:
        return {}, [*problems, *table.problems]
    if table.header != SUBMISSION_COLUMNS:
        finding = f"{path}, row 1: {list(table.header)}; expected {','.join(SUBMISSION_COLUMNS)} and no index column"
        return {}, [*problems, Problem("bad_header", f"{finding}; write it again", row=1)]
    numbers = np.column_stack([to_numbers(table.column(column)) for column in SUBMISSION_COLUMNS[1:]])
    is_good = _are_usable(table, numbers)
    problems += _row_problems(table, is_good)
    names = table.column(SUBMISSION_COLUMNS[0])[is_good].tolist()
    del table  # a million rows fill half a GB
    ellipses = map(Ellipse, *numbers[is_good].T.tolist())
    return dict(zip(names, ellipses, strict=True)), problems


def _are_usable(table: Table, numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows have an ellipse, the first of each name; `numbers` are (n, 5) and NaN where a cell is none."""
    names = table.column(SUBMISSION_COLUMNS[0])
    axis_a, axis_b, angle = numbers[:, 2:].T
    is_good: NDArray[np.bool_] = np.isfinite(numbers).all(axis=1) & (axis_a >= axis_b) & (axis_b > 0.0)
    is_good &= (angle >= 0.0) & (angle < math.pi) & (table.n_fields == len(table.header)).to_numpy()
    is_good &= np.fromiter(map(_is_bare_name, names), dtype=bool, count=len(names))
    is_good[is_good] = ~names[is_good].duplicated().to_numpy()
    return is_good


def _row_problems(table: Table, is_good: NDArray[np.bool_]) -> list[Problem]:
    """What is wrong with the first rows that are not good, and how many there are if there are more."""
    wrong = table.cells[~is_good]
    names = table.column(SUBMISSION_COLUMNS[0])
    good_names = names[is_good & names.isin(wrong[SUBMISSION_COLUMNS[0]].iloc[:MOST_PROBLEMS]).to_numpy()]
    first_lines = dict(zip(good_names.tolist(), good_names.index.tolist(), strict=True))
    problems = []
    for row, *fields in wrong.iloc[:MOST_PROBLEMS].itertuples(name=None):
        where = f"{table.name}, row {row}"
        is_even = table.n_fields[row] == len(table.header)
        found = _ellipse_problems(where, fields) if is_even else [table.uneven_problem(row)]
        if first_lines.get(fields[0], row) < row:
            finding = f"{where}: '{fields[0]}' already has a row; expected every image once"
            found.append(Problem("duplicate_row", f"{finding}; delete one of the two rows"))
        problems += [replace(problem, row=row) for problem in found]
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
    if "\n\n" in text or text.startswith("\n"):
        problems.append(Problem("empty_line", f"{path}: has empty lines; expected one row per image; remove them"))
    return problems


def _ellipse_problems(where: str, fields: Sequence[str]) -> list[Problem]:
    """Why a row has no ellipse; empty if it has one."""
    problems = []
    if not _is_bare_name(fields[0]):
        problems.append(
            Problem("bad_filename", f"{where}, 'filename': '{fields[0]}'; expected the bare name of an image")
        )
    values = []
    for column, text in zip(SUBMISSION_COLUMNS[1:], fields[1:], strict=True):
        value = to_number(text)
        if math.isnan(value):
            problems.append(
                Problem(
                    "bad_number",
                    f"{where}, '{column}': '{text}' is not a finite number; expected a "
                    "decimal number; an image without a measurement has no row",
                )
            )
        else:
            values.append(value)
    if problems:
        return problems
    _, _, axis_a, axis_b, angle = values
    if not axis_a >= axis_b > 0.0:
        problems.append(
            Problem(
                "bad_axes",
                f"{where}, 'semi_axes_a_mm', 'semi_axes_b_mm': {axis_a}, {axis_b}; "
                "expected a >= b > 0; exchange them and turn the angle by pi/2",
            )
        )
    if not 0.0 <= angle < math.pi:
        problems.append(Problem("bad_angle", f"{where}, 'angle_rad': {angle}; expected [0, pi); reduce it modulo pi"))
    return problems


def implausible_problems(where: str, ellipse: Ellipse) -> list[Problem]:
    """Warnings for values in mm that no fetal head has, beginning with `where`."""
    found = []
    hc_mm = ellipse.circumference()
    if not is_plausible_hc(hc_mm):
        found.append(f"circumference {hc_mm:.1f} mm; expected {PLAUSIBLE_HC_MM[0]:g} to {PLAUSIBLE_HC_MM[1]:g} mm")
    if is_too_flat(ellipse):
        found.append(
            f"axes {ellipse.semi_axis_a:.1f} and {ellipse.semi_axis_b:.1f} mm; expected a ratio of at least "
            f"{PLAUSIBLE_AXIS_RATIO:g}"
        )
    low, high = PLAUSIBLE_CENTER_MM
    if not (low <= ellipse.center_x <= high and low <= ellipse.center_y <= high):
        found.append(f"centre {ellipse.center_x:.1f}, {ellipse.center_y:.1f} mm; expected {low:g} to {high:g} mm")
    return [Problem("implausible", f"{where}: {finding}; check pixel size and unit", fatal=False) for finding in found]
