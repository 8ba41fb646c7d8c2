"""Feature pyramid network. Reference: Lin et al., Feature pyramid networks for object detection (CVPR 2017)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.modeling.layers import Conv2d, init_xavier
from fetal_hc.engine.modeling.mobilenet import MobileNetV3
from fetal_hc.engine.modeling.resnet import ResNet
from fetal_hc.errors import ConfigError


class FPN(nn.Module):
    """Maps {"p<k>": (N, C, H / 2**k, W / 2**k)} from fine to coarse, plus one more level by subsampling p5."""

    def __init__(self, bottom_up: ResNet | MobileNetV3, cfg: CfgNode) -> None:
        super().__init__()
        fpn = cfg.MODEL.FPN
        self.bottom_up = bottom_up
        self.in_features = list(fpn.IN_FEATURES)
        self.average = fpn.FUSE_TYPE == "avg"
        self.stages = [int(name[3:]) for name in self.in_features]
        if self.stages != list(range(self.stages[0], self.stages[0] + len(self.stages))) or self.stages[-1] != 5:
            raise ConfigError(f"MODEL.FPN.IN_FEATURES: {self.in_features} must be neighbouring stages that end at res5")
        for stage, name in zip(self.stages, self.in_features, strict=True):
            lateral = Conv2d(bottom_up.channels[name], fpn.OUT_CHANNELS, 1, norm=fpn.NORM)
            output = Conv2d(fpn.OUT_CHANNELS, fpn.OUT_CHANNELS, 3, norm=fpn.NORM)
            init_xavier(lateral)
            init_xavier(output)
            self.add_module(f"fpn_lateral{stage}", lateral)
            self.add_module(f"fpn_output{stage}", output)
        self.strides = {f"p{stage}": 2**stage for stage in (*self.stages, 6)}
        self.channels = dict.fromkeys(self.strides, int(fpn.OUT_CHANNELS))
        # Input sides are padded to a multiple of the last bottom-up stride.
        self.size_divisibility = 2 ** self.stages[-1]

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        bottom_up = self.bottom_up(x)
        outputs: dict[str, Tensor] = {}
        previous: Tensor | None = None
        for stage, name in zip(reversed(self.stages), reversed(self.in_features), strict=True):
            merged = getattr(self, f"fpn_lateral{stage}")(bottom_up[name])
            if previous is not None:
                merged = merged + F.interpolate(previous, scale_factor=2.0, mode="nearest")
                if self.average:
                    merged = merged / 2
            previous = merged
            outputs[f"p{stage}"] = getattr(self, f"fpn_output{stage}")(merged)
        outputs = {f"p{stage}": outputs[f"p{stage}"] for stage in self.stages}
        outputs["p6"] = F.max_pool2d(outputs["p5"], kernel_size=1, stride=2)
        return outputs


def build_backbone(cfg: CfgNode) -> FPN | ResNet:
    """The network that MODEL.BACKBONE.NAME chooses: a pyramid on a bottom-up network, or a ResNet alone (C4, DC5)."""
    if cfg.MODEL.BACKBONE.NAME == "build_resnet_backbone":
        return ResNet(cfg)
    is_mobilenet = cfg.MODEL.BACKBONE.NAME == "build_mobilenet_v3_fpn_backbone"
    return FPN(MobileNetV3(cfg) if is_mobilenet else ResNet(cfg), cfg)
