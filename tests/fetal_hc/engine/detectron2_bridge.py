"""Detectron2's side of the comparisons: the same configuration, weights and inputs in its own containers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.structures import Detections, Targets


def to_detectron2_config(cfg: CfgNode) -> Any:
    """Detectron2's configuration with the values of ours, open to changes."""
    from fetal_hc.engine.d2_backend import config

    their_cfg = config.to_detectron2_config(cfg).clone()
    their_cfg.defrost()
    return their_cfg


def build_detectron2(cfg: CfgNode) -> nn.Module:
    """Detectron2's own network for our configuration; of ours it takes only the MobileNet backbone."""
    from detectron2.modeling import build_model

    from fetal_hc.engine.d2_backend.components import register_components

    register_components()
    return build_model(to_detectron2_config(cfg))


def to_detectron2_input(item: dict[str, Any]) -> dict[str, Any]:
    """The same model input in Detectron2's containers."""
    given = {key: item[key] for key in ("image", "height", "width")}
    if "targets" in item:
        given["instances"] = to_instances(item["targets"], tuple(item["image"].shape[-2:]))
    return given


def to_instances(targets: Targets, image_hw: tuple[int, int]) -> Any:
    """Training targets as Detectron2's instances with polygons."""
    from detectron2.structures import Boxes, Instances, PolygonMasks

    instances = Instances(image_hw)
    instances.gt_boxes = Boxes(targets.boxes)
    instances.gt_classes = targets.classes
    instances.gt_masks = PolygonMasks(targets.masks.polygons)
    return instances


@torch.no_grad()
def detect_with_detectron2(model: nn.Module, items: Sequence[dict[str, Any]]) -> list[Detections]:
    """Detectron2's detections in original pixels, masks still soft, by its own rules of scaling and clipping."""
    found = model.inference([to_detectron2_input(item) for item in items], do_postprocess=False)
    detections = []
    for instances, item in zip(found, items, strict=True):
        height, width = instances.image_size
        boxes = instances.pred_boxes
        boxes.scale(item["width"] / width, item["height"] / height)
        boxes.clip((item["height"], item["width"]))
        kept = instances[boxes.nonempty()]
        detections.append(Detections(kept.pred_boxes.tensor, kept.scores, kept.pred_classes, kept.pred_masks[:, 0]))
    return detections
