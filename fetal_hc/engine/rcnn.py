"""Mask R-CNN as an `Architecture`: the one model that both the built-in engine and Detectron2 train."""

from __future__ import annotations

from typing import Any

from fetal_hc.engine.architecture import Architecture
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.config.defaults import DETECTRON2_DEFAULTS
from fetal_hc.engine.data.mapper import DatasetMapper
from fetal_hc.engine.evaluation.coco import build_coco_evaluator
from fetal_hc.engine.export.onnx_export import export_model
from fetal_hc.engine.modeling.fpn import BOTTOM_UP
from fetal_hc.engine.modeling.rcnn import ROI_HEADS, GeneralizedRCNN

CONFIG: dict[str, Any] = {
    "MODEL": {
        # Compute 3x3 convolutions by Winograd's algorithm in trainings in float32 on a CPU: fewer multiplications and
        # equal results but for rounding (2e-6 of their norm). The built-in engine alone acts upon it.
        "WINOGRAD": False,
        # Factor on all channel counts of the MobileNetV3-Large backbone (the paper's width multiplier).
        "MOBILENET": {"WIDTH_MULT": 1.0},
        # 0 to 4: size of the EfficientNet-Lite backbone (timm's tf_efficientnet_liteN).
        "EFFICIENTNET_LITE": {"VARIANT": 0},
    },
}
PYRAMIDS = tuple(BOTTOM_UP)
_NORMS = ("", "BN", "SyncBN", "FrozenBN", "GN")
CHOICES: dict[str, tuple[Any, ...]] = {
    "MODEL.BACKBONE.NAME": (*PYRAMIDS, "build_resnet_backbone"),
    "MODEL.PROPOSAL_GENERATOR.NAME": ("RPN",),
    "MODEL.ANCHOR_GENERATOR.NAME": ("DefaultAnchorGenerator",),
    "MODEL.RPN.HEAD_NAME": ("StandardRPNHead",),
    "MODEL.RPN.BBOX_REG_LOSS_TYPE": ("smooth_l1", "giou", "diou", "ciou"),
    "MODEL.ROI_HEADS.NAME": tuple(ROI_HEADS),
    "MODEL.ROI_BOX_HEAD.NAME": ("FastRCNNConvFCHead", ""),
    "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE": ("smooth_l1", "giou", "diou", "ciou"),
    "MODEL.ROI_BOX_HEAD.POOLER_TYPE": ("ROIAlignV2", "ROIAlign"),
    "MODEL.ROI_BOX_HEAD.NORM": _NORMS,
    "MODEL.ROI_MASK_HEAD.NAME": ("MaskRCNNConvUpsampleHead",),
    "MODEL.ROI_MASK_HEAD.POOLER_TYPE": ("ROIAlignV2", "ROIAlign"),
    "MODEL.ROI_MASK_HEAD.NORM": _NORMS,
    "MODEL.EFFICIENTNET_LITE.VARIANT": (0, 1, 2, 3, 4),
    "MODEL.RESNETS.DEPTH": (18, 34, 50, 101),
    "MODEL.RESNETS.RES5_DILATION": (1, 2),
    "MODEL.RESNETS.NORM": _NORMS,
    "MODEL.FPN.FUSE_TYPE": ("sum", "avg"),
    "MODEL.FPN.NORM": _NORMS,
}


def check_config(cfg: CfgNode) -> list[str]:
    """One message for every combination of keys that no Mask R-CNN can be built from."""
    problems, model = [], cfg.MODEL
    if model.RESNETS.DEPTH in (18, 34) and model.RESNETS.RES2_OUT_CHANNELS != 64:
        problems.append("MODEL.RESNETS.RES2_OUT_CHANNELS: must be 64 for ResNet-18 and ResNet-34")
    n_levels = len(model.RPN.IN_FEATURES)
    for name in ("SIZES", "ASPECT_RATIOS"):
        n_lists = len(model.ANCHOR_GENERATOR[name])
        if n_lists not in (1, n_levels):
            problems.append(f"MODEL.ANCHOR_GENERATOR.{name}: {n_lists} lists for {n_levels} RPN.IN_FEATURES")
    if model.ROI_HEADS.NUM_CLASSES < 1:
        problems.append(f"MODEL.ROI_HEADS.NUM_CLASSES: {model.ROI_HEADS.NUM_CLASSES} must be at least 1")
    return [*problems, *_check_backbone(model), *_check_heads(model)]


def _check_backbone(model: CfgNode) -> list[str]:
    """Problems of networks without a pyramid (C4, DC5), and of dilation."""
    problems = []
    if model.RESNETS.RES5_DILATION != 1 and (model.BACKBONE.NAME in PYRAMIDS or model.RESNETS.DEPTH in (18, 34)):
        problems.append("MODEL.RESNETS.RES5_DILATION: 2 needs ResNet-50 or 101 and build_resnet_backbone")
    if model.BACKBONE.NAME not in PYRAMIDS:
        features = model.RESNETS.OUT_FEATURES
        for key in ("RPN", "ROI_HEADS"):
            if absent := [name for name in model[key].IN_FEATURES if name not in features]:
                problems.append(f"MODEL.{key}.IN_FEATURES: {absent} are not in MODEL.RESNETS.OUT_FEATURES {features}")
    return problems


def _check_heads(model: CfgNode) -> list[str]:
    """Problems of the second stage."""
    problems, name = [], model.ROI_HEADS.NAME
    if name == "Res5ROIHeads":
        if list(model.ROI_HEADS.IN_FEATURES) != ["res4"] or model.RESNETS.DEPTH in (18, 34):
            problems.append("MODEL.ROI_HEADS.NAME: Res5ROIHeads needs ROI_HEADS.IN_FEATURES [res4] of ResNet-50 or 101")
    elif not model.ROI_BOX_HEAD.NAME:
        problems.append(f"MODEL.ROI_BOX_HEAD.NAME: {name} needs FastRCNNConvFCHead")
    if name == "CascadeROIHeads":
        ious, weights = model.ROI_BOX_CASCADE_HEAD.IOUS, model.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS
        if not model.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG:
            problems.append("MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG: CascadeROIHeads needs True")
        if not ious or len(ious) != len(weights) or ious[:1] != model.ROI_HEADS.IOU_THRESHOLDS[:1]:
            problems.append(
                f"MODEL.ROI_BOX_CASCADE_HEAD: needs as many IOUS ({len(ious)}) as BBOX_REG_WEIGHTS ({len(weights)}), "
                "and as the first overlap the one of ROI_HEADS.IOU_THRESHOLDS"
            )
    return problems


ARCHITECTURE = Architecture(
    name=DETECTRON2_DEFAULTS["MODEL"]["META_ARCHITECTURE"],
    model=GeneralizedRCNN,
    mapper=DatasetMapper,
    evaluators={"coco": build_coco_evaluator},
    config=(CONFIG,),
    choices=CHOICES,
    check_config=check_config,
    class_count_key="MODEL.ROI_HEADS.NUM_CLASSES",
    groups_by_aspect_ratio=True,
    has_detectron2_twin=True,
    export=export_model,
)
