"""8-bit convolutions: what changes in the file, what stays, and how close the answers are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from fetal_hc.engine.export.quantization import MIN_IMAGES, quantize_model
from fetal_hc.errors import ModelError
from fetal_hc.model.predictor import OnnxPredictor
from hc18.measure.interval_model import IntervalModel
from hc18.training.interval_metadata import write_trusted_model
from tests.synthetic_model import IR_VERSION, OPSET, head_spec

TRUST = IntervalModel(0.5, {"log_hc": 1.0}, 2.0, 0.9, 3.0, 160)


def constant(name: str, value: np.ndarray) -> onnx.TensorProto:
    return numpy_helper.from_array(value, name)


def write_network(path: Path) -> Path:
    """A fixed box whose mask is two convolutions of the image, pooled to 8 x 8 cells."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Unsqueeze", ["image", "axis"], ["batch"]),
        helper.make_node("Conv", ["batch", "w1", "b1"], ["hidden"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Conv", ["active", "w2", "b2"], ["map"], name="second", pads=[1, 1, 1, 1]),
        helper.make_node("Resize", ["map", "", "", "sizes"], ["coarse"], mode="linear"),
        helper.make_node("Sigmoid", ["coarse"], ["masks"]),
    ]
    weights = [
        constant("axis", np.array([0], np.int64)),
        constant("w1", rng.normal(0, 0.01, (8, 3, 3, 3)).astype(np.float32)),
        constant("b1", rng.normal(0, 0.1, 8).astype(np.float32)),
        constant("w2", rng.normal(0, 0.3, (1, 8, 3, 3)).astype(np.float32)),
        constant("b2", np.zeros(1, np.float32)),
        constant("sizes", np.array([1, 1, 8, 8], np.int64)),
        constant("boxes", np.array([[10, 20, 110, 90]], np.float32)),
        constant("scores", np.array([0.9], np.float32)),
        constant("labels", np.array([0], np.int64)),
    ]
    outputs = [("boxes", [1, 4]), ("scores", [1]), ("labels", [1]), ("masks", [1, 1, 8, 8])]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [3, "height", "width"])],
        [
            helper.make_tensor_value_info(name, TensorProto.INT64 if name == "labels" else TensorProto.FLOAT, shape)
            for name, shape in outputs
        ],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    helper.set_model_props(model, replace(head_spec(), trust=TRUST).to_metadata())
    onnx.save(model, path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(1)
    files = [tmp_path / f"{index}.png" for index in range(MIN_IMAGES)]
    for file in files:
        Image.fromarray(rng.integers(0, 256, (108, 160, 3), dtype=np.uint8)).save(file)
    return files


def test_convolutions_are_8_bit_and_answers_stay_close(tmp_path: Path, images: list[Path]) -> None:
    source, target = write_network(tmp_path / "float.onnx"), tmp_path / "int8.onnx"
    quantize_model(source, target, images)
    types = {tensor.data_type for tensor in onnx.load(target).graph.initializer}
    assert TensorProto.INT8 in types
    image = np.asarray(Image.open(images[0]))
    (before,), (after,) = (OnnxPredictor(path).predict(image) for path in (source, target))
    np.testing.assert_array_equal(after.box_xyxy, before.box_xyxy)
    assert 0.0 < np.abs(after.soft_mask - before.soft_mask).max() < 0.03


def test_file_keeps_its_description_but_not_the_calibration_of_its_errors(tmp_path: Path, images: list[Path]) -> None:
    source, target = write_network(tmp_path / "float.onnx"), tmp_path / "int8.onnx"
    quantize_model(source, target, images)
    before, after = OnnxPredictor(source).spec, OnnxPredictor(target).spec
    assert before.trust == TRUST
    assert after == replace(before, trust=None)


def test_quantized_model_takes_a_calibration_of_its_own(tmp_path: Path, images: list[Path]) -> None:
    target = tmp_path / "int8.onnx"
    quantize_model(write_network(tmp_path / "float.onnx"), target, images)
    write_trusted_model(target, target, replace(TRUST, n_images=801))
    spec = OnnxPredictor(target).spec
    assert spec.trust is not None
    assert spec.trust.n_images == 801


def test_quantizing_twice_is_refused(tmp_path: Path, images: list[Path]) -> None:
    once = tmp_path / "once.onnx"
    quantize_model(write_network(tmp_path / "float.onnx"), once, images)
    with pytest.raises(ModelError, match="no float weights"):
        quantize_model(once, tmp_path / "twice.onnx", images)
    assert not (tmp_path / "twice.onnx").exists()


def test_too_few_images_are_refused(tmp_path: Path, images: list[Path]) -> None:
    with pytest.raises(ModelError, match="at least 8"):
        quantize_model(write_network(tmp_path / "float.onnx"), tmp_path / "int8.onnx", images[:3])


def test_other_files_are_refused(tmp_path: Path, images: list[Path]) -> None:
    (tmp_path / "text.onnx").write_text("not a network")
    with pytest.raises(ModelError, match=r"text\.onnx"):
        quantize_model(tmp_path / "text.onnx", tmp_path / "int8.onnx", images)
    with pytest.raises(ModelError, match=r"text\.onnx"):
        write_trusted_model(tmp_path / "text.onnx", tmp_path / "trusted.onnx", TRUST)
