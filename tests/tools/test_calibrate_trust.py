"""tools/calibrate_trust.py: from results on unseen images to a model that knows how far it errs."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fetal_hc.io.coco import read_coco, write_coco
from fetal_hc.io.records import CocoCategory, CocoDataset, CocoImage
from fetal_hc.model.predictor import OnnxPredictor
from fetal_hc_cli.calibrate_trust import main
from hc18.geometry.ellipse import Ellipse
from hc18.measure.details import read_details
from hc18.measure.interval_model import QualityFeatures
from hc18.measure.rows import DETAILS_COLUMNS, MeasurementRow, RowStatus, to_details_fields
from tests.synthetic_model import write_bright_object_model

ELLIPSE = Ellipse(400.0, 270.5, 160.0, 120.25, 0.5)
N_IMAGES = 200


def write_fold(folder: Path, *, evidence: bool = True) -> tuple[Path, Path]:
    """Details and labels of heads whose error has a standard deviation of 1 % of the circumference."""
    rng = np.random.default_rng(0)
    rows, images = [], []
    for index in range(N_IMAGES):
        name, hc_mm = f"{index:03d}_HC.png", rng.uniform(60, 340)
        shown = {"residual_percent": 1.0, "disagreement_percent": 0.1, "mask_entropy": rng.uniform(0.04, 0.06)}
        rows.append(
            MeasurementRow(name, RowStatus.OK, "", hc_mm, 880.0, ELLIPSE, ELLIPSE, 0.99, **(shown if evidence else {}))
        )
        reference = {"hc_mm": hc_mm + rng.normal(0, 0.01 * hc_mm), "examination": name[:3]}
        images.append(CocoImage(index + 1, name, 540, 800, reference))
    details, labelled = folder / "details.csv", folder / "val.json"
    with details.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows([DETAILS_COLUMNS, *(to_details_fields(row, "0" * 64) for row in rows)])
    write_coco(labelled, CocoDataset(tuple(images), (), (CocoCategory(1, "head"),), {}))
    return details, labelled


def test_model_carries_the_calibration_and_the_report_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fold = [str(path) for path in write_fold(tmp_path)]
    model, output = write_bright_object_model(tmp_path / "model.onnx"), tmp_path / "trusted.onnx"
    files = ["--model", str(model), "--output", str(output), "--report", str(tmp_path / "report")]
    assert main(["--out-of-fold", *fold, *files]) == 0
    trust = OnnxPredictor(output).spec.trust
    assert trust is not None
    assert trust.n_images == N_IMAGES
    assert trust.weights["log_hc"] == pytest.approx(1.0, abs=0.3)
    assert (tmp_path / "report" / "trust.png").stat().st_size > 10_000
    assert len((tmp_path / "report" / "trust.csv").read_text().splitlines()) == N_IMAGES + 1
    assert "inside" in capsys.readouterr().out


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


def write_surer(details: Path, target: Path, factor: float) -> Path:
    """The same results with the entropy of every mask times `factor`."""
    with details.open(encoding="utf-8", newline="") as source, target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, DETAILS_COLUMNS)
        writer.writeheader()
        for row in csv.DictReader(source):
            writer.writerow({**row, "mask_entropy": factor * float(row["mask_entropy"])})
    return target


def test_model_without_unseen_images_gets_the_calibration_of_one_like_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    details, labelled = write_fold(tmp_path)
    longer, last = write_surer(details, tmp_path / "longer.csv", 0.7), write_surer(details, tmp_path / "last.csv", 0.5)
    model, output = write_bright_object_model(tmp_path / "model.onnx"), tmp_path / "trusted.onnx"
    files = ["--out-of-fold", str(details), str(labelled), "--model", str(model), "--output", str(output)]
    unlabelled = ["--unlabelled", str(details), str(longer), str(last)]
    trusts = []
    for options in ([], ["--longer", str(longer), str(labelled), *unlabelled]):
        assert main([*files, *options]) == 0
        trusts.append(OnnxPredictor(output).spec.trust)
    assert "longer.csv, judged by its own errors" in capsys.readouterr().out
    plain, matched = trusts
    assert plain is not None
    assert matched is not None
    evidence = QualityFeatures(200.0, 1.0, 0.1, 0.05)
    expected_mm = matched.expected_error_mm(replace(evidence, mask_entropy=0.025))
    assert expected_mm == pytest.approx(plain.expected_error_mm(evidence), rel=0.01)
    lines = last.read_text(encoding="utf-8").splitlines()[:20]
    last.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert main([*files, "--longer", str(longer), str(labelled), *unlabelled]) == 2
    assert "19 images in both networks" in capsys.readouterr().err


def test_options_that_belong_together_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--out-of-fold", "a.csv", "a.json", "--longer", "b.csv", "b.json"])
    assert "--longer and --unlabelled belong together" in capsys.readouterr().err


def test_results_without_evidence_are_all_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fold = [str(path) for path in write_fold(tmp_path, evidence=False)]
    assert main(["--out-of-fold", *fold]) == 2
    message = capsys.readouterr().err
    assert "000_HC.png" in message
    assert "score it again" in message
