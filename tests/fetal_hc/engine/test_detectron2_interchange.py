"""A checkpoint of either engine serves in both: the same detections, eager and exported, on whole images.

Real HC18 images where they are at hand, phantoms otherwise. `pytest -s` prints the largest differences found.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from fetal_hc.engine.architecture import ExportOptions, build_model
from fetal_hc.engine.checkpoints.checkpoint import load_weights, read_checkpoint
from fetal_hc.engine.config import CfgNode, load_config
from fetal_hc.engine.export import onnx_export as export
from fetal_hc.engine.structures import Detections
from fetal_hc.engine.train.trainer import Trainer
from fetal_hc.io.images import read_image
from fetal_hc.io.masks import paste_soft_mask
from fetal_hc.io.records import InstancePrediction
from fetal_hc.model.predictor import OnnxPredictor
from fetal_hc.model.preprocess import to_network_input
from fetal_hc_cli.training.architectures import ARCHITECTURES, MASK_RCNN
from hc18.phantoms.phantom import render_phantom
from hc18.phantoms.spec import sample_spec
from tests.fetal_hc.engine.detectron2_bridge import (
    build_detectron2,
    detect_with_detectron2,
    to_detectron2_config,
    to_detectron2_input,
)
from tests.fetal_hc.engine.parity_cases import GROUP_NORM, MOBILENET_V3, R50_AS_IN_THE_ZOO, fill_weights, model_inputs

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]
Image = NDArray[np.uint8]
BGR = ("INPUT.FORMAT", "BGR")
BASE, SMALL = "Base-MaskRCNN.yaml", "hc18/mask_rcnn_R_18_FPN.yaml"
# Configuration and changes; ResNet-18 has 128 channels and 56x56 masks.
CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "R50-FPN, FrozenBN, BGR": (BASE, (*R50_AS_IN_THE_ZOO, "INPUT.MIN_SIZE_TEST", "256", "INPUT.MAX_SIZE_TEST", "427")),
    "R18-FPN, BN, RGB": (SMALL, ()),
    "R18-FPN, GN, BGR": (SMALL, (*GROUP_NORM, *BGR)),
    "R18-FPN, frozen BN, RGB": (SMALL, ("MODEL.BACKBONE.FREEZE_AT", "3")),
    "MobileNetV3, BN, RGB": (SMALL, MOBILENET_V3),
}
TRAINING = (
    *("MODEL.DEVICE", "cpu", "MODEL.CHANNELS_LAST", "False", "INPUT.SOFT_MASKS", "False", "SOLVER.OPTIMIZER", "SGD"),
    *("SOLVER.BASE_LR", "0.0001", "SOLVER.MAX_ITER", "4", "SOLVER.STEPS", "[]", "SOLVER.WARMUP_ITERS", "2"),
    *("SOLVER.AMP.ENABLED", "False", "SOLVER.EMA.ENABLED", "False", "SOLVER.CHECKPOINT_PERIOD", "0"),
    *("TEST.EVAL_PERIOD", "0", "SEED", "3"),
)


class RepeatedBatch:
    """The same two images for ever."""

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        while True:
            yield model_inputs()

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def cfg(request: pytest.FixtureRequest, repository_root: Path, tmp_path: Path) -> CfgNode:
    file, changes = request.param
    overrides = [*changes, *TRAINING, "OUTPUT_DIR", str(tmp_path)]
    return load_config(ARCHITECTURES, repository_root / "configs" / file, overrides)


@pytest.fixture(scope="module")
def images(request: pytest.FixtureRequest) -> list[Image]:
    """RGB images of four sizes, one of them upright."""
    try:
        folder = request.getfixturevalue("real_hc18_root") / "training_set"
    except pytest.skip.Exception:
        sizes_hw = ((540, 800), (541, 738), (563, 799))
        specs = [sample_spec(np.random.default_rng(seed), image_hw=size) for seed, size in enumerate(sizes_hw)]
        found = [np.repeat(render_phantom(spec).image[..., None], 3, axis=2) for spec in specs]
    else:
        found = [read_image(folder / name) for name in ("000_HC.png", "216_HC.png", "402_HC.png")]
    return [*found, np.ascontiguousarray(np.rot90(found[0]))]


def start(model: nn.Module, batch: list[dict[str, Any]]) -> None:
    """Weights from which a few iterations lead to detections: in every image one region in fifty counts as a head."""
    fill_weights(model)
    seen: list[torch.Tensor] = []
    predictor = model.roi_heads.box_predictor
    hook = predictor.register_forward_hook(lambda module, inputs, outputs: seen.append(outputs[0]))
    with torch.no_grad():
        for item in batch:
            model.eval()([item])
        hook.remove()
        predictor.cls_score.bias[0] -= min((scores[:, 0] - scores[:, -1]).quantile(0.98) for scores in seen)
    torch.manual_seed(0)


def train_with_detectron2(cfg: CfgNode, images: list[Image]) -> Path:
    """A few iterations of Detectron2's own trainer; the checkpoint it writes."""
    from detectron2.checkpoint import DetectionCheckpointer
    from detectron2.engine import SimpleTrainer
    from detectron2.solver import build_lr_scheduler, build_optimizer

    their_cfg = to_detectron2_config(cfg)
    model = build_detectron2(cfg)
    start(model, as_batch(images, cfg))
    optimizer = build_optimizer(their_cfg, model)
    scheduler = build_lr_scheduler(their_cfg, optimizer)
    batches = ([to_detectron2_input(item) for item in batch] for batch in RepeatedBatch())
    trainer = SimpleTrainer(model.train(), batches, optimizer)
    trainer.after_step = scheduler.step
    trainer.train(0, cfg.SOLVER.MAX_ITER)
    checkpointer = DetectionCheckpointer(model, cfg.OUTPUT_DIR, optimizer=optimizer, scheduler=scheduler)
    checkpointer.save("model_final", iteration=cfg.SOLVER.MAX_ITER - 1)
    return Path(cfg.OUTPUT_DIR) / "model_final.pth"


