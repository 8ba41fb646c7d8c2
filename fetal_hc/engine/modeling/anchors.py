"""Anchors of every pyramid level in Detectron2's order and unrounded sizes; which boxes to learn from."""

from __future__ import annotations

import math
from collections.abc import Sequence

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


def match(
    iou: Tensor, thresholds: Sequence[float], labels: Sequence[int], *, allow_low_quality: bool
) -> tuple[Tensor, Tensor]:
    """Matched target index (R,) and label (R,) of R candidates from iou (T, R) with T targets.

    A candidate gets `labels[i]` for the interval of `thresholds` its best overlap falls in: 1 positive, 0 negative,
    -1 ignored. With `allow_low_quality`, the best candidates of each target (ties included) are positive too
    (Faster R-CNN, section 3.1.2, case i). Without targets all candidates get `labels[0]`.
    """
    if iou.numel() == 0:
        matches = iou.new_zeros((iou.shape[1],), dtype=torch.int64)
        return matches, matches.to(torch.int8) + labels[0]
    best, matches = iou.max(dim=0)
    edges = [-float("inf"), *thresholds, float("inf")]
    match_labels = torch.ones_like(matches, dtype=torch.int8)
    for label, low, high in zip(labels, edges[:-1], edges[1:], strict=True):
        match_labels[(best >= low) & (best < high)] = label
    if allow_low_quality:
        best_per_target = iou.max(dim=1).values
        match_labels[torch.nonzero(iou == best_per_target[:, None])[:, 1]] = 1
    return matches, match_labels


def subsample(labels: Tensor, n_samples: int, positive_fraction: float, background: int) -> tuple[Tensor, Tensor]:
    """Random indices of positives and negatives: at most `n_samples`, positives up to their fraction of it.

    labels (R,): -1 ignored, `background` negative, anything else positive. Missing positives are made up for by
    negatives. The calls to `randperm` come in Detectron2's order, so equal seeds give equal samples.
    """
    positive = torch.nonzero((labels != -1) & (labels != background)).squeeze(1)
    negative = torch.nonzero(labels == background).squeeze(1)
    n_positive = min(positive.numel(), int(n_samples * positive_fraction))
    n_negative = min(negative.numel(), n_samples - n_positive)
    chosen_positive = torch.randperm(positive.numel(), device=positive.device)[:n_positive]
    chosen_negative = torch.randperm(negative.numel(), device=negative.device)[:n_negative]
    return positive[chosen_positive], negative[chosen_negative]
