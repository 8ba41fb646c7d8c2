"""Networks, weights and inputs on which the built-in engine is compared with Detectron2, and fixtures are written.

Nothing here depends on a library's random numbers: weights and images follow from names and seeds through the raw
output of a bit generator, which NumPy promises to keep.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fetal_hc.engine.config import CfgNode, load_config
from fetal_hc.engine.structures import PolygonMasks, Targets
from fetal_hc_cli.training.architectures import ARCHITECTURES
from tests.fetal_hc.engine.inputs import SMALL, ellipse_polygon

R50_AS_IN_THE_ZOO = (
    *("MODEL.RESNETS.DEPTH", "50", "MODEL.RESNETS.RES2_OUT_CHANNELS", "256", "MODEL.RESNETS.NORM", "FrozenBN"),
    *("MODEL.RESNETS.STRIDE_IN_1X1", "True", "MODEL.BACKBONE.FREEZE_AT", "2", "INPUT.FORMAT", "BGR"),
    *("MODEL.PIXEL_MEAN", "[103.53, 116.28, 123.675]", "MODEL.PIXEL_STD", "[1.0, 1.0, 1.0]"),
)
MOBILENET_V3 = ("MODEL.BACKBONE.NAME", "build_mobilenet_v3_fpn_backbone")
GROUP_NORM = ("MODEL.RESNETS.NORM", "GN", "MODEL.FPN.NORM", "GN", "MODEL.ROI_MASK_HEAD.NORM", "GN")
# Changes to configs/hc18/mask_rcnn_R_18_FPN.yaml: ResNet-18 from random weights, BN, RGB, three levels, 56x56 masks.
VARIANTS: dict[str, tuple[str, ...]] = {
    "R18": (),
    "R50 as in the zoo": R50_AS_IN_THE_ZOO,
    "MobileNetV3": MOBILENET_V3,
    "R18, stages frozen": ("MODEL.BACKBONE.FREEZE_AT", "3", "MODEL.FPN.NORM", "FrozenBN"),
    "R18, group norm": GROUP_NORM,
    "averaged pyramid, shared boxes": (
        *("MODEL.FPN.NORM", "BN", "MODEL.ROI_MASK_HEAD.NORM", "BN", "MODEL.FPN.FUSE_TYPE", "avg"),
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
        *("MODEL.RPN.BBOX_REG_LOSS_TYPE", "diou", "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE", "diou"),
    ),
}
# ResNet-50 without pyramid, with a quarter of its channels.
_NO_PYRAMID = (
    *("MODEL.BACKBONE.NAME", "build_resnet_backbone", "MODEL.ANCHOR_GENERATOR.SIZES", "[[48, 96, 160, 256]]"),
    *("MODEL.RESNETS.DEPTH", "50", "MODEL.RESNETS.WIDTH_PER_GROUP", "16", "MODEL.RESNETS.RES2_OUT_CHANNELS", "64"),
)
VARIANTS |= {
    "C4": (
        *(*_NO_PYRAMID, "MODEL.RESNETS.OUT_FEATURES", "['res4']", "MODEL.RPN.IN_FEATURES", "['res4']"),
        *("MODEL.ROI_HEADS.NAME", "Res5ROIHeads", "MODEL.ROI_HEADS.IN_FEATURES", "['res4']"),
        *("MODEL.ROI_BOX_HEAD.NAME", "", "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION", "14"),
        *("MODEL.ROI_MASK_HEAD.NUM_CONV", "0", "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION", "14"),
    ),
    "DC5": (
        *(*_NO_PYRAMID, "MODEL.RESNETS.OUT_FEATURES", "['res5']", "MODEL.RPN.IN_FEATURES", "['res5']"),
        *("MODEL.RESNETS.RES5_DILATION", "2", "MODEL.ROI_HEADS.IN_FEATURES", "['res5']"),
    ),
    "cascade": (
        *("MODEL.ROI_HEADS.NAME", "CascadeROIHeads", "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", "True"),
        *("MODEL.ROI_HEADS.NUM_CLASSES", "2", "MODEL.ROI_BOX_CASCADE_HEAD.IOUS", "[0.5, 0.3, 0.2]"),
    ),
}
# What Detectron2 can follow (binary mask targets, contiguous memory), and a threshold that untrained scores pass.
COMPARABLE = (
    *("MODEL.CHANNELS_LAST", "False", "INPUT.SOFT_MASKS", "False", "MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.001"),
)
# All anchors and regions are trained on, so that losses do not depend on a library's random numbers.
NOTHING_SAMPLED = ("MODEL.RPN.BATCH_SIZE_PER_IMAGE", "65536", "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", "4096")
SGD = ("SOLVER.OPTIMIZER", "SGD")
SCHEDULES: dict[str, tuple[str, ...]] = {
    "steps": (
        "SOLVER.LR_SCHEDULER_NAME",
        "WarmupMultiStepLR",
        "SOLVER.STEPS",
        "[70, 110]",
        "SOLVER.WARMUP_ITERS",
        "20",
    ),
    "steps, constant warm-up": (
        *("SOLVER.LR_SCHEDULER_NAME", "WarmupMultiStepLR", "SOLVER.STEPS", "[15, 110]", "SOLVER.GAMMA", "0.3"),
        *("SOLVER.WARMUP_METHOD", "constant", "SOLVER.WARMUP_ITERS", "30", "SOLVER.WARMUP_FACTOR", "0.25"),
    ),
    "cosine": ("SOLVER.WARMUP_ITERS", "25"),
    "cosine to an end rate, no warm-up": ("SOLVER.BASE_LR_END", "0.0001", "SOLVER.WARMUP_ITERS", "0"),
    "warm-up beyond the end": ("SOLVER.WARMUP_ITERS", "1000"),
}
SCHEDULES = {name: (*SGD, *keys, "SOLVER.MAX_ITER", "130") for name, keys in SCHEDULES.items()}
GROUPINGS: dict[str, tuple[str, ...]] = {
    "default": (),
    "norms decay, biases learn faster": ("SOLVER.WEIGHT_DECAY_NORM", "0.002", "SOLVER.BIAS_LR_FACTOR", "2.0"),
    "biases do not decay": ("SOLVER.WEIGHT_DECAY_BIAS", "0.0"),
    "all decay alike": ("SOLVER.WEIGHT_DECAY_NORM", "0.05"),
}
# Network and way of grouping: every way for one network, every kind of norm for one way.
GROUPED = ("R50 as in the zoo", "MobileNetV3", "R18, stages frozen", "R18, group norm")
GROUP_CASES = [("R18", grouping) for grouping in GROUPINGS] + [(name, list(GROUPINGS)[1]) for name in GROUPED]
_CLIP = "SOLVER.CLIP_GRADIENTS"
CLIPPINGS: dict[str, tuple[str, ...]] = {
    "none": (f"{_CLIP}.ENABLED", "False"),
    "by value": (f"{_CLIP}.CLIP_TYPE", "value", f"{_CLIP}.CLIP_VALUE", "0.01"),
    "by norm": (f"{_CLIP}.CLIP_TYPE", "norm", f"{_CLIP}.CLIP_VALUE", "0.1", "SOLVER.NESTEROV", "True"),
    "by sum of magnitudes": (f"{_CLIP}.CLIP_TYPE", "norm", f"{_CLIP}.CLIP_VALUE", "0.5", f"{_CLIP}.NORM_TYPE", "1.0"),
}
SHORT_SGD = (
    *(*SGD, "SOLVER.BASE_LR", "0.1", "SOLVER.WEIGHT_DECAY", "0.01", "SOLVER.BIAS_LR_FACTOR", "2.0"),
    *("SOLVER.MAX_ITER", "4", "SOLVER.WARMUP_ITERS", "2", "SOLVER.WARMUP_FACTOR", "0.5", f"{_CLIP}.ENABLED", "True"),
)
SIZES_HW = ((96, 128), (90, 112))


def parity_config(*overrides: str) -> CfgNode:
    """The configuration that all variants change, with few channels, on the CPU."""
    file = Path(__file__).resolve().parents[3] / "configs" / "hc18" / "mask_rcnn_R_18_FPN.yaml"
    return load_config(ARCHITECTURES, file, ["MODEL.DEVICE", "cpu", *SMALL, *COMPARABLE, *overrides])


def uniform(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """float64 in [-1, 1) that follow from the key alone."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")
    raw = np.random.PCG64(seed).random_raw(math.prod(shape))
    return ((raw >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0).reshape(shape)


def fill_weights(model: nn.Module, seed: int = 0) -> None:
    """Weights that follow from names and seed: norms off the identity, features about 1, scores that differ."""
    for name, tensor in model.state_dict().items():
        leaf = name.rpartition(".")[2]
        if leaf == "num_batches_tracked":
            continue
        values = uniform(f"{seed} {name}", tuple(tensor.shape))
        if leaf == "running_var" or (leaf == "weight" and tensor.ndim == 1):
            values = 1.0 + 0.3 * values
        elif tensor.ndim == 1:
            values = 0.1 * values
        else:
            values *= _gain(name, float(model.pixel_std.mean())) * math.sqrt(3.0 / math.prod(tensor.shape[1:]))
        tensor.copy_(torch.from_numpy(values.astype(np.float32)))


def _gain(name: str, pixel_std: float) -> float:
    """Standard deviation of a layer's output for inputs of second moment 1."""
    if "stem" in name:
        return pixel_std / 60
    gains = {
        **{"cls_score": 4.0, "objectness_logits": 2.0, "anchor_deltas": 0.3, "bbox_pred": 1.0, "predictor": 4.0},
        **{"fpn": 0.7, "conv2": 0.6, "conv3": 0.6},  # what sums add up is kept small
    }
    return next((gain for part, gain in gains.items() if part in name), 1.3)


def randomise_norms(model: nn.Module) -> None:
    """Norms that are not the identity, so that a mix-up of statistics shows."""
    for module in model.modules():
        if hasattr(module, "running_var") or isinstance(module, nn.GroupNorm):
            module.weight.data.uniform_(0.8, 1.2)
            module.bias.data.normal_(0, 0.1)
        if hasattr(module, "running_var"):
            module.running_mean.data.normal_(0, 0.1)
            module.running_var.data.uniform_(0.5, 1.5)


def model_inputs() -> list[dict[str, Any]]:
    """Two images of different sizes, blocks of random grey under an ellipse, with that ellipse to find."""
    return [_model_input(index, image_hw) for index, image_hw in enumerate(SIZES_HW)]


def _model_input(index: int, image_hw: tuple[int, int]) -> dict[str, Any]:
    height, width = image_hw
    blocks = np.floor(128 + 60 * uniform(f"image {index}", (3, 12, 16)))
    image = np.kron(blocks, np.ones((8, 8)))[:, :height, :width]
    center_x, center_y, semi_axis_a, semi_axis_b = 60.0 - 6 * index, 50.0 - 5 * index, 36.0, 28.0
    y, x = np.mgrid[:height, :width] + 0.5
    inside = ((x - center_x) / semi_axis_a) ** 2 + ((y - center_y) / semi_axis_b) ** 2 < 1
    image = np.where(inside, np.floor(image / 2) + 100, image)
    box = [center_x - semi_axis_a, center_y - semi_axis_b, center_x + semi_axis_a, center_y + semi_axis_b]
    targets = Targets(
        torch.tensor([box]),
        torch.tensor([0]),
        PolygonMasks([[ellipse_polygon(center_x, center_y, semi_axis_a, semi_axis_b)]]),
        torch.tensor([True]),
    )
    tensor = torch.from_numpy(image.astype(np.float32))
    return {"image": tensor, "height": 2 * height, "width": 2 * width, "targets": targets}