def train_with_builtin(cfg: CfgNode, images: list[Image]) -> Path:
    """A few iterations of the built-in trainer; the checkpoint it writes."""
    model = build_model(cfg, MASK_RCNN)
    start(model, as_batch(images, cfg))
    assert Trainer(cfg, model, RepeatedBatch(), torch.device("cpu")).train() == 0
    return Path(cfg.OUTPUT_DIR) / "model_final.pth"


def detectron2_predictor(cfg: CfgNode, weights: Path) -> Any:
    """Detectron2's predictor of whole images with these weights, which have to fit without remainder."""
    from detectron2.checkpoint import DetectionCheckpointer
    from detectron2.engine import DefaultPredictor

    their_cfg = to_detectron2_config(cfg)
    their_cfg.MODEL.WEIGHTS = str(weights)
    their_cfg.DATASETS.TEST = ()
    predictor = DefaultPredictor(their_cfg)
    left = DetectionCheckpointer(predictor.model)._load_model(dict(torch.load(weights, weights_only=True)))
    assert not any((left.missing_keys, left.unexpected_keys, left.incorrect_shapes))
    return predictor


def builtin_model(cfg: CfgNode, weights: Path) -> nn.Module:
    model = build_model(cfg, MASK_RCNN).eval()
    load_weights(model, read_checkpoint(weights)["model"], weights)
    return model


def as_batch(images: list[Image], cfg: CfgNode) -> list[dict[str, Any]]:
    planes = [to_network_input(image, export.input_spec(cfg)) for image in images]
    sizes = [{"height": image.shape[0], "width": image.shape[1]} for image in images]
    return [{"image": torch.from_numpy(plane), **size} for plane, size in zip(planes, sizes, strict=True)]


def check_detections(found: list[Detections], expected: list[Detections]) -> None:
    """Equal up to sums taken in another order; every image has something to compare."""
    for ours, theirs in zip(found, expected, strict=True):
        assert len(theirs.scores) > 0
        torch.testing.assert_close(ours.boxes, theirs.boxes, atol=1e-3, rtol=0)
        torch.testing.assert_close(ours.scores, theirs.scores, atol=1e-5, rtol=0)
        torch.testing.assert_close(ours.masks, theirs.masks, atol=1e-5, rtol=0)
        assert ours.classes.tolist() == theirs.classes.tolist()


def check_predictions(found: list[InstancePrediction], theirs: Any, image_hw: tuple[int, int]) -> dict[str, float]:
    """Exported model against Detectron2 on one whole image: boxes, scores and pasted masks, nearest box to nearest."""
    boxes = theirs.pred_boxes.tensor.numpy()
    assert len(found) == len(boxes) > 0
    worst = {"box_px": 0.0, "score": 0.0, "mask_pixels": 0.0}
    for prediction in found:
        distances = np.abs(boxes - prediction.box_xyxy).max(axis=1)
        partner = int(distances.argmin())
        pasted = paste_soft_mask(prediction.soft_mask, prediction.box_xyxy, image_hw) >= 0.5
        wrong = int((pasted != theirs.pred_masks[partner].numpy()).sum())
        score_difference = abs(prediction.score - float(theirs.scores[partner]))
        differences = {"box_px": float(distances[partner]), "score": score_difference, "mask_pixels": float(wrong)}
        worst = {name: max(worst[name], difference) for name, difference in differences.items()}
    assert worst["box_px"] < 1e-2
    assert worst["score"] < 1e-4
    # Hardly trained, the masks lie near one half in many pixels; a few of 50 000 fall to the other side.
    assert worst["mask_pixels"] <= 100
    return worst


def test_checkpoint_of_detectron2_serves_here_and_exported(cfg: CfgNode, images: list[Image]) -> None:
    weights = train_with_detectron2(cfg, images)
    predictor = detectron2_predictor(cfg, weights)
    batch = as_batch(images, cfg)
    with torch.no_grad():
        check_detections(builtin_model(cfg, weights)(batch), detect_with_detectron2(predictor.model, batch))
    exported = weights.with_suffix(".onnx")
    class_names = tuple(f"class {i}" for i in range(cfg.MODEL.ROI_HEADS.NUM_CLASSES))
    # Not on a blank image, in which a hardly trained network finds the same thing everywhere: ties without order.
    export.export_model(cfg, weights, exported, ExportOptions(class_names, check_images=(images[0],)))
    session = OnnxPredictor(exported)
    for image in images:
        theirs = predictor(image[:, :, ::-1])["instances"]
        print(image.shape, check_predictions(session.predict(image), theirs, image.shape[:2]))


def test_checkpoint_of_the_builtin_engine_serves_in_detectron2(cfg: CfgNode, images: list[Image]) -> None:
    weights = train_with_builtin(cfg, images)
    predictor = detectron2_predictor(cfg, weights)
    batch = as_batch(images, cfg)
    with torch.no_grad():
        check_detections(builtin_model(cfg, weights)(batch), detect_with_detectron2(predictor.model, batch))
