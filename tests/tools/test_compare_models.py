"""The comparison of finished trainings: table, picture, bad input."""

import json
from pathlib import Path

import pytest
from PIL import Image

from fetal_hc_cli.training.compare_models import main


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    for name, accuracy in (("first", 80.0), ("second", None)):
        (tmp_path / name).mkdir()
        content = {"classification": {"accuracy": accuracy}, "box": {"mean_IoU": 20.0}}
        (tmp_path / name / "results.json").write_text(json.dumps(content))
    return [str(tmp_path / name) for name in ("first", "second")]


METRICS = ["--metrics", "classification/accuracy", "box/mean_IoU"]


def test_table_and_picture_are_written(runs: list[str], tmp_path: Path) -> None:
    output = tmp_path / "all.png"
    assert main(["--runs", *runs, *METRICS, "--reported", "first=79.4,20", "--output", str(output)]) == 0
    header, first, second = output.with_suffix(".csv").read_text().splitlines()
    assert header.startswith("run,classification/accuracy,box/mean_IoU,reported")
    assert (first, second) == ("first,80,20,79.4,20", "second,,20,,")
    with Image.open(output) as picture:
        assert picture.size[0] > 200


@pytest.mark.parametrize("reported", ["first=79", "first=a,b", "third=1,2"])
def test_reported_figures_of_another_form_are_bad_input(
    runs: list[str], tmp_path: Path, reported: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(tmp_path / "all.png")
    assert main(["--runs", *runs, *METRICS, "--reported", reported, "--output", output]) == 2
    assert "--reported" in capsys.readouterr().err


def test_unfinished_run_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs", str(tmp_path / "none"), *METRICS, "--output", str(tmp_path / "all.png")]) == 2
    assert "finish the training or leave it out" in capsys.readouterr().err
