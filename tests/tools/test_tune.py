"""The command line of the search."""

from pathlib import Path

import optuna
import pytest
import torch

from fetal_hc_cli.training.tune import main
from tests.face_mask.toy_faces import write_config, write_faces


def test_search_prints_its_best_and_lists_all_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    write_faces(tmp_path, count=4)
    changes = {
        "MODEL": {"IMAGE_BACKBONE": {"NAME": "scratch_cnn", "CHANNELS": [2, 4]}},
        "INPUT": {"SQUARE": {"SIZE": 16}},
        "DATASETS": {"TRAIN": ["faces"], "TEST": ["faces"]},
        "SOLVER": {"MAX_ITER": 1},
    }
    arguments = ["--config-file", str(write_config(tmp_path, "Base-TwoHead.yaml", changes)), "--trials", "1"]
    assert main(arguments) == 0
    assert "best box/mean_IoU" in capsys.readouterr().out
    assert len((tmp_path / "output" / "trials.csv").read_text().splitlines()) == 2
    assert main(arguments) == 2
    assert "add --resume" in capsys.readouterr().err


def test_mask_rcnn_cannot_be_tuned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config_file = Path(__file__).resolve().parents[2] / "configs" / "face_mask" / "mask_rcnn_faces.yaml"
    assert main(["--config-file", str(config_file), "OUTPUT_DIR", str(tmp_path)]) == 2
    assert "does not have" in capsys.readouterr().err
