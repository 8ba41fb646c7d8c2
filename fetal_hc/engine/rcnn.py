"""Mask R-CNN as an `Architecture`: the one model that both the built-in engine and Detectron2 train."""

from __future__ import annotations

from typing import Any

from fetal_hc.engine.architecture import Architecture
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.config.defaults import DETECTRON2_DEFAULTS
from fetal_hc.engine.data.mapper import DatasetMapper
from fetal_hc.engine.evaluation.coco import build_coco_evaluator
from fetal_hc.engine.export.onnx_export import export_model
from fetal_hc.engine.modeling.rcnn import GeneralizedRCNN

CONFIG: dict[str, Any] = {
    # Factor on all channel counts of the MobileNetV3-Large backbone (the paper's width multiplier).
    "MODEL": {"MOBILENET": {"WIDTH_MULT": 1.0}},
}
_NORMS = ("", "BN", "SyncBN", "FrozenBN", "GN")
CHOICES: dict[str, tuple[Any, ...]] = {
    "MODEL.BACKBONE.NAME": ("build_resnet_fpn_backbone", "build_mobilenet_v3_fpn_backbone"),
    "MODEL.PROPOSAL_GENERATOR.NAME": ("RPN",),
    "MODEL.ANCHOR_GENERATOR.NAME": ("DefaultAnchorGenerator",),
    "MODEL.RPN.HEAD_NAME": ("StandardRPNHead",),
    "MODEL.RPN.BBOX_REG_LOSS_TYPE": ("smooth_l1", "giou", "diou", "ciou"),
    "MODEL.ROI_HEADS.NAME": ("StandardROIHeads",),
    "MODEL.ROI_BOX_HEAD.NAME": ("FastRCNNConvFCHead",),
    "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE": ("smooth_l1", "giou", "diou", "ciou"),
    "MODEL.ROI_BOX_HEAD.POOLER_TYPE": ("ROIAlignV2", "ROIAlign"),
    "MODEL.ROI_BOX_HEAD.NORM": _NORMS,
    "MODEL.ROI_MASK_HEAD.NAME": ("MaskRCNNConvUpsampleHead",),
    "MODEL.ROI_MASK_HEAD.POOLER_TYPE": ("ROIAlignV2", "ROIAlign"),
    "MODEL.ROI_MASK_HEAD.NORM": _NORMS,
    "MODEL.RESNETS.DEPTH": (18, 34, 50, 101),
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
