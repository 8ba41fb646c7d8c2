"""Command line of the evaluation."""

import csv
import json
from pathlib import Path

import pytest

from fetal_hc.io.coco import read_coco
from fetal_hc_cli.evaluate_hc18 import main
from hc18.dataset.convert import VAL_FILE, convert_hc18
from hc18.dataset.submission import write_submission
from hc18.measurement.rows import MEASUREMENT_TABLE, MeasurementRow, RowStatus
from tests.synthetic_hc18 import ELLIPSES, PIXEL_SIZE_MM, write_hc18_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_hc18_folder(tmp_path / "hc18")


def run(root: Path, names: list[str], *options: str) -> int:
    submission = root.parent / "submission.csv"
    write_submission(submission, {name: ELLIPSES[name].to_mm(PIXEL_SIZE_MM, PIXEL_SIZE_MM) for name in names}, names)
    return main(["--submission", str(submission), "--root", str(root), *options])


def test_complete_submission_prints_the_table_and_exits_with_0(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, list(ELLIPSES)) == 0
    printed = capsys.readouterr()
    assert "all           5      0  DF mm" in printed.out
    assert printed.err == ""


def test_missing_rows_exit_with_1_and_are_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, list(ELLIPSES)[1:]) == 1
    assert "failed, no prediction: 000_HC.png" in capsys.readouterr().out


def test_subset_restricts_the_evaluation(root: Path, tmp_path: Path) -> None:
    convert_hc18(root, tmp_path, n_folds=2)
    names = [image.file_name for image in read_coco(tmp_path / VAL_FILE).images]
    assert run(root, names, "--subset", str(tmp_path / VAL_FILE)) == 0


def test_details_are_scored_like_a_submission(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, list(ELLIPSES)) == 0
    expected = capsys.readouterr().out
    details = root.parent / "details.csv"
    rows = [
        MeasurementRow(name, RowStatus.OK, "", ellipse_mm=ellipse.to_mm(PIXEL_SIZE_MM, PIXEL_SIZE_MM))
        for name, ellipse in ELLIPSES.items()
    ]
    with details.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([MEASUREMENT_TABLE.names, *(MEASUREMENT_TABLE.to_texts(row) for row in rows)])
    assert main(["--details", str(details), "--root", str(root)]) == 0
    assert capsys.readouterr().out == expected
    rows[0] = MeasurementRow(rows[0].file_name, RowStatus.NO_HEAD, "nothing detected")
    with details.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([MEASUREMENT_TABLE.names, *(MEASUREMENT_TABLE.to_texts(row) for row in rows)])
    assert main(["--details", str(details), "--root", str(root)]) == 1
    assert f"failed, no prediction: {rows[0].file_name}" in capsys.readouterr().out


def test_json_holds_the_figures(root: Path, tmp_path: Path) -> None:
    assert run(root, list(ELLIPSES), "--json", str(tmp_path / "out.json")) == 0
    figures = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert figures["overall"]["n_scored"] == 5


def test_existing_json_is_kept_unless_overwriting_is_allowed(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.json"
    output.write_text("mine", encoding="utf-8")
    assert run(root, list(ELLIPSES), "--json", str(output)) == 2
    assert "exists already" in capsys.readouterr().err
    assert output.read_text(encoding="utf-8") == "mine"
    assert run(root, list(ELLIPSES), "--json", str(output), "--overwrite") == 0
    assert output.read_text(encoding="utf-8") != "mine"


def test_invalid_submission_exits_with_2_and_one_message(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.csv").write_text("filename\n", encoding="utf-8")
    assert main(["--submission", str(tmp_path / "bad.csv"), "--root", str(root)]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.out == ""
