"""The parts that Detectron2 lacks, registered with it by a call, and the network built from them."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, ROI_MASK_HEAD_REGISTRY, Backbone
from detectron2.modeling import build_model as build_registered_model
from detectron2.modeling.backbone.fpn import FPN, LastLevelMaxPool
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads.mask_head import MaskRCNNConvUpsampleHead, mask_rcnn_loss
from detectron2.structures import Instances
from torch import Tensor, nn

from fetal_hc.engine.d2_backend.config import needs_own_mapper
from fetal_hc.engine.modeling.efficientnet import EfficientNetLite
from fetal_hc.engine.modeling.mobilenet import MobileNetV3


class _OutputShapes:
    """The description of a backbone's outputs that Detectron2 asks for."""

    channels: dict[str, int]
    strides: dict[str, int]
    out_features: tuple[str, ...]

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of every feature map."""
        return {name: ShapeSpec(channels=self.channels[name], stride=self.strides[name]) for name in self.out_features}


class MobileNetBackbone(_OutputShapes, MobileNetV3, Backbone):
    """The built-in engine's MobileNetV3-Large as a backbone of Detectron2."""


class EfficientNetLiteBackbone(_OutputShapes, EfficientNetLite, Backbone):
    """The built-in engine's EfficientNet-Lite as a backbone of Detectron2."""


def build_mobilenet_v3_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """MODEL.BACKBONE.NAME `build_mobilenet_v3_fpn_backbone`."""
    return _pyramid_on(MobileNetBackbone(cfg), cfg)


def build_efficientnet_lite_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """MODEL.BACKBONE.NAME `build_efficientnet_lite_fpn_backbone`."""
    return _pyramid_on(EfficientNetLiteBackbone(cfg), cfg)


def _pyramid_on(bottom_up: Backbone, cfg: CfgNode) -> FPN:
    return FPN(
        bottom_up=bottom_up,
        in_features=cfg.MODEL.FPN.IN_FEATURES,
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=LastLevelMaxPool(),
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )


class CoverageMaskHead(MaskRCNNConvUpsampleHead):
    """Detectron2's mask head for soft targets too: the loss is taken in float32, over regions that have a mask."""

    def forward(self, x: Tensor, instances: list[Instances]) -> Any:
        if not self.training:
            return super().forward(x, instances)
        logits = self.layers(x).float()
        masked = [item for item in instances if len(item)]  # without ground truth there is no gt_masks field
        has_mask = [item.gt_masks.has_mask for item in masked]
        chosen = logits[torch.cat(has_mask)] if masked else logits
        regions = [item[rows] for item, rows in zip(masked, has_mask, strict=True)]
        return {"loss_mask": mask_rcnn_loss(chosen, regions, self.vis_period) * self.loss_weight}


def register_components() -> None:
    """Makes the parts known to Detectron2's registries; calling it again changes nothing."""
    for registry, part in (
        (BACKBONE_REGISTRY, build_mobilenet_v3_fpn_backbone),
        (BACKBONE_REGISTRY, build_efficientnet_lite_fpn_backbone),
        (ROI_MASK_HEAD_REGISTRY, CoverageMaskHead),
    ):
        if part.__name__ not in registry:
            registry.register(part)


def build_model(cfg: CfgNode) -> nn.Module:
    """Detectron2's network of a configuration, on MODEL.DEVICE, with the parameter names of the built-in engine.

    The mask head is the one for soft targets where the project's mapper makes them. Regions are pooled in float32:
    under AMP Detectron2 would round their corners to the precision of the features, up to a pixel in bfloat16.
    """
    register_components()
    own = cfg.clone()
    own.defrost()
    if MaskRCNNConvUpsampleHead.__name__ == own.MODEL.ROI_MASK_HEAD.NAME and not needs_own_mapper(cfg):
        own.MODEL.ROI_MASK_HEAD.NAME = CoverageMaskHead.__name__
    model = pool_in_float32(build_registered_model(own))
    if cfg.MODEL.CHANNELS_LAST:
        model = model.to(memory_format=torch.channels_last)
    return model


def pool_in_float32(model: nn.Module) -> nn.Module:
    """The network itself, whose region pooling now computes in float32 under AMP."""
    for module in model.modules():
        if isinstance(module, ROIPooler):
            module.register_forward_pre_hook(_features_in_float32)
    return model


def _features_in_float32(_module: nn.Module, arguments: tuple[list[Tensor], Any]) -> tuple[list[Tensor], Any]:
    features, boxes = arguments
    return [feature.float() for feature in features], boxes
