"""The command line of the export: what is bad input, and what a network that disagrees with its export."""

from pathlib import Path

import pytest
import torch

from fetal_hc.engine.config import load_config
from fetal_hc_cli.training.architectures import ARCHITECTURES
from fetal_hc_cli.training.export_model import main
from hc18.training.outline_refiner import OutlineRefiner

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            "face_mask/classifier_mobilenet_v2.yaml",
            "1 class names (object) for a model of 2 classes",
        ),
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


def export_refiner(tmp_path: Path, place_bias: float) -> tuple[int, Path]:
    """Exports a small untrained refiner whose last layer has a bias: exit code and output."""
    config, width = CONFIGS / "hc18/outline_refiner.yaml", ("MODEL.OUTLINE_REFINER.CHANNELS", "2")
    torch.manual_seed(0)
    model = OutlineRefiner(load_config(ARCHITECTURES, config, width))
    torch.nn.init.constant_(model.place.bias, place_bias)
    weights, output = tmp_path / "refiner.pth", tmp_path / "refiner.onnx"
    torch.save({"model": model.state_dict()}, weights)
    command = ["--config-file", str(config), "--weights", str(weights), "--output", str(output), "--opts", *width]
    return main(command), output


def test_network_that_agrees_with_its_export_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, output = export_refiner(tmp_path, 0.0)
    assert code == 0
    assert output.is_file()
    assert "agrees with the eager network" in capsys.readouterr().out


def test_mismatch_is_a_failed_check_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, output = export_refiner(tmp_path, float("nan"))  # equal to nothing, so no output agrees
    assert code == 1
    assert "radii differ by nan" in capsys.readouterr().err
    assert not output.exists()
