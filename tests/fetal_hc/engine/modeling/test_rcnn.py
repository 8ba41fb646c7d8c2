"""The whole network: parameter names, losses, detections."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from fetal_hc.engine.architecture import build_model
from fetal_hc.engine.config import CfgNode, load_config
from fetal_hc.engine.modeling.rcnn import GeneralizedRCNN, to_original_size
from fetal_hc.engine.structures import Detections, Targets
from fetal_hc_cli.training.architectures import ARCHITECTURES, MASK_RCNN
from tests.fetal_hc.engine.inputs import make_input

LOSSES = {"loss_rpn_cls", "loss_rpn_loc", "loss_cls", "loss_box_reg", "loss_mask"}


def test_parameter_names_and_shapes_are_detectron2s(repository_root: Path) -> None:
    golden = repository_root / "tests/golden/detectron2_mask_rcnn_R_50_FPN_parameters.json"
    stock = ["MODEL.DEVICE", "cpu", "MODEL.ROI_HEADS.NUM_CLASSES", "80", "MODEL.RESNETS.NORM", "FrozenBN"]
    model = build_model(
        load_config(ARCHITECTURES, repository_root / "configs/Base-MaskRCNN.yaml", [*stock, "SOLVER.STEPS", "()"]),
        MASK_RCNN,
    )
    names = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    assert names == json.loads(golden.read_text())


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("MODEL.BACKBONE.NAME", "build_mobilenet_v3_fpn_backbone"),
        ("MODEL.RESNETS.DEPTH", "34"),
        ("MODEL.RESNETS.DEPTH", "101", "MODEL.RESNETS.RES2_OUT_CHANNELS", "256"),
        ("MODEL.FPN.NORM", "GN", "MODEL.ROI_MASK_HEAD.NORM", "GN", "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION", "14"),
    ],
    ids=["R18", "MobileNetV3", "R34", "R101", "GN-28x28"],
)
def test_all_five_losses_are_finite_and_reach_every_parameter(
    make_config: Callable[..., CfgNode], overrides: tuple[str, ...]
) -> None:
    torch.manual_seed(0)
    model = build_model(make_config(*overrides), MASK_RCNN)
    losses = model([make_input(0, with_targets=True), make_input(1, (80, 112), with_targets=True)])
    assert set(losses) == LOSSES
    total = sum(losses.values())
    assert torch.isfinite(total)
    total.backward()
    missing = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []


def test_an_image_without_targets_trains_as_background(make_config: Callable[..., CfgNode]) -> None:
    model = build_model(make_config(), MASK_RCNN)
    item = make_input(0, with_targets=True)
    item["targets"] = Targets(
        torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), None, torch.zeros(0, dtype=torch.bool)
    )
    losses = model([item])
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert losses["loss_box_reg"].item() == losses["loss_mask"].item() == losses["loss_rpn_loc"].item() == 0


def test_targets_without_mask_give_no_mask_loss_but_all_box_losses(make_config: Callable[..., CfgNode]) -> None:
    torch.manual_seed(0)
    model = build_model(make_config(), MASK_RCNN)
    item = make_input(0, with_targets=True)
    item["targets"] = Targets(item["targets"].boxes, item["targets"].classes, None, torch.tensor([False]))
    losses = model([item])
    assert losses["loss_mask"].item() == 0
    assert losses["loss_box_reg"].item() > 0


def test_training_on_one_image_lowers_the_loss_and_finds_the_ellipse(make_config: Callable[..., CfgNode]) -> None:
    torch.manual_seed(0)
    model = build_model(make_config("MODEL.RESNETS.NORM", "GN"), MASK_RCNN)
    item = make_input(0, with_targets=True)
    yy, xx = torch.meshgrid(torch.arange(96.0), torch.arange(128.0), indexing="ij")
    inside = ((xx + 0.5 - 60) / 36) ** 2 + ((yy + 0.5 - 50) / 28) ** 2 <= 1
    item["image"] = torch.where(inside, 200.0, 30.0).expand(3, -1, -1)
    n_steps = 40
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    # A rate that falls to nothing: at a constant one, the box still jumps by many pixels from step to step.
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, n_steps)
    before, history = _overlap_of_best_box(model, item), []
    for _ in range(n_steps):
        total = sum(model([item]).values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        schedule.step()
        history.append(total.item())
    assert np.mean(history[-5:]) < 0.5 * history[0]
    assert before < 0.5
    assert _overlap_of_best_box(model, item) > 0.7


def _overlap_of_best_box(model: GeneralizedRCNN, item: dict[str, Any]) -> float:
    """IoU of the first detection with the box of `make_input`'s ellipse, at twice the input's size."""
    model.eval()
    with torch.no_grad():
        (found,) = model([item])
    model.train()
    return box_iou(found.boxes[:1], torch.tensor([[48.0, 44.0, 192.0, 156.0]])).item()


def test_detections_are_sorted_inside_the_original_image_and_soft(make_model: Callable[..., GeneralizedRCNN]) -> None:
    with torch.no_grad():
        found = make_model()([make_input(0), make_input(1, (80, 112))])
    assert [len(image) > 0 for image in found] == [True, True]
    for image, (height, width) in zip(found, ((192, 256), (160, 224)), strict=True):
        assert (image.boxes[:, 2] <= width).all()
        assert (image.boxes[:, 3] <= height).all()
        assert (image.boxes >= 0).all()
        assert (image.scores.diff() <= 0).all()
        assert image.masks.shape[1:] == (56, 56)
        assert image.masks.min() >= 0
        assert image.masks.max() <= 1


def test_a_batch_gives_what_its_images_give_alone(make_model: Callable[..., GeneralizedRCNN]) -> None:
    # GroupNorm-free network: padding to the common size may not leak into the smaller image's valid region.
    model = make_model()
    items = [make_input(0), make_input(3, (96, 128))]
    with torch.no_grad():
        together, alone = model(items), [model([item])[0] for item in items]
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a.boxes, b.boxes, atol=1e-2, rtol=0)
        torch.testing.assert_close(a.scores, b.scores, atol=1e-4, rtol=0)


@pytest.mark.parametrize("value", [0.0, 255.0, float("nan")])
def test_blank_and_broken_images_do_not_crash(make_model: Callable[..., GeneralizedRCNN], value: float) -> None:
    with torch.no_grad():
        (found,) = make_model()([{"image": torch.full((3, 64, 70), value)}])
    assert torch.isfinite(found.boxes).all()


def test_scaling_to_the_original_size_drops_boxes_outside_it() -> None:
    boxes = torch.tensor([[10.0, 10, 30, 20], [50.0, 5, 60, 9]])
    found = Detections(boxes, torch.tensor([0.9, 0.8]), torch.tensor([0, 0]), torch.zeros(2, 28, 28))
    scaled = to_original_size(found, (20, 50), (40, 100))
    assert scaled.boxes.tolist() == [[20, 20, 60, 40]]
    assert len(scaled.masks) == 1
