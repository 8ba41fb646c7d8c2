"""details.csv is read back as it was written; damaged files are reported row by row."""

from pathlib import Path

import pytest

from hc18.ellipse import Ellipse
from inference.details import open_details, read_details
from inference.rows import RowStatus, ScoreRow
from segdata.errors import DatasetError, HeadSegError

ROWS = [
    ScoreRow(
        file_name="=a.png",
        status=RowStatus.OK,
        reason="",
        hc_mm=175.25,
        hc_px=876.5,
        ellipse_px=Ellipse(400.0, 270.5, 160.0, 120.25, 0.5),
        ellipse_mm=Ellipse(80.0, 54.125, 32.0, 24.0625, 0.5),
        confidence=0.9375,
        flags=("low_score", "touches_border"),
        image_hw=(540, 800),
        pixel_size_mm=0.23585714045,
        pixel_size_source="csv",
    ),
    ScoreRow("b.png", RowStatus.MISSING_FILE, 'sizes.csv, row 2: "b.png", gone', pixel_size_source="none"),
]


def _write(path: Path, rows: list[ScoreRow]) -> Path:
    with open_details(path, "abc") as writer:
        for row in rows:
            writer.write(row)
    return path


def test_round_trip(tmp_path: Path) -> None:
    assert read_details(_write(tmp_path / "d.csv", ROWS)) == ROWS


def test_file_appears_only_when_complete(tmp_path: Path) -> None:
    def write_and_fail() -> None:
        with open_details(tmp_path / "d.csv", "abc") as writer:
            writer.write(ROWS[0])
            assert not (tmp_path / "d.csv").exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full").open("w", encoding="utf-8", newline="")  # noqa: SIM115
    monkeypatch.setattr(Path, "open", lambda *_arguments, **_options: full)
    with pytest.raises(HeadSegError, match=r"d\.csv: cannot be written \(No space left on device\)"):
        _write(tmp_path / "d.csv", ROWS)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


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
