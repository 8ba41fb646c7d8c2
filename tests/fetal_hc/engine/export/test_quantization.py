"""8-bit convolutions: what changes in the file, what stays, and how close the answers are."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from fetal_hc.engine.export.quantization import MIN_IMAGES, quantize_model
from fetal_hc.errors import ModelError
from fetal_hc.model.bundle import DETECTOR, INTERVALS, ModelBundle
from fetal_hc.model.predictor import OnnxPredictor
from tests.synthetic_model import IR_VERSION, OPSET, head_spec


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
    helper.set_model_props(model, head_spec().to_metadata())
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


def test_bundle_keeps_everything_but_the_calibration_of_its_errors(tmp_path: Path, images: list[Path]) -> None:
    source = ModelBundle.read(write_network(tmp_path / "float.onnx")).replace(
        networks={"other": b"network"}, sections={INTERVALS: {"factor": 2.0}, "training": {"n_images": 3}}
    )
    source.write(tmp_path / "float.zip")
    quantize_model(tmp_path / "float.zip", tmp_path / "int8.zip", images)
    after = ModelBundle.read(tmp_path / "int8.zip")
    assert (after.name, after.version, after.spec) == (source.name, source.version, source.spec)
    assert after.sections == {"training": {"n_images": 3}}
    assert after.networks["other"] == b"network"
    assert after.networks[DETECTOR] != source.networks[DETECTOR]


def test_logging_of_the_caller_stays_as_it_was(
    tmp_path: Path, images: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.filters), root.isEnabledFor(logging.WARNING))
    with caplog.at_level(logging.INFO):
        quantize_model(write_network(tmp_path / "float.onnx"), tmp_path / "int8.onnx", images)
        logging.info("of the caller")
    assert (root.level, list(root.filters), root.isEnabledFor(logging.WARNING)) == before
    assert [record.getMessage() for record in caplog.records] == ["of the caller"]


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
