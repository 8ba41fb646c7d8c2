"""The command line of the cross-validation."""

from pathlib import Path

import pytest
import torch

from fetal_hc_cli.training.cross_validate import main
from tests.fetal_hc.engine.search.test_cross_validation import config_of


def test_summary_of_all_folds_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(1)
    assert main(["--config-file", str(config_of(tmp_path)), "--folds", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "2 folds, mean and standard deviation" in lines
    assert any(line.startswith("mask/IoU ") and "(n 2)" in line for line in lines)


def test_folds_can_be_trained_apart_and_put_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(1)
    command = ["--config-file", str(config_of(tmp_path)), "--folds", "2"]
    assert main([*command, "--only", "1"]) == 0
    assert "1 folds, mean" in capsys.readouterr().out
    assert main([*command, "--resume"]) == 0
    assert "2 folds, mean" in capsys.readouterr().out


def test_impossible_folds_are_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config-file", str(config_of(tmp_path)), "--folds", "99"]) == 2
    assert "99 folds of" in capsys.readouterr().err
