"""Classifier, two heads and segmenter as ONNX files: they agree with the eager network and are served without torch."""

from pathlib import Path

import numpy as np
import pytest
import torch

from face_mask.predict.face_model import FaceModel
from fetal_hc.engine.architecture import ExportOptions, ExportReport, build_model
from fetal_hc.engine.config import load_config
from fetal_hc.engine.data.loader import MappedDataset
from fetal_hc.errors import ConfigError, ExportMismatch
from fetal_hc.io.masks import rle_to_mask
from fetal_hc.model.bundle import ModelBundle
from fetal_hc_cli.training.architectures import ARCHITECTURES
from tests.architectures import architecture_of
from tests.face_mask.toy_faces import CONFIGS, write_faces

NAMES = ("with_mask", "without_mask", "mask_weared_incorrect")
SMALL_BODY = (
    "MODEL.IMAGE_BACKBONE.NAME",
    "scratch_cnn",
    "MODEL.IMAGE_BACKBONE.CHANNELS",
    "[64, 64]",
    "MODEL.NUM_CLASSES",
    "3",
)
KINDS = {
    "classifier": ("classifier_mobilenet_v2", ("INPUT.SQUARE.SIZE", "32", *SMALL_BODY), NAMES),
    "two_heads": (
        "two_head_mobilenet_v2_ciou",
        ("INPUT.SQUARE.SIZE", "32", "MODEL.IMAGE_BACKBONE.OUTPUT_STRIDE", "32", *SMALL_BODY),
        NAMES,
    ),
    "segmenter": ("attention_unet", ("INPUT.SQUARE.SIZE", "32", "MODEL.SEGMENTER.CHANNELS", "[4, 8]"), ("mask",)),
}


def export(
    kind: str, folder: Path, bias: float | None = None, **options: object
) -> tuple[ExportReport, torch.nn.Module, object]:
    """The report of an export, the eager network and its configuration."""
    name, overrides, names = KINDS[kind]
    cfg = load_config(ARCHITECTURES, CONFIGS / f"{name}.yaml", (*overrides, "MODEL.WEIGHTS", ""))
    torch.manual_seed(0)
    model = build_model(cfg, architecture_of(cfg), torch.device("cpu"))
    if bias is not None:
        with torch.no_grad():
            list(model.parameters())[-1].fill_(bias)
    weights = folder / "model.pth"
    torch.save({"model": model.state_dict()}, weights)
    images = tuple(np.random.default_rng(seed).integers(0, 256, (50, 70, 3), dtype=np.uint8) for seed in range(2))
    chosen = ExportOptions(**{"class_names": names, "check_images": images, **options})
    write = architecture_of(cfg).export
    assert write is not None
    return write(cfg, weights, folder / "model.zip", chosen), model.eval(), cfg


@pytest.mark.parametrize("kind", KINDS)
def test_served_model_says_what_the_eager_network_says(kind: str, tmp_path: Path) -> None:
    report, eager, cfg = export(kind, tmp_path)
    assert report.n_compared == 2
    assert all(value < 1e-3 for value in report.differences.values())
    dataset = write_faces(tmp_path, count=1)
    record = {"file_name": str(dataset.with_name("faces_1.png")), "height": 60, "width": 80, "annotations": []}
    sample = MappedDataset([record], architecture_of(cfg).mapper(cfg, is_train=False))[(0, 0)]
    with torch.no_grad():
        (wanted,) = eager([sample])
    from fetal_hc.io.images import read_image

    (face,) = FaceModel(report.path).predict(read_image(record["file_name"]), min_score=0.0)
    if kind == "segmenter":
        assert face.mask_rle is not None
        assert (rle_to_mask(face.mask_rle) != (wanted.probability >= 0.5)).mean() < 0.001
        return
    assert face.score == pytest.approx(float(wanted.probabilities.max()), abs=1e-4)
    assert face.class_name == NAMES[int(wanted.probabilities.argmax())]
    if kind == "two_heads":
        assert face.box_xyxy == pytest.approx(wanted.box_xyxy.tolist(), abs=0.05)


def test_half_size_file_is_half_as_large(tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    whole, half = export("two_heads", tmp_path)[0], export("two_heads", tmp_path / "half", half=True)[0]
    assert half.size_bytes < 0.7 * whole.size_bytes
    assert ModelBundle.read(half.path).spec.task == "single_box"


def test_names_must_fit_the_classes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"2 class names \(a, b\) for a model of 3 classes"):
        export("classifier", tmp_path, class_names=("a", "b"))


def test_network_that_disagrees_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ExportMismatch, match="probabilities differ by nan"):
        export("classifier", tmp_path, bias=float("nan"))
    assert not (tmp_path / "model.zip").exists()
