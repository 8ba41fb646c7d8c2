"""Region features from the pyramid level that fits each region's size (FPN paper, equation 1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

# A region of this side in pixels is pooled from the level of this index (p4).
CANONICAL_SIZE_PX = 224
CANONICAL_LEVEL = 4


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
