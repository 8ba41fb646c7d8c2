"""Reading `details.csv`."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from fetal_hc.errors import DatasetError, raise_problems
from hc18.measurement.rows import MEASUREMENT_TABLE, MeasurementRow

_EXPECTED = "expected a details file of fetal-hc score"


def read_details(path: Path) -> list[MeasurementRow]:
    """The results in a details file, in its order.

    Raises:
        DatasetError: if the file cannot be read or lacks columns, or listing every row that cannot be understood.
    """
    rows, problems = [], []
    for line, row in iterate_details(path):
        if isinstance(row, MeasurementRow):
            rows.append(row)
        else:
            problems.append(f"{path}, row {line}: {row}; expected a row as fetal-hc score writes it")
    if problems:
        raise_problems(DatasetError, problems, f"{path} cannot be used")
    return rows


def iterate_details(path: Path) -> Iterator[tuple[int, MeasurementRow | ValueError]]:
    """Line and result of every row of a details file, or why the row cannot be understood, one after the other.

    Raises:
        DatasetError: if the file cannot be read or lacks columns.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, restval="")
            missing = [name for name in MEASUREMENT_TABLE.required_names if name not in (reader.fieldnames or [])]
            if missing:
                raise DatasetError(f"{path}, row 1: lacks the columns {', '.join(missing)}; {_EXPECTED}")
            for fields in reader:
                yield reader.line_num, _parse(fields)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); {_EXPECTED}") from error


def _parse(fields: dict[str, str]) -> MeasurementRow | ValueError:
    try:
        return MEASUREMENT_TABLE.from_texts(fields)
    except ValueError as error:
        return error
