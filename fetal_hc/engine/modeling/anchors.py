"""Anchors of every pyramid level, in Detectron2's order and with its unrounded sizes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from fetal_hc.engine.config import CfgNode


class AnchorGenerator(nn.Module):
    """Anchors (H * W * A, 4) per level; rows run over y, x, size, aspect ratio (h / w), ratio fastest."""

    def __init__(self, cfg: CfgNode, strides: list[int]) -> None:
        super().__init__()
        settings = cfg.MODEL.ANCHOR_GENERATOR
        sizes = settings.SIZES * len(strides) if len(settings.SIZES) == 1 else settings.SIZES
        ratios = settings.ASPECT_RATIOS
        ratios = ratios * len(strides) if len(ratios) == 1 else ratios
        self.strides = strides
        self.offset = settings.OFFSET
        for level, (level_sizes, level_ratios) in enumerate(zip(sizes, ratios, strict=True)):
            self.register_buffer(f"cell_{level}", _cell_anchors(level_sizes, level_ratios), persistent=False)
        self.anchors_per_cell = len(sizes[0]) * len(ratios[0])

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        anchors = []
        for level, (feature, stride) in enumerate(zip(features, self.strides, strict=True)):
            cell: Tensor = getattr(self, f"cell_{level}")
            height, width = feature.shape[-2:]
            ys = (torch.arange(height, device=cell.device, dtype=torch.float32) + self.offset) * stride
            xs = (torch.arange(width, device=cell.device, dtype=torch.float32) + self.offset) * stride
            y, x = torch.meshgrid(ys, xs, indexing="ij")
            shifts = torch.stack((x, y, x, y), dim=-1).reshape(-1, 1, 4)
            anchors.append((shifts + cell).reshape(-1, 4))
        return anchors


def _cell_anchors(sizes: list[float], ratios: list[float]) -> Tensor:
    rows = []
    for size in sizes:
        for ratio in ratios:
            width = math.sqrt(size**2 / ratio)
            height = ratio * width
            rows.append([-width / 2, -height / 2, width / 2, height / 2])
    return torch.tensor(rows)
