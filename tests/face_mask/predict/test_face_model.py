"""Exported models of the four kinds behind one call."""

from pathlib import Path

import numpy as np
import pytest

from face_mask.data.color_mask import WORN_CLASSES
from face_mask.predict.face_model import FaceModel, face_model_path, without_repetitions
from fetal_hc.errors import ModelError
from fetal_hc.io.masks import rle_to_mask
from fetal_hc.io.records import InstancePrediction
from fetal_hc.model.model_spec import CLASSES, PIXELS, SINGLE_BOX, ModelSpec
from fetal_hc.model.preprocess import PAD, STRETCH, Fit, InputSpec
from tests.synthetic_model import head_spec, write_bright_object_model, write_constant_model, write_whole_image_model

NAMES = tuple(WORN_CLASSES)
PHOTO = np.zeros((60, 120, 3), dtype=np.uint8)


def square_spec(task: str, names: tuple[str, ...], fit: Fit = STRETCH) -> ModelSpec:
    return ModelSpec(InputSpec("RGB", 40, 40, fit), names, "MODEL: {}\n", "0" * 64, task)


def test_instances_keep_box_class_and_mask_pixels(tmp_path: Path) -> None:
    model = FaceModel(write_bright_object_model(tmp_path / "m.onnx", head_spec(60, 120, class_names=NAMES)))
    photo = PHOTO.copy()
    photo[10:40, 20:70] = 255
    (face,) = model.predict(photo)
    assert face.class_name == "with_mask"
    assert face.box_xyxy == (20.0, 10.0, 70.0, 40.0)
    assert face.mask_rle is not None
    assert face.mask_area_px == rle_to_mask(face.mask_rle).sum() == pytest.approx(30 * 50, abs=80)
    assert model.predict(photo, min_score=0.95) == []


def test_a_face_without_a_mask_has_no_mask_pixels(tmp_path: Path) -> None:
    boxes = np.array([[5, 5, 25, 30]], np.float32)
    masks = np.ones((1, 1, 4, 4), np.float32)
    spec = head_spec(60, 120, class_names=NAMES)
    path = write_constant_model(tmp_path / "m.onnx", boxes, np.float32([0.9]), np.int64([1]), masks, spec)
    (face,) = FaceModel(path).predict(PHOTO)
    assert (face.class_name, face.mask_rle, face.mask_area_px) == ("without_mask", None, 0)


def test_one_face_is_not_reported_in_two_classes() -> None:
    boxes = [np.float32(box) for box in ([0, 0, 10, 10], [1, 0, 10, 10], [20, 0, 30, 10])]
    mask = np.ones((4, 4), np.float32)
    found = [
        InstancePrediction(box, score, label, mask)
        for label, (box, score) in enumerate(zip(boxes, (0.6, 0.9, 0.7), strict=True))
    ]
    assert [item.label for item in without_repetitions(found)] == [1, 2]


def test_classifier_names_the_class_of_the_photo(tmp_path: Path) -> None:
    outputs = {"probabilities": np.float32([0.2, 0.8])}
    path = write_whole_image_model(tmp_path / "m.onnx", outputs, square_spec(CLASSES, NAMES[:2]))
    (face,) = FaceModel(path).predict(PHOTO)
    assert (face.class_name, face.box_xyxy) == ("without_mask", None)
    assert face.score == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("fit", "box"), [(STRETCH, (30.0, 15.0, 90.0, 45.0)), (PAD, (30.0, 0.0, 90.0, 60.0))], ids=["stretched", "padded"]
)
def test_box_of_two_heads_comes_back_to_the_photo(
    tmp_path: Path, fit: Fit, box: tuple[float, float, float, float]
) -> None:
    outputs = {"probabilities": np.float32([0.9, 0.1]), "box": np.float32([10, 10, 30, 30])}
    path = write_whole_image_model(tmp_path / "m.onnx", outputs, square_spec(SINGLE_BOX, NAMES[:2], fit))
    (face,) = FaceModel(path).predict(PHOTO)
    assert face.box_xyxy == box


def test_segmenter_gives_the_pixels_of_all_masks(tmp_path: Path) -> None:
    mask = np.zeros((40, 40), np.float32)
    mask[20:, 10:30] = 0.9
    path = write_whole_image_model(tmp_path / "m.onnx", {"mask": mask}, square_spec(PIXELS, ("mask",)))
    (face,) = FaceModel(path).predict(PHOTO)
    assert face.class_name == "mask"
    assert face.mask_area_px == pytest.approx(30 * 60, rel=0.05)
    empty = write_whole_image_model(tmp_path / "e.onnx", {"mask": mask * 0}, square_spec(PIXELS, ("mask",)))
    assert FaceModel(empty).predict(PHOTO) == []


def test_numbers_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    outputs = {"probabilities": np.float32([np.nan, 0.8])}
    path = write_whole_image_model(tmp_path / "m.onnx", outputs, square_spec(CLASSES, NAMES[:2]))
    with pytest.raises(ModelError, match="not finite"):
        FaceModel(path).predict(PHOTO)


def test_named_model_comes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.zip", "b.zip"):
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.setenv("FACE_MASK_MODEL", str(tmp_path / "b.zip"))
    assert face_model_path(tmp_path / "a.zip") == tmp_path / "a.zip"
    assert face_model_path() == tmp_path / "b.zip"
    with pytest.raises(ModelError, match=r"gone\.zip: does not exist.*--model"):
        face_model_path(tmp_path / "gone.zip")
