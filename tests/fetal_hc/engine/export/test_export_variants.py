"""The exported graph of the networks without pyramid and of the cascade agrees with the eager network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fetal_hc.engine.architecture import ExportOptions, build_model
from fetal_hc.engine.export.onnx_export import TOLERANCES, export_model
from fetal_hc_cli.training.architectures import MASK_RCNN
from tests.fetal_hc.engine.inputs import make_check_images
from tests.fetal_hc.engine.parity_cases import VARIANTS, fill_weights, parity_config


@pytest.mark.slow
@pytest.mark.parametrize("name", ["C4", "DC5", "cascade"])
def test_export_agrees_with_the_eager_network(tmp_path: Path, name: str) -> None:
    cfg = parity_config(*VARIANTS[name])
    model = build_model(cfg, MASK_RCNN)
    fill_weights(model)
    weights = tmp_path / "model_final.pth"
    torch.save({"model": model.state_dict()}, weights)
    names = tuple(f"class {label}" for label in range(cfg.MODEL.ROI_HEADS.NUM_CLASSES))
    options = ExportOptions(names, check_images=make_check_images())
    report = export_model(cfg, weights, tmp_path / "model.onnx", options)
    assert report.n_compared > 0
    assert all(report.differences[key] <= tolerance for key, tolerance in TOLERANCES.items())
