"""Second stage, masks: 3x3 convolutions, a 2x upsampling and one mask per class. Reference: He et al., Mask R-CNN."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.modeling.layers import Conv2d, init_msra, init_normal


class MaskHead(nn.Sequential):
    """Region features (R, C, S, S) -> mask logits (R, K, 2S, 2S), or (R, 1, 2S, 2S) when shared by the classes."""

    def __init__(self, cfg: CfgNode, in_channels: int) -> None:
        super().__init__()
        settings = cfg.MODEL.ROI_MASK_HEAD
        channels = in_channels
        for index in range(settings.NUM_CONV):
            conv = Conv2d(channels, settings.CONV_DIM, 3, norm=settings.NORM, relu=True)
            init_msra(conv)
            self.add_module(f"mask_fcn{index + 1}", conv)
            channels = settings.CONV_DIM
        self.deconv = nn.ConvTranspose2d(channels, settings.CONV_DIM, 2, stride=2)
        init_msra(self.deconv)
        self.deconv_relu = nn.ReLU()
        self.predictor = Conv2d(
            settings.CONV_DIM, 1 if settings.CLS_AGNOSTIC_MASK else cfg.MODEL.ROI_HEADS.NUM_CLASSES, 1
        )
        init_normal(self.predictor, std=0.001)


def mask_loss(logits: Tensor, classes: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross entropy of each region's own class channel against targets (R, M, M) in [0, 1]."""
    if logits.shape[0] == 0:
        return logits.sum() * 0.0
    chosen = _own_channel(logits, classes).float()
    return F.binary_cross_entropy_with_logits(chosen, targets.to(chosen), reduction="mean")


def mask_probabilities(logits: Tensor, classes: Tensor) -> Tensor:
    """Soft masks (R, M, M) in [0, 1] of each region's predicted class."""
    return _own_channel(logits, classes).float().sigmoid()


def _own_channel(logits: Tensor, classes: Tensor) -> Tensor:
    if logits.shape[1] == 1:
        return logits[:, 0]
    return logits[torch.arange(classes.shape[0], device=classes.device), classes]
