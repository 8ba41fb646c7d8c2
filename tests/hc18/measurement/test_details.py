"""details.csv is read back as it was written; damaged files are reported row by row."""

from dataclasses import replace
from pathlib import Path

import pytest

from fetal_hc.errors import DatasetError
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.details import read_details
from hc18.measurement.interval_model import Interval
from hc18.measurement.result_files import write_results
from hc18.measurement.rows import MeasurementRow, RowStatus
from tests.measured_rows import FULL_ROW

ROWS = [
    # As the file rounds it.
    replace(
        FULL_ROW,
        file_name="=a.png",
        hc_mm=175.25,
        ellipse_mm=Ellipse(80.0, 54.125, 32.0, 24.0625, 0.75),
        confidence=0.9375,
        pixel_size_xy_mm=(0.23585714045, 0.2),
        interval=Interval(171.5, 179.125, 1.5, 0.9),
    ),
    MeasurementRow("b.png", RowStatus.MISSING_FILE, 'sizes.csv, row 2: "b.png", gone', pixel_size_source="none"),
]


def _write(path: Path, rows: list[MeasurementRow]) -> Path:
    write_results(rows, path.with_name("s.csv"), path, may_replace=True)
    return path


def test_round_trip(tmp_path: Path) -> None:
    assert read_details(_write(tmp_path / "d.csv", ROWS)) == ROWS


def test_file_of_an_older_version_is_read(tmp_path: Path) -> None:
    path = _write(tmp_path / "d.csv", ROWS)
    lines = [line.split(",") for line in path.read_text().splitlines()]
    path.write_text("\n".join(",".join(fields[:21]) for fields in lines[:2]) + "\n")
    (row,) = read_details(path)
    assert (row.hc_mm, row.pixel_size_xy_mm, row.calibration) == (175.25, None, "")


def test_all_damaged_rows_are_listed(tmp_path: Path) -> None:
    path = _write(tmp_path / "d.csv", [ROWS[0], ROWS[0], ROWS[0]])
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace(",ok,", ",fine,")
    lines[3] = lines[3].replace("175.2500", "nan")
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DatasetError, match="2 problems") as caught:
        read_details(path)
    assert f"{path}, row 2: 'fine' is not a valid RowStatus" in caught.value.problems[0]
    assert f"{path}, row 4: 'nan' is not a finite number" in caught.value.problems[1]


@pytest.mark.parametrize(
    ("content", "message"), [(None, "cannot be read"), ("", "lacks"), ("filename,status\n", "lacks")]
)
def test_other_files_are_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "d.csv").write_text(content)
    with pytest.raises(DatasetError, match=message):
        read_details(tmp_path / "d.csv")
