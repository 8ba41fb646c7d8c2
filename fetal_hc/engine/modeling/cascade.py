"""Second stage that refines the boxes several times, each time with a stricter idea of what counts as found.

Reference: Cai and Vasconcelos, Cascade R-CNN (CVPR 2018).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.modeling.box_head import BoxHead, BoxPredictor, FoundBoxes
from fetal_hc.engine.modeling.boxes import clip_boxes, nonempty
from fetal_hc.engine.modeling.roi_heads import (
    SampledRegions,
    StandardROIHeads,
    concatenate,
    regions_of,
)
from fetal_hc.engine.structures import Targets


class CascadeROIHeads(StandardROIHeads):
    """Box heads in a row, each on the boxes of the one before; `box_head.0`, `box_predictor.0`, ...

    The first stage trains on the sampled proposals, as `StandardROIHeads` does; a later one on all boxes of the stage
    before, matched with its own overlap of ROI_BOX_CASCADE_HEAD.IOUS. Detections have the mean of all stages' scores
    and the boxes of the last one.
    """

    def _build_box_branch(self, cfg: CfgNode, in_channels: int) -> None:
        cascade = cfg.MODEL.ROI_BOX_CASCADE_HEAD
        self.ious: list[float] = list(cascade.IOUS)
        heads = [BoxHead(cfg, in_channels) for _ in self.ious]
        self.box_head = nn.ModuleList(heads)
        self.box_predictor = nn.ModuleList(
            BoxPredictor(cfg, head.out_dim, weights)
            for head, weights in zip(heads, cascade.BBOX_REG_WEIGHTS, strict=True)
        )

    def _box_losses(
        self,
        levels: list[Tensor],
        regions: list[SampledRegions],
        image_sizes: list[tuple[int, int]],
        targets: list[Targets],
    ) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        for stage, predictor in enumerate(self.box_predictor):
            scores, deltas = self._run_stage(stage, levels, [region.boxes for region in regions])
            stage_losses = predictor.losses(scores, deltas, *concatenate(regions))
            losses |= {f"{name}_stage{stage}": loss for name, loss in stage_losses.items()}
            if stage + 1 < len(self.ious):
                boxes = self._next_boxes(stage, deltas, [region.boxes for region in regions], image_sizes)
                regions = [
                    self._match(stage + 1, image_boxes[nonempty(image_boxes)], target)
                    for image_boxes, target in zip(boxes, targets, strict=True)
                ]
        return losses

    def _detect_boxes(
        self, levels: list[Tensor], proposals: list[Tensor], image_sizes: list[tuple[int, int]]
    ) -> list[FoundBoxes]:
        counts = [boxes.shape[0] for boxes in proposals]
        probabilities: list[Tensor] = []
        boxes = proposals
        for stage in range(len(self.ious)):
            scores, deltas = self._run_stage(stage, levels, boxes)
            probabilities.append(F.softmax(scores, dim=-1))
            # The boxes of the last stage are clipped where they are selected, after the check for overflow.
            is_last = stage + 1 == len(self.ious)
            boxes = self._next_boxes(stage, deltas, boxes, [None] * len(boxes) if is_last else image_sizes)
        mean = sum(probabilities[1:], probabilities[0]) * (1.0 / len(probabilities))
        last: Any = self.box_predictor[-1]
        return [
            last.detect(image_probabilities, image_boxes, image_hw)
            for image_probabilities, image_boxes, image_hw in zip(mean.split(counts), boxes, image_sizes, strict=True)
        ]

    def _run_stage(self, stage: int, levels: list[Tensor], boxes: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Scores and deltas of all images."""
        pooled = self.box_pooler(levels, boxes)
        if self.training:
            pooled = _ScaledGradient.apply(pooled, 1.0 / len(self.ious))
        scores, deltas = self.box_predictor[stage](self.box_head[stage](pooled))
        return scores, deltas

    @torch.no_grad()
    def _next_boxes(self, stage: int, deltas: Tensor, boxes: list[Tensor], image_sizes: list[Any]) -> list[Tensor]:
        """Refined boxes of each image, clipped to it where its size is given."""
        predictor: Any = self.box_predictor[stage]
        refined = predictor.transform.decode(deltas, torch.cat(boxes)).split(
            [image_boxes.shape[0] for image_boxes in boxes]
        )
        return [
            image_boxes if image_hw is None else clip_boxes(image_boxes, image_hw)
            for image_boxes, image_hw in zip(refined, image_sizes, strict=True)
        ]

    def _match(self, stage: int, boxes: Tensor, target: Targets) -> SampledRegions:
        """All boxes of one image as regions of a later stage."""
        matches, classes = self._label(boxes, target, [self.ious[stage]], [0, 1])
        return regions_of(boxes, classes, matches, target)


class _ScaledGradient(torch.autograd.Function):
    """Identity whose gradient is scaled: the stages add up their losses, but shall not pull harder at the features."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return gradient * ctx.scale, None
