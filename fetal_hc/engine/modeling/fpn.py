"""Feature pyramid network, and features of regions from the level that fits their size.

References: Lin et al., Feature pyramid networks for object detection (CVPR 2017); equation 1 for the level.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.modeling.efficientnet import EfficientNetLite
from fetal_hc.engine.modeling.layers import Conv2d, init_xavier
from fetal_hc.engine.modeling.mobilenet import MobileNetV3
from fetal_hc.engine.modeling.resnet import ResNet
from fetal_hc.errors import ConfigError

# A region of this side in pixels is pooled from the level of this index (p4).
CANONICAL_SIZE_PX = 224
CANONICAL_LEVEL = 4


class FPN(nn.Module):
    """Maps {"p<k>": (N, C, H / 2**k, W / 2**k)} from fine to coarse, plus one more level by subsampling p5."""

    def __init__(self, bottom_up: ResNet | MobileNetV3 | EfficientNetLite, cfg: CfgNode) -> None:
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


BOTTOM_UP: dict[str, type[ResNet | MobileNetV3 | EfficientNetLite]] = {
    "build_resnet_fpn_backbone": ResNet,
    "build_mobilenet_v3_fpn_backbone": MobileNetV3,
    "build_efficientnet_lite_fpn_backbone": EfficientNetLite,
}


def build_backbone(cfg: CfgNode) -> FPN | ResNet:
    """The network that MODEL.BACKBONE.NAME chooses: a pyramid on a bottom-up network, or a ResNet alone (C4, DC5)."""
    if cfg.MODEL.BACKBONE.NAME == "build_resnet_backbone":
        return ResNet(cfg)
    return FPN(BOTTOM_UP[cfg.MODEL.BACKBONE.NAME](cfg), cfg)


class RegionPooler(nn.Module):
    """RoIAlign over several levels; ROIAlignV2 samples at pixel centres (`aligned`)."""

    def __init__(self, output_size: int, strides: list[int], sampling_ratio: int, pooler_type: str) -> None:
        super().__init__()
        self.output_size = output_size
        self.strides = strides
        self.sampling_ratio = sampling_ratio
        self.aligned = pooler_type == "ROIAlignV2"
        self.min_level, self.max_level = int(math.log2(strides[0])), int(math.log2(strides[-1]))

    def forward(self, features: list[Tensor], boxes: list[Tensor]) -> Tensor:
        """Features (R, C, S, S) of all regions of all images, in order, in float32."""
        indices = [torch.full_like(image_boxes[:, :1], index) for index, image_boxes in enumerate(boxes)]
        regions = torch.cat([torch.cat(indices), torch.cat(boxes)], dim=1)
        if len(features) == 1:
            return self._align(features[0], regions, self.strides[0])
        side = torch.sqrt((regions[:, 3] - regions[:, 1]) * (regions[:, 4] - regions[:, 2]))
        level = torch.floor(CANONICAL_LEVEL + torch.log2(side / CANONICAL_SIZE_PX + 1e-8))
        level = level.clamp(self.min_level, self.max_level).to(torch.int64) - self.min_level
        pooled = features[0].new_zeros(
            (regions.shape[0], features[0].shape[1], self.output_size, self.output_size), dtype=torch.float32
        )
        for index, (feature, stride) in enumerate(zip(features, self.strides, strict=True)):
            members = torch.nonzero(level == index).squeeze(1)
            pooled.index_put_((members,), self._align(feature, regions[members], stride))
        return pooled

    def _align(self, feature: Tensor, regions: Tensor, stride: int) -> Tensor:
        return roi_align(
            feature.float(), regions, self.output_size, 1.0 / stride, self.sampling_ratio, aligned=self.aligned
        )
