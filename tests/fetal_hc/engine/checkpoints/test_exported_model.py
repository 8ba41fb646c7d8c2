"""Weights read back from exported files: their values, what they detect, and files that hold none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from fetal_hc.engine.architecture import ExportOptions, build_model
from fetal_hc.engine.checkpoints.checkpoint import load_weights, read_checkpoint
from fetal_hc.engine.config import CfgNode, load_config
from fetal_hc.engine.export.onnx_export import export_model, input_spec, store_as_half
from fetal_hc.engine.modeling.rcnn import GeneralizedRCNN
from fetal_hc.errors import ModelError
from fetal_hc.model.predictor import OnnxPredictor
from fetal_hc.model.preprocess import to_network_input
from fetal_hc_cli.training.architectures import ARCHITECTURES, MASK_RCNN
from hc18.measurement.head_model import bundled_model_path
from hc18.phantoms.phantom import render_phantom
from hc18.phantoms.spec import sample_spec
from tests.fetal_hc.engine.inputs import make_check_images


def test_export_with_merged_layers_names_the_checkpoint_as_remedy(
    make_config: Callable[..., CfgNode], make_model: Callable[..., GeneralizedRCNN], tmp_path: Path
) -> None:
    torch.save({"model": make_model().state_dict()}, tmp_path / "model.pth")
    options = ExportOptions(("head",), check_images=make_check_images())
    export_model(make_config(), tmp_path / "model.pth", tmp_path / "model.onnx", options)
    half = onnx.load(tmp_path / "model.onnx")
    store_as_half(half)
    onnx.save(half, tmp_path / "half.onnx")
    for name in ("model", "half"):
        with pytest.raises(ModelError, match=rf"{name}\.onnx: its normalisation layers are merged .* the checkpoint"):
            read_checkpoint(tmp_path / f"{name}.onnx")


def test_network_of_the_shipped_8_bit_file_detects_what_the_file_detects(repository_root: Path) -> None:
    path = bundled_model_path()
    cfg = load_config(ARCHITECTURES, repository_root / "configs/hc18/mask_rcnn_R_18_FPN.yaml")
    network = build_model(cfg, MASK_RCNN).eval()
    assert isinstance(network, GeneralizedRCNN)
    load_weights(network, read_checkpoint(path)["model"], path)
    predictor = OnnxPredictor(path)
    grey = render_phantom(sample_spec(np.random.default_rng(5), cut_share=0.0, caliper_share=0.0)).image
    image = np.repeat(grey[..., None], 3, axis=2)
    with torch.no_grad():
        found = network.detect_network_input(torch.from_numpy(to_network_input(image, input_spec(cfg))))
    (expected,) = predictor.predict(image)
    scale = image.shape[1] / cfg.INPUT.MAX_SIZE_TEST
    np.testing.assert_allclose(found.boxes[0] * scale, expected.box_xyxy, atol=0.01 * image.shape[1])
    assert float(found.scores[0]) == pytest.approx(expected.score, abs=0.05)


def test_quantized_weight_without_scale_is_named(tmp_path: Path) -> None:
    weight = onnx.numpy_helper.from_array(np.ones((2, 1, 3, 3), np.int8), "model.stem.weight_quantized")
    graph = onnx.helper.make_graph([], "network", [], [], [weight])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "cut.onnx")
    with pytest.raises(ModelError, match=r"cut\.onnx: stem\.weight_quantized has no scale"):
        read_checkpoint(tmp_path / "cut.onnx")


@pytest.mark.parametrize(("content", "message"), [(b"text", "cannot be read as ONNX"), (b"", "has no weights")])
def test_files_without_weights_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=rf"other\.onnx: {message}"):
        read_checkpoint(path)
