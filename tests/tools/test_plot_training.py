"""Training curves: what is drawn, the CSV next to it, and bad metrics files."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from fetal_hc.errors import DatasetError
from fetal_hc_cli.training.plot_training import main, plot_losses, plot_training, read_losses, read_points

ROWS = [
    {"iteration": 19, "total_loss": 2.0, "loss_mask": 0.7, "lr": 0.01, "time": 0.3},
    {"iteration": 39, "total_loss": 1.0, "loss_mask": 0.5, "lr": 0.02, "time": 0.3},
    {"iteration": 39, "segm/AP": 55.0, "segm/APs": None, "hc/ADF_mean": 3.5, "hc/n_failed": 0},
]


def _write(path: Path, rows: list[dict[str, object]], tail: str = "") -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + tail)
    return path


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    return _write(tmp_path / "metrics.json", ROWS)


def test_picture_and_csv_are_written(metrics: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "plots" / "training.png"
    assert main(["--metrics", str(metrics), "--output", str(output)]) == 0
    with Image.open(output) as picture:
        assert picture.size[0] > 1000
    with output.with_suffix(".csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0] == {"panel": "losses", "series": "loss_mask", "iteration": "19", "value": "0.7"}
    assert {row["series"] for row in rows} == {"loss_mask", "total_loss", "lr", "segm/AP", "hc/ADF_mean"}
    assert str(output) in capsys.readouterr().out


def test_each_panel_with_points_has_labelled_axes(metrics: Path) -> None:
    axes = plot_training(read_points(metrics)).axes
    assert [a.get_ylabel() for a in axes] == ["loss", "learning rate", "AP, DSC (%)", "error (mm)"]
    assert {a.get_xlabel() for a in axes} == {"iterations done"}


def test_results_of_several_datasets_are_separate_series(tmp_path: Path) -> None:
    path = _write(tmp_path / "m.json", [{"iteration": 0, "val_a/segm/AP": 1.0, "val_b/segm/AP": 2.0}])
    assert [point.series for point in read_points(path)] == ["val_a/segm/AP", "val_b/segm/AP"]


def test_validation_losses_are_drawn_with_the_training_losses(tmp_path: Path) -> None:
    path = _write(tmp_path / "m.json", [{"iteration": 0, "total_loss": 2.0}, {"iteration": 0, "loss/total_loss": 3.0}])
    found = {(point.panel, point.series) for point in read_points(path)}
    assert found == {("losses", "total_loss"), ("losses", "loss/total_loss")}


def test_values_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    path = _write(tmp_path / "m.json", [{"iteration": 0, "total_loss": None}, {"iteration": 1, "total_loss": 1.0}])
    assert [(point.iteration, point.value) for point in read_points(path)] == [(1, 1.0)]


def test_last_line_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    path = _write(tmp_path / "m.json", [{"iteration": 1, "lr": 0.5}], tail='{"iteration": 2, "lr"')
    assert len(read_points(path)) == 1


def test_all_damaged_lines_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text('nonsense\n{"lr": 1}\n[1]\n{"iteration": 1, "lr": 0.5}\n')
    with pytest.raises(DatasetError, match="3 problems") as caught:
        read_points(path)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [f"{path}, line {n}" for n in (1, 2, 3)]


def test_existing_output_is_kept_without_overwrite(metrics: Path, tmp_path: Path) -> None:
    output = tmp_path / "t.png"
    (tmp_path / "t.csv").write_text("mine")
    command = ["--metrics", str(metrics), "--output", str(output)]
    assert main(command) == 2
    assert (tmp_path / "t.csv").read_text() == "mine"
    assert not output.exists()
    assert main([*command, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (None, "t.png", "cannot be read"),
        ("", "t.png", "no loss and no evaluation result"),
        ('{"iteration": 1, "lr": 1}\n', "t.gif", "expected .png, .svg or .pdf"),
    ],
)
def test_bad_input_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, name: str, message: str
) -> None:
    metrics = tmp_path / "metrics.json"
    if content is not None:
        metrics.write_text(content)
    assert main(["--metrics", str(metrics), "--output", str(tmp_path / name)]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert not (tmp_path / name).exists()


def test_several_trainings_are_compared_loss_by_loss(metrics: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = _write(tmp_path / "other" / "metrics.json", [{**ROWS[0], "total_loss": 3.0}])
    points = read_losses([metrics, other], ["a", "b"])
    assert {(point.panel, point.series) for point in points} == {
        (loss, label) for loss in ("total_loss", "loss_mask") for label in ("a", "b")
    }
    figure = plot_losses(points)
    assert [axes.get_title() for axes in figure.axes] == ["total_loss", "loss_mask"]
    assert [len(axes.get_lines()) for axes in figure.axes] == [2, 2]
    command = ["--metrics", str(metrics), str(other), "--output", str(tmp_path / "both.png")]
    assert main(command) == 0
    assert "total_loss,other,19,3.0" in (tmp_path / "both.csv").read_text()


def test_labels_that_are_alike_are_refused(metrics: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--metrics", str(metrics), str(metrics), "--output", str(tmp_path / "both.png")]) == 2
    assert "expected 2 different ones" in capsys.readouterr().err
