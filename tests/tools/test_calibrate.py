"""fetal-hc calibrate: from results on unseen images to a model that knows how far it errs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fetal_hc.io.coco import read_coco, write_coco
from fetal_hc.model.bundle import ModelBundle
from fetal_hc_cli.training.calibrate import main
from hc18.measurement.details import read_details
from hc18.measurement.head_model import load_model
from tests.measured_errors import N_IMAGES, write_fold
from tests.synthetic_model import write_bright_object_model


def test_model_carries_the_calibration_and_the_report_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fold = [str(path) for path in write_fold(tmp_path)]
    model, output = write_bright_object_model(tmp_path / "model.onnx"), tmp_path / "calibrated.zip"
    files = ["--model", str(model), "--output", str(output), "--report", str(tmp_path / "report")]
    assert main(["--out-of-fold", *fold, *files]) == 0
    intervals = load_model(output).intervals
    assert intervals is not None
    assert intervals.n_images == N_IMAGES
    assert intervals.weights["log_hc"] == pytest.approx(1.0, abs=0.3)
    assert (tmp_path / "report" / "intervals.png").stat().st_size > 10_000
    assert len((tmp_path / "report" / "intervals.csv").read_text().splitlines()) == N_IMAGES + 1
    assert "inside" in capsys.readouterr().out


def test_detector_keeps_its_bytes_and_an_earlier_calibration_is_replaced(tmp_path: Path) -> None:
    fold = [str(path) for path in write_fold(tmp_path)]
    model, output = write_bright_object_model(tmp_path / "model.onnx"), tmp_path / "calibrated.zip"
    assert main(["--out-of-fold", *fold, "--model", str(model), "--output", str(output)]) == 0
    once = output.read_bytes()
    assert main(["--out-of-fold", *fold, "--model", str(output), "--output", str(output)]) == 0
    assert output.read_bytes() == once
    assert ModelBundle.read(output).networks == {"detector": model.read_bytes()}


def test_rows_of_all_folds_become_one_details_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    details, labelled = write_fold(tmp_path)
    dataset = read_coco(labelled)
    for name, images in (("a.json", dataset.images[:120]), ("b.json", dataset.images[100:])):
        write_coco(tmp_path / name, replace(dataset, images=images))
    pairs = ["--out-of-fold", str(details), str(tmp_path / "a.json"), "--out-of-fold", str(details)]
    assert main([*pairs, str(tmp_path / "b.json"), "--rows", str(tmp_path / "rows.csv")]) == 2
    assert "have a row already" in capsys.readouterr().err
    assert not (tmp_path / "rows.csv").exists()
    write_coco(tmp_path / "b.json", replace(dataset, images=dataset.images[120:-1]))
    assert main([*pairs, str(tmp_path / "b.json"), "--rows", str(tmp_path / "rows.csv")]) == 0
    rows = read_details(tmp_path / "rows.csv")
    assert rows == read_details(details)[:-1]


def test_results_without_quality_features_are_all_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fold = [str(path) for path in write_fold(tmp_path, with_quality=False)]
    assert main(["--out-of-fold", *fold]) == 2
    message = capsys.readouterr().err
    assert "000_HC.png" in message
    assert "score it again" in message
