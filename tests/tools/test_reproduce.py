"""One experiment of a report from photos to the table, and the same command again."""

import csv
from pathlib import Path

import pytest
import torch

from fetal_hc_cli.training.report_figures import mean_by_epoch, plot_radar
from fetal_hc_cli.training.reproduce import main
from tests.synthetic_face_mask import VOC_BOX, write_photo, write_xml

HW = (200, 260)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for index in range(30):
        write_photo(tmp_path / "voc" / "images" / f"p{index}.jpg", index, HW)
        name = "without_mask" if index % 3 == 0 else "with_mask"
        write_xml(tmp_path / "voc" / "annotations" / f"p{index}.xml", f"p{index}.jpg", [(name, VOC_BOX)], HW)
    return tmp_path / "voc"


def test_experiment_is_trained_scored_and_drawn_once(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(1)
    output = photos.parent / "output"
    arguments = ["--report", "001", "--root", str(photos), "--output", str(output), "--epochs", "2"]
    arguments += ["--only", "scratch_1", "mobilenet_v2_1"]
    assert main(arguments) == 0
    run = output / "report_001" / "scratch_1"
    assert {"curves.png", "model_best.pth"} <= {path.name for path in run.iterdir()}
    assert {"confusion_face_mask_001_test.png", "results.json"} <= {path.name for path in (run / "test").iterdir()}
    with (output / "report_001" / "table.csv").open() as stream:
        trained, left_out = csv.DictReader(stream)
    assert (trained["epochs"], trained["epochs trained"], trained["printed parameters"]) == ("10", "2", "38066")
    assert trained["printed classification/accuracy"] == "66.82"
    assert 0.0 <= float(trained["own classification/accuracy"]) <= 100.0
    assert left_out["note"] == "not trained: needs mobilenet_v2-*.pth, --weights was not given"
    written = (run / "model_best.pth").stat().st_mtime_ns
    assert main(arguments) == 0
    assert (run / "model_best.pth").stat().st_mtime_ns == written
    assert "about" in capsys.readouterr().out


def test_list_says_about_how_long(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--report", "001", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "scratch_1               10 epochs, about 1 min on one core"
    assert len(lines) == 20
    assert lines[-1].startswith("all: about ")


def test_unknown_experiment_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--report", "001", "--only", "scratch_8", "--list"]) == 2
    assert "expected some of scratch_1" in capsys.readouterr().err


def test_curves_are_means_of_epochs() -> None:
    rows = [{"iteration": 19, "a": 1.0}, {"iteration": 39, "a": 3.0}, {"iteration": 59, "a": None}]
    assert mean_by_epoch(rows, "a", 40) == [(1, 2.0)]


def test_radar_goes_to_the_largest_value_of_each_axis() -> None:
    figure = plot_radar(["IoU", "Dice", "loss"], {"ours": [50.0, 80.0, 0.2], "printed": [100.0, 40.0, float("nan")]})
    first, second = (line.get_ydata() for line in figure.axes[0].lines[:2])
    assert list(first) == [0.5, 1.0, 1.0, 0.5]
    assert list(second[:2]) == [1.0, 0.5]
