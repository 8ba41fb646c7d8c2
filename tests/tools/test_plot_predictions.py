"""Pictures of a finished training: which files, and what its tables must hold."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from fetal_hc.engine.train.training_job import JobOptions, start_job
from fetal_hc_cli.training.architectures import ARCHITECTURES
from fetal_hc_cli.training.plot_predictions import main
from tests.face_mask.toy_faces import write_config, write_faces


@pytest.fixture
def run(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    write_faces(tmp_path, count=4)
    changes = {
        "MODEL": {"IMAGE_BACKBONE": {"NAME": "scratch_cnn", "CHANNELS": [2, 4]}},
        "INPUT": {"SQUARE": {"SIZE": 16}},
        "DATASETS": {"TRAIN": ["faces"], "TEST": ["faces"]},
        "SOLVER": {"MAX_ITER": 1},
    }
    assert start_job(JobOptions(ARCHITECTURES, write_config(tmp_path, "Base-TwoHead.yaml", changes))) == 0
    return tmp_path / "output"


def test_matrix_curve_and_sheet_are_written(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run", str(run), "--limit", "3"]) == 0
    names = ["confusion_faces.png", "roc_faces.png", "predictions_faces.png"]
    assert capsys.readouterr().out.split() == [str(run / name) for name in names]
    with Image.open(run / "predictions_faces.png") as sheet:
        assert sheet.size == (3 * 256, 256)


def test_folder_without_training_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run", str(tmp_path)]) == 2
    assert "holds no finished training" in capsys.readouterr().err


def test_table_of_another_form_is_bad_input(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "classification_faces.csv").write_text("file_name,p_a\nx,0.5\n")
    assert main(["--run", str(run)]) == 2
    assert "no column 'truth' among ['file_name', 'p_a']; evaluate the model again" in capsys.readouterr().err
