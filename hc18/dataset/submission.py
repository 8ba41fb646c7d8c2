"""Writing, reading and checking the HC18 challenge's submission CSV.

One row per test image in the order of `test_set_pixel_size.csv`: ellipse in mm, origin at the image's top-left, x
right, y down, `a` the semi-MAJOR axis, `angle_rad` its direction from +x towards +y in [0, pi).

An image without a measurement has NO row. A made-up ellipse would be scored as a measurement, and the format knows no
empty values; so the writer returns the names it left out and `check_submission` reports each of them as missing.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from fetal_hc.errors import DatasetError, Problem, raise_problems
from fetal_hc.io.atomic import write_text_atomic
from hc18.geometry.ellipse import Ellipse

SUBMISSION_COLUMNS = ("filename", "center_x_mm", "center_y_mm", "semi_axes_a_mm", "semi_axes_b_mm", "angle_rad")

PLAUSIBLE_HC_MM = (30.0, 450.0)  # beyond it the calibration is wrong, whatever the week
PLAUSIBLE_CENTER_MM = (0.0, 500.0)  # the deepest fetal scans show 300 mm
MIN_PLAUSIBLE_AXIS_RATIO = 0.5  # minor / major axis; published heads have 0.66 to 0.93

_DECIMALS = 6  # of a mm
_ANGLE_DECIMALS = 8  # of a radian; 3.14159265 < pi, so rounding never leaves [0, pi), as 6 decimals would
_TEXT_ONLY_KINDS = ("byte_order_mark", "line_ends")  # wrong for the challenge, harmless for reading


def write_submission(
    path: str | os.PathLike[str], ellipses_mm: Mapping[str, Ellipse | None], filenames: Sequence[str]
) -> list[str]:
    """Names of `filenames` that got no row, after the rows of all measured images were written atomically.

    Args:
        path: CSV file.
        ellipses_mm: ellipse in mm of each measured image; None or no entry for an image that was not measured.
        filenames: all images, in the order of the challenge's table.

    Raises:
        DatasetError: if a measured image is not among `filenames`, or a name is listed twice.
        FetalHCError: if `path` cannot be written.
    """
    unknown = sorted(set(ellipses_mm) - set(filenames))
    repeated = [name for name, count in Counter(filenames).items() if count > 1]
    problems = [
        f"'{name}' was measured but is not among the {len(filenames)} images of the table; remove the image or "
        "add its row"
        for name in unknown
    ]
    problems += [f"'{name}' is listed twice; expected every image once" for name in repeated]
    if problems:
        raise_problems(DatasetError, problems, f"{path} was not written")
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(SUBMISSION_COLUMNS)
    omitted = []
    for name in filenames:
        ellipse = ellipses_mm.get(name)
        if ellipse is None:
            omitted.append(name)
        else:
            writer.writerow([name, *to_submission_numbers(ellipse)])
    write_text_atomic(path, buffer.getvalue())
    return omitted


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
    problems += [
        Problem(
            "unknown_row", f"{table}: '{name}' is not among the {len(filenames)} images of the table; remove the row"
        )
        for name in ellipses
        if name not in expected
    ]
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
    for name, ellipse in ellipses.items():
        problems += implausible_problems(f"{table}, '{name}'", ellipse)
    return problems


def to_submission_numbers(ellipse: Ellipse) -> list[str]:
    """The five numbers of a row, for an ellipse in mm; adding 0.0 turns a rounded -0.0 into 0.0."""
    lengths = (ellipse.center_x, ellipse.center_y, ellipse.semi_axis_a, ellipse.semi_axis_b)
    return [
        *(f"{round(value, _DECIMALS) + 0.0:.{_DECIMALS}f}" for value in lengths),
        f"{ellipse.angle_rad:.{_ANGLE_DECIMALS}f}",
    ]


def _parse(path: Path) -> tuple[dict[str, Ellipse], list[Problem]]:
    """The valid rows of a submission and every problem of its format."""
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        return {}, [Problem("unreadable_table", f"{path}: cannot be read ({error.strerror}); expected a CSV file")]
    except UnicodeDecodeError as error:
        return {}, [Problem("unreadable_table", f"{path}: is not UTF-8 text ({error}); expected a submission CSV")]
    problems = _text_problems(path, text)
    try:
        lines = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True))
    except csv.Error as error:
        return {}, [*problems, Problem("unreadable_table", f"{path}: is not a CSV file ({error}); write it again")]
    if not lines or tuple(lines[0]) != SUBMISSION_COLUMNS:
        found = lines[0] if lines else "nothing"
        return {}, [
            *problems,
            Problem(
                "bad_header",
                f"{path}, row 1: {found}; expected {','.join(SUBMISSION_COLUMNS)} and no index column; write it again",
            ),
        ]
    ellipses: dict[str, Ellipse] = {}
    for line, fields in enumerate(lines[1:], start=2):
        where = f"{path}, row {line}"
        ellipse, row_problems = _parse_row(where, fields)
        if fields and fields[0] in ellipses:
            row_problems.append(
                Problem(
                    "duplicate_row",
                    f"{where}: '{fields[0]}' already has a row; expected every image once; delete one of the two rows",
                )
            )
        elif ellipse is not None:
            ellipses[fields[0]] = ellipse
        problems += row_problems
    return ellipses, problems


def _text_problems(path: Path, text: str) -> list[Problem]:
    """A byte-order mark and line ends other than LF."""
    problems = []
    if text.startswith("\ufeff"):
        problems.append(Problem("byte_order_mark", f"{path}: starts with a byte-order mark; expected plain UTF-8"))
    if "\r" in text:
        problems.append(Problem("line_ends", f"{path}: has carriage returns; expected LF line ends"))
    elif text and not text.endswith("\n"):
        problems.append(Problem("line_ends", f"{path}: does not end with a line end; the file may be cut off"))
    return problems


def _parse_row(where: str, fields: Sequence[str]) -> tuple[Ellipse | None, list[Problem]]:
    """The ellipse of one row, or None and why."""
    if len(fields) != len(SUBMISSION_COLUMNS):
        return None, [Problem("field_count", f"{where}: has {len(fields)} fields; expected {len(SUBMISSION_COLUMNS)}")]
    problems = []
    if not fields[0] or fields[0] != fields[0].strip() or Path(fields[0]).name != fields[0]:
        problems.append(
            Problem("bad_filename", f"{where}, 'filename': '{fields[0]}'; expected the bare name of an image")
        )
    values = []
    for column, text in zip(SUBMISSION_COLUMNS[1:], fields[1:], strict=True):
        value = _finite(text)
        if value is None:
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
        return None, problems
    center_x, center_y, axis_a, axis_b, angle = values
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
    return (None, problems) if problems else (Ellipse(center_x, center_y, axis_a, axis_b, angle), [])


def _finite(text: str) -> float | None:
    """`text` as a finite number, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def implausible_problems(where: str, ellipse: Ellipse) -> list[Problem]:
    """Warnings for values in mm that no fetal head has, beginning with `where`."""
    found = []
    hc_mm = ellipse.circumference()
    if not PLAUSIBLE_HC_MM[0] <= hc_mm <= PLAUSIBLE_HC_MM[1]:
        found.append(f"circumference {hc_mm:.1f} mm; expected {PLAUSIBLE_HC_MM[0]:g} to {PLAUSIBLE_HC_MM[1]:g} mm")
    if ellipse.semi_axis_b < MIN_PLAUSIBLE_AXIS_RATIO * ellipse.semi_axis_a:
        found.append(
            f"axes {ellipse.semi_axis_a:.1f} and {ellipse.semi_axis_b:.1f} mm; expected a ratio of at least "
            f"{MIN_PLAUSIBLE_AXIS_RATIO:g}"
        )
    low, high = PLAUSIBLE_CENTER_MM
    if not (low <= ellipse.center_x <= high and low <= ellipse.center_y <= high):
        found.append(f"centre {ellipse.center_x:.1f}, {ellipse.center_y:.1f} mm; expected {low:g} to {high:g} mm")
    return [Problem("implausible", f"{where}: {finding}; check pixel size and unit", fatal=False) for finding in found]
