"""The predictor returns instances of the original image, and one clear error for every wrong file."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fetal_hc.errors import ModelError
from fetal_hc.model.predictor import OnnxPredictor, boxes_to_image
from tests.synthetic_model import head_spec, write_bright_object_model, write_classifier, write_constant_model


def _image_with_rectangle(image_hw: tuple[int, int], box_xyxy: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    image = np.zeros((*image_hw, 3), np.uint8)
    x0, y0, x1, y1 = box_xyxy
    image[y0:y1, x0:x1] = 255
    return image


def _constant(path: Path, boxes: list[list[float]], **changes: NDArray[np.generic]) -> OnnxPredictor:
    n = len(boxes)
    outputs = {
        "boxes": np.array(boxes, np.float32).reshape(n, 4),
        "scores": np.linspace(0.9, 0.5, n, dtype=np.float32),
        "labels": np.zeros(n, np.int64),
        "masks": np.ones((n, 1, 4, 4), np.float32),
    }
    write_constant_model(path, **{**outputs, **changes}, spec=head_spec(min_size=0))  # type: ignore[arg-type]
    return OnnxPredictor(path)


@pytest.mark.parametrize("image_hw", [(540, 800), (800, 540), (563, 799), (216, 320)])
def test_box_is_in_pixels_of_the_original_image(tmp_path: Path, image_hw: tuple[int, int]) -> None:
    predictor = OnnxPredictor(write_bright_object_model(tmp_path / "m.onnx"))
    box = (100, 60, 260, 180)
    (instance,) = predictor.predict(_image_with_rectangle(image_hw, box))
    one_network_pixel = max(image_hw) / 320
    np.testing.assert_allclose(instance.box_xyxy, box, atol=1.5 * one_network_pixel)
    assert instance.box_xyxy.dtype == np.float32


def test_instance_carries_score_label_and_soft_mask(tmp_path: Path) -> None:
    predictor = OnnxPredictor(write_bright_object_model(tmp_path / "m.onnx", score=0.75, mask_size=28))
    (instance,) = predictor.predict(_image_with_rectangle((540, 800), (100, 60, 260, 180)))
    assert instance.score == 0.75
    assert instance.label == 0
    assert instance.soft_mask.shape == (28, 28)
    assert instance.soft_mask.dtype == np.float32
    assert instance.soft_mask[14, 14] == pytest.approx(1.0)


def test_image_without_object_has_no_instance(tmp_path: Path) -> None:
    predictor = OnnxPredictor(write_bright_object_model(tmp_path / "m.onnx"))
    assert predictor.predict(np.zeros((540, 800, 3), np.uint8)) == []


def test_empty_boxes_are_dropped_after_clipping(tmp_path: Path) -> None:
    boxes = [[10, 10, 20, 20], [30, 5, 30, 9], [90, 10, 95, 20], [-5, -5, 200, 200]]
    instances = _constant(tmp_path / "m.onnx", boxes).predict(np.zeros((60, 80, 3), np.uint8))
    assert [instance.box_xyxy.tolist() for instance in instances] == [[10, 10, 20, 20], [0, 0, 80, 60]]
    np.testing.assert_allclose([instance.score for instance in instances], [0.9, 0.5], rtol=1e-6)


def test_boxes_scale_with_each_side() -> None:
    boxes = np.array([[10, 10, 20, 30], [300, 200, 400, 300]], np.float32)
    scaled = boxes_to_image(boxes, network_hw=(216, 320), image_hw=(540, 800))
    np.testing.assert_allclose(scaled, [[25, 25, 50, 75], [750, 500, 800, 540]])


@pytest.mark.parametrize("name", ["scores", "masks"])
def test_numbers_that_are_not_finite_are_an_error(tmp_path: Path, name: str) -> None:
    shape = {"scores": (1,), "masks": (1, 1, 4, 4)}[name]
    predictor = _constant(tmp_path / "m.onnx", [[1, 1, 9, 9]], **{name: np.full(shape, np.nan, np.float32)})
    with pytest.raises(ModelError, match="not finite"):
        predictor.predict(np.zeros((60, 80, 3), np.uint8))


def test_outputs_of_wrong_shape_are_an_error(tmp_path: Path) -> None:
    predictor = _constant(tmp_path / "m.onnx", [[1, 1, 9, 9]], scores=np.zeros(2, np.float32))
    with pytest.raises(ModelError, match=r"shapes \[\(1, 4\), \(2,\)"):
        predictor.predict(np.zeros((60, 80, 3), np.uint8))


def _message(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        OnnxPredictor(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_missing_file(tmp_path: Path) -> None:
    assert "does not exist" in _message(tmp_path / "gone.onnx")


def test_folder_instead_of_file(tmp_path: Path) -> None:
    assert "is a folder" in _message(tmp_path)


@pytest.mark.parametrize("content", [b"", b"this is not a model\n" * 20, b"\x89PNG\r\n\x1a\n" + bytes(500)])
def test_file_that_is_not_onnx(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    assert "cannot be loaded as an ONNX model" in _message(path)


def test_truncated_file(tmp_path: Path) -> None:
    path = write_bright_object_model(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes()[:-200])
    assert "cannot be loaded as an ONNX model" in _message(path)


def test_model_of_another_origin(tmp_path: Path) -> None:
    assert "another origin" in _message(write_classifier(tmp_path / "m.onnx", {}))


def test_model_of_another_task(tmp_path: Path) -> None:
    metadata = {**head_spec().to_metadata(), "fetal_hc.task": "classification"}
    assert "task 'classification'" in _message(write_classifier(tmp_path / "m.onnx", metadata))


def test_model_with_foreign_outputs(tmp_path: Path) -> None:
    path = write_classifier(tmp_path / "m.onnx", head_spec().to_metadata())
    assert "outputs ['logit']" in _message(path)
