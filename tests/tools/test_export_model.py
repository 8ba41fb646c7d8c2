"""The command line of the export: what is bad input."""

from pathlib import Path

import pytest

from fetal_hc_cli.training.export_model import main

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("face_mask/classifier_mobilenet_v2.yaml", "ImageClassifier cannot be exported yet"),
        ("hc18/mask_rcnn_R_18_FPN.yaml", "gone.pth: no such checkpoint"),
        ("hc18/gone.yaml", "gone.yaml: cannot read the configuration file"),
    ],
)
def test_bad_input_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: str, message: str
) -> None:
    output = tmp_path / "model.onnx"
    command = ["--config-file", str(CONFIGS / config), "--weights", str(tmp_path / "gone.pth"), "--output", str(output)]
    assert main(command) == 2
    assert message in capsys.readouterr().err
    assert not output.exists()
