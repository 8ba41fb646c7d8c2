"""The exported graph: same detections, any input size, self-describing file, nothing kept that disagrees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from fetal_hc.engine.architecture import ExportOptions, ExportReport, build_model
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.export import onnx_export as export
from fetal_hc.engine.export.onnx_export import export_model
from fetal_hc.errors import ConfigError, ExportMismatch, FetalHCError
from fetal_hc.model.predictor import OnnxPredictor
from fetal_hc_cli.training.architectures import MASK_RCNN
from tests.fetal_hc.engine.inputs import make_check_images
from tests.synthetic_model import write_constant_model

CHECK_IMAGES = make_check_images()
OPTIONS = ExportOptions(("head",), check_images=CHECK_IMAGES)


@pytest.fixture(scope="module")
def trained(make_config: Callable[..., CfgNode], tmp_path_factory: pytest.TempPathFactory) -> tuple[CfgNode, Path]:
    """A configuration and a checkpoint of random weights that detects something everywhere."""
    cfg = make_config()
    torch.manual_seed(0)
    model = build_model(cfg, MASK_RCNN)
    model.roi_heads.box_predictor.cls_score.weight.data *= 30
    model.roi_heads.mask_head.predictor.weight.data *= 100
    path = tmp_path_factory.mktemp("weights") / "model_final.pth"
    torch.save({"model": model.state_dict()}, path)
    return cfg, path


@pytest.fixture(scope="module")
def exported(trained: tuple[CfgNode, Path]) -> tuple[Path, ExportReport]:
    """The half-size file of that checkpoint."""
    cfg, weights = trained
    output = weights.with_name("half.onnx")
    return output, export_model(cfg, weights, output, ExportOptions(("head",), half=True, check_images=CHECK_IMAGES))


def test_export_agrees_with_the_eager_network(exported: tuple[Path, ExportReport]) -> None:
    _, report = exported
    assert report.n_compared > 0
    for name, tolerance in export.TOLERANCES.items():
        assert report.differences[name] <= tolerance


def test_half_size_file_halves_the_large_weights_and_is_valid(exported: tuple[Path, ExportReport]) -> None:
    path, report = exported
    model = onnx.load(path)
    onnx.checker.check_model(model)
    n_values = sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer)
    assert report.size_bytes == path.stat().st_size < 2.6 * n_values


def test_file_names_no_folder_of_the_machine(exported: tuple[Path, ExportReport], repository_root: Path) -> None:
    assert str(repository_root).encode() not in exported[0].read_bytes()


def test_predictor_reads_the_file_and_measures_any_image_size(exported: tuple[Path, ExportReport]) -> None:
    predictor = OnnxPredictor(exported[0])
    for image_hw in ((540, 800), (200, 150)):
        image = np.random.default_rng(0).integers(0, 255, (*image_hw, 3), dtype=np.uint8)
        for instance in predictor.predict(image):
            x0, y0, x1, y1 = instance.box_xyxy
            assert 0 <= x0 < x1 <= image_hw[1]
            assert 0 <= y0 < y1 <= image_hw[0]
            assert instance.soft_mask.shape == (56, 56)


def test_file_whose_masks_are_not_numbers_is_not_kept(trained: tuple[CfgNode, Path], tmp_path: Path) -> None:
    weights = torch.load(trained[1], weights_only=True)["model"]
    weights["roi_heads.mask_head.predictor.bias"].fill_(float("nan"))
    torch.save({"model": weights}, tmp_path / "broken.pth")
    with pytest.raises(ExportMismatch, match="masks differ by nan"):
        export_model(trained[0], tmp_path / "broken.pth", tmp_path / "model.onnx", OPTIONS)
    assert not (tmp_path / "model.onnx").exists()


def test_class_names_must_match_the_classes(trained: tuple[CfgNode, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"2 class names for MODEL.ROI_HEADS.NUM_CLASSES 1"):
        export_model(*trained, tmp_path / "model.onnx", ExportOptions(("head", "tail"), check_images=CHECK_IMAGES))


def test_export_without_an_image_to_compare_on_is_refused(trained: tuple[CfgNode, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least one image to compare"):
        export_model(*trained, tmp_path / "model.onnx", ExportOptions(("head",)))


def test_missing_weights_are_named(trained: tuple[CfgNode, Path], tmp_path: Path) -> None:
    with pytest.raises(FetalHCError, match=r"nowhere\.pth"):
        export_model(
            trained[0],
            tmp_path / "nowhere.pth",
            tmp_path / "model.onnx",
            OPTIONS,
        )


class Fixed(torch.nn.Module):
    """Finds the same objects in every image: one box of two classes and one box of the first."""

    boxes = np.array([[10, 10, 50, 50], [10, 10, 50, 50], [60, 20, 90, 80]], np.float32)
    scores = np.array([0.9, 0.6, 0.3], np.float32)
    labels = np.array([0, 1, 0], np.int64)
    masks = np.stack([np.full((1, 4, 4), value, np.float32) for value in (0.1, 0.5, 0.9)])

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(torch.from_numpy(value) for value in (self.boxes, self.scores, self.labels, self.masks))


@pytest.mark.parametrize("order", [[0, 1, 2], [1, 0, 2], [2, 1, 0]])
def test_one_box_of_several_classes_is_matched_by_class(tmp_path: Path, order: list[int]) -> None:
    outputs = (values[order] for values in (Fixed.boxes, Fixed.scores, Fixed.labels, Fixed.masks))
    payload = write_constant_model(tmp_path / "m.onnx", *outputs).read_bytes()
    differences, n_detections = export.compare(Fixed(), payload, [np.zeros((3, 100, 100), np.float32)])
    assert n_detections == 3
    assert differences == {"boxes": 0.0, "scores": 0.0, "masks": 0.0}


def test_other_class_of_the_same_box_is_a_difference(tmp_path: Path) -> None:
    labels = np.array([0, 2, 0], np.int64)
    payload = write_constant_model(tmp_path / "m.onnx", Fixed.boxes, Fixed.scores, labels, Fixed.masks).read_bytes()
    differences, _ = export.compare(Fixed(), payload, [np.zeros((3, 100, 100), np.float32)])
    assert set(differences.values()) == {float("inf")}
