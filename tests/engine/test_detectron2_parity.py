"""The built-in engine against Detectron2 itself: names, losses, gradients, detections, for the same weights.

One thread and equal kernels give equal bits, so the tolerances below are those of sums taken in another order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from engine.config import CfgNode
from engine.modeling import build_model
from tests.engine.conftest import make_input

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]

VARIANTS = {
    "R18": (),
    "R50 as in the zoo": (
        *("MODEL.RESNETS.DEPTH", "50", "MODEL.RESNETS.RES2_OUT_CHANNELS", "256", "MODEL.RESNETS.NORM", "FrozenBN"),
        *("MODEL.RESNETS.STRIDE_IN_1X1", "True", "MODEL.BACKBONE.FREEZE_AT", "2", "INPUT.FORMAT", "BGR"),
    ),
    "group norm, averaged pyramid, shared boxes": (
        *("MODEL.FPN.NORM", "GN", "MODEL.ROI_MASK_HEAD.NORM", "GN", "MODEL.FPN.FUSE_TYPE", "avg"),
        *("MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", "True", "MODEL.RPN.CONV_DIMS", "[64,-1]"),
        *("MODEL.ROI_BOX_HEAD.NUM_CONV", "2", "MODEL.ROI_BOX_HEAD.NUM_FC", "1", "MODEL.ROI_BOX_HEAD.CONV_DIM", "32"),
    ),
    "three classes, giou and ciou, legacy pooling": (
        *("MODEL.ROI_HEADS.NUM_CLASSES", "3", "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE", "giou"),
        *("MODEL.RPN.BBOX_REG_LOSS_TYPE", "ciou", "MODEL.ROI_MASK_HEAD.POOLER_TYPE", "ROIAlign"),
        *("MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO", "2", "MODEL.ANCHOR_GENERATOR.OFFSET", "0.5"),
    ),
    "28x28 masks shared by the classes": (
        *("MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION", "14", "MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK", "True"),
        *("MODEL.ROI_HEADS.NUM_CLASSES", "2", "MODEL.PROPOSAL_GENERATOR.MIN_SIZE", "10"),
    ),
}


def merge_known(node: Any, tree: dict[str, Any]) -> None:
    """Copy the values whose keys Detectron2 has."""
    for key, value in tree.items():
        if key in node:
            if isinstance(value, dict):
                merge_known(node[key], value)
            else:
                node[key] = value


def randomise_norms(model: torch.nn.Module) -> None:
    """Norms that are not the identity, so that a mix-up of statistics shows."""
    for module in model.modules():
        if hasattr(module, "running_var") or isinstance(module, torch.nn.GroupNorm):
            module.weight.data.uniform_(0.8, 1.2)
            module.bias.data.normal_(0, 0.1)
        if hasattr(module, "running_var"):
            module.running_mean.data.normal_(0, 0.1)
            module.running_var.data.uniform_(0.5, 1.5)


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS.keys())
def pair(request: pytest.FixtureRequest, make_config: Callable[..., CfgNode]) -> tuple[Any, Any]:
    """Our network and Detectron2's with the same weights, which load strict."""
    from detectron2.config import get_cfg
    from detectron2.modeling import build_model as build_theirs

    cfg = make_config("MODEL.CHANNELS_LAST", "False", "INPUT.SOFT_MASKS", "False", *request.param)
    their_cfg = get_cfg()
    merge_known(their_cfg, cfg.to_dict())
    torch.manual_seed(0)
    ours, theirs = build_model(cfg), build_theirs(their_cfg)
    randomise_norms(ours)
    ours.roi_heads.box_predictor.cls_score.weight.data *= 30
    theirs.load_state_dict(ours.state_dict(), strict=True)
    return ours, theirs


def to_detectron2(item: dict[str, Any]) -> dict[str, Any]:
    """The same model input with Detectron2's own containers."""
    from detectron2.structures import Boxes, Instances, PolygonMasks

    instances = Instances(tuple(item["image"].shape[-2:]))
    instances.gt_boxes = Boxes(item["targets"].boxes)
    instances.gt_classes = item["targets"].classes
    instances.gt_masks = PolygonMasks(item["targets"].masks.polygons)
    return {"image": item["image"], "height": item["height"], "width": item["width"], "instances": instances}


def inputs() -> list[dict[str, Any]]:
    """Two images of different sizes."""
    return [make_input(0, with_targets=True), make_input(1, (90, 112), with_targets=True)]


def test_losses_and_gradients_are_equal(pair: tuple[Any, Any]) -> None:
    from detectron2.utils.events import EventStorage

    ours, theirs = pair
    torch.manual_seed(5)
    our_losses = ours(inputs())
    torch.manual_seed(5)
    with EventStorage():
        their_losses = theirs([to_detectron2(item) for item in inputs()])
    assert set(our_losses) == set(their_losses)
    for name, loss in their_losses.items():
        torch.testing.assert_close(our_losses[name], loss, rtol=1e-5, atol=1e-6)
    sum(our_losses.values()).backward()
    sum(their_losses.values()).backward()
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        if parameter.grad is None:
            assert gradients[name] is None
            continue
        scale = gradients[name].norm() + 1e-12
        assert ((parameter.grad - gradients[name]).norm() / scale).item() < 1e-4, name


def test_detections_are_equal(pair: tuple[Any, Any]) -> None:
    ours, theirs = (model.eval() for model in pair)
    items = [to_detectron2(item) for item in inputs()]
    with torch.no_grad():
        found = ours(inputs())
        images = theirs.preprocess_image(items)
        features = theirs.backbone(images.tensor)
        proposals, _ = theirs.proposal_generator(images, features, None)
        expected, _ = theirs.roi_heads(images, features, proposals, None)
    assert sum(len(image) for image in expected) > 0
    for our_image, their_image, item in zip(found, expected, items, strict=True):
        height, width = their_image.image_size
        boxes = their_image.pred_boxes
        boxes.scale(item["width"] / width, item["height"] / height)
        boxes.clip((item["height"], item["width"]))
        keep = boxes.nonempty()
        torch.testing.assert_close(our_image.boxes, boxes.tensor[keep], atol=1e-4, rtol=0)
        torch.testing.assert_close(our_image.scores, their_image.scores[keep], atol=1e-6, rtol=0)
        torch.testing.assert_close(our_image.masks, their_image.pred_masks[keep, 0], atol=1e-6, rtol=0)
        assert our_image.classes.tolist() == their_image.pred_classes[keep].tolist()
