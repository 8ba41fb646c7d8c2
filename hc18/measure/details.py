"""Reading `details.csv`."""

from __future__ import annotations

import csv
from pathlib import Path

from fetal_hc.errors import DatasetError, raise_problems
from hc18.measure.rows import REQUIRED_COLUMNS, MeasurementRow, from_details_fields


def read_details(path: Path) -> list[MeasurementRow]:
    """The results in a details file, in its order.

    Raises:
        DatasetError: if the file cannot be read or lacks columns, or listing every row that cannot be understood.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, restval="")
            missing = [name for name in REQUIRED_COLUMNS if name not in (reader.fieldnames or [])]
            lines = [(reader.line_num, fields) for fields in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); expected a details file of tools/score.py") from error
    if missing:
        raise DatasetError(
            f"{path}, row 1: lacks the columns {', '.join(missing)}; expected a details file of tools/score.py"
        )
    rows, problems = [], []
    for line, fields in lines:
        try:
            rows.append(from_details_fields(fields))
        except ValueError as error:
            problems.append(f"{path}, row {line}: {error}; expected a row as tools/score.py writes it")
    if problems:
        raise_problems(DatasetError, problems, f"{path} is no details file")
    return rows
