"""A model without held-out images gets the calibration of one like it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from fetal_hc_cli.recalibrate import main
from hc18.measurement.head_model import load_model
from hc18.measurement.rows import MEASUREMENT_TABLE
from tests.measured_errors import features_of, write_fold
from tests.synthetic_model import write_bright_object_model


def write_more_confident(details: Path, target: Path, factor: float) -> Path:
    """The same results with the entropy of every mask times `factor`."""
    with details.open(encoding="utf-8", newline="") as source, target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, MEASUREMENT_TABLE.names)
        writer.writeheader()
        for row in csv.DictReader(source):
            writer.writerow({**row, "mask_entropy": factor * float(row["mask_entropy"])})
    return target


@pytest.mark.parametrize("option", ["--reference-run", "--longer"])
def test_model_without_unseen_images_gets_the_calibration_of_one_like_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    details, labelled = write_fold(tmp_path)
    reference = write_more_confident(details, tmp_path / "reference.csv", 0.7)
    last = write_more_confident(details, tmp_path / "last.csv", 0.5)
    model, output = write_bright_object_model(tmp_path / "model.onnx"), tmp_path / "calibrated.zip"
    files = ["--out-of-fold", str(details), str(labelled), "--model", str(model), "--output", str(output)]
    unlabelled = ["--unlabelled", str(details), str(reference), str(last)]
    found = []
    for options in ([], [option, str(reference), str(labelled), *unlabelled]):
        assert main([*files, *options]) == 0
        found.append(load_model(output).intervals)
    assert "reference.csv, judged by its own errors" in capsys.readouterr().out
    plain, transferred = found
    assert plain is not None
    assert transferred is not None
    expected_mm = transferred.expected_error_mm(features_of(200.0, mask_entropy=0.025))
    assert expected_mm == pytest.approx(plain.expected_error_mm(features_of(200.0)), rel=0.01)
    lines = last.read_text(encoding="utf-8").splitlines()[:20]
    last.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert main([*files, option, str(reference), str(labelled), *unlabelled]) == 2
    assert "19 measured images" in capsys.readouterr().err


def test_options_that_belong_together_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--out-of-fold", "a.csv", "a.json", "--longer", "b.csv", "b.json"])
    assert "--unlabelled belong together" in capsys.readouterr().err
