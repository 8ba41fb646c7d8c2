"""Region proposal network: head, proposals and losses. Reference: Ren et al., Faster R-CNN (NeurIPS 2015)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.modeling.anchors import AnchorGenerator, match, subsample
from fetal_hc.engine.modeling.boxes import (
    BoxTransform,
    box_regression_loss,
    clip_boxes,
    nonempty,
    pairwise_iou,
    suppress,
)
from fetal_hc.engine.modeling.layers import Conv2d, init_normal
from fetal_hc.engine.structures import Targets


class RPNHead(nn.Module):
    """3x3 convolution(s), then per anchor one objectness logit and four deltas."""

    def __init__(self, in_channels: int, conv_dims: list[int], anchors_per_cell: int) -> None:
        super().__init__()
        channels = in_channels
        convs = nn.Sequential()
        for index, dim in enumerate(conv_dims):
            out_channels = channels if dim == -1 else dim
            convs.add_module(f"conv{index}", Conv2d(channels, out_channels, 3, relu=True))
            channels = out_channels
        # Detectron2 names a single convolution `conv` and several `conv.conv0`, `conv.conv1`, ...
        self.conv = convs[0] if len(convs) == 1 else convs
        self.objectness_logits = Conv2d(channels, anchors_per_cell, 1)
        self.anchor_deltas = Conv2d(channels, 4 * anchors_per_cell, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                init_normal(module, std=0.01)

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Per level: logits (N, H * W * A) and deltas (N, H * W * A, 4), both float32."""
        logits, deltas = [], []
        for feature in features:
            hidden = self.conv(feature)
            logits.append(self.objectness_logits(hidden).permute(0, 2, 3, 1).flatten(1).float())
            raw = self.anchor_deltas(hidden)
            n, channels, height, width = raw.shape
            raw = raw.reshape(n, channels // 4, 4, height, width).permute(0, 3, 4, 1, 2)
            deltas.append(raw.flatten(1, 3).float())
        return logits, deltas


class RPN(nn.Module):
    """Proposal boxes per image, and the losses loss_rpn_cls and loss_rpn_loc in training."""

    def __init__(self, cfg: CfgNode, in_channels: int, strides: dict[str, int]) -> None:
        super().__init__()
        self.settings = cfg.MODEL.RPN
        self.min_size = float(cfg.MODEL.PROPOSAL_GENERATOR.MIN_SIZE)
        self.anchor_generator = AnchorGenerator(cfg, [strides[name] for name in self.settings.IN_FEATURES])
        self.rpn_head = RPNHead(in_channels, self.settings.CONV_DIMS, self.anchor_generator.anchors_per_cell)
        self.transform = BoxTransform(self.settings.BBOX_REG_WEIGHTS)

    def forward(
        self, features: dict[str, Tensor], image_sizes: list[tuple[int, int]], targets: list[Targets] | None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Proposals [(R, 4)] in network-input pixels, best first, and losses ({} without targets)."""
        levels = [features[name] for name in self.settings.IN_FEATURES]
        anchors = self.anchor_generator(levels)
        logits, deltas = self.rpn_head(levels)
        losses = {} if targets is None else self._losses(torch.cat(anchors), logits, deltas, image_sizes, targets)
        with torch.no_grad():
            proposals = self._propose(anchors, logits, deltas, image_sizes)
        return proposals, losses

    def _propose(
        self, anchors: list[Tensor], logits: list[Tensor], deltas: list[Tensor], image_sizes: list[tuple[int, int]]
    ) -> list[Tensor]:
        mode = "TRAIN" if self.training else "TEST"
        pre_nms, post_nms = self.settings[f"PRE_NMS_TOPK_{mode}"], self.settings[f"POST_NMS_TOPK_{mode}"]
        proposals = []
        for index, image_hw in enumerate(image_sizes):
            boxes, scores, level_ids = [], [], []
            for level, (level_anchors, level_logits, level_deltas) in enumerate(
                zip(anchors, logits, deltas, strict=True)
            ):
                top = level_logits[index].topk(_at_most(level_anchors.shape[0], pre_nms))
                boxes.append(self.transform.decode(level_deltas[index][top.indices], level_anchors[top.indices]))
                scores.append(top.values)
                level_ids.append(torch.full_like(top.indices, level))
            proposals.append(
                self._select(torch.cat(boxes), torch.cat(scores), torch.cat(level_ids), image_hw)[:post_nms]
            )
        return proposals

    def _select(self, boxes: Tensor, scores: Tensor, level_ids: Tensor, image_hw: tuple[int, int]) -> Tensor:
        finite = torch.isfinite(boxes).all(dim=1) & torch.isfinite(scores)
        if self.training and not finite.all():
            raise FloatingPointError("proposals contain Inf or NaN: training has diverged; lower SOLVER.BASE_LR")
        boxes = clip_boxes(boxes, image_hw)
        keep = torch.nonzero(finite & nonempty(boxes, self.min_size)).squeeze(1)
        boxes, scores, level_ids = boxes[keep], scores[keep], level_ids[keep]
        return boxes[suppress(boxes, scores, level_ids, len(self.settings.IN_FEATURES), self.settings.NMS_THRESH)]

    def _losses(
        self,
        anchors: Tensor,
        logits: list[Tensor],
        deltas: list[Tensor],
        image_sizes: list[tuple[int, int]],
        targets: list[Targets],
    ) -> dict[str, Tensor]:
        labels, matched = zip(
            *[self._label(anchors, target, hw) for target, hw in zip(targets, image_sizes, strict=True)], strict=True
        )
        all_labels = torch.stack(labels)
        positive, valid = all_labels == 1, all_labels >= 0
        all_logits, all_deltas = torch.cat(logits, dim=1), torch.cat(deltas, dim=1)
        loss_cls = F.binary_cross_entropy_with_logits(
            all_logits[valid], all_labels[valid].to(torch.float32), reduction="sum"
        )
        loss_loc = box_regression_loss(
            self.transform,
            anchors.expand(len(targets), -1, -1)[positive],
            all_deltas[positive],
            torch.stack(matched)[positive],
            self.settings.BBOX_REG_LOSS_TYPE,
            self.settings.SMOOTH_L1_BETA,
        )
        normalizer = self.settings.BATCH_SIZE_PER_IMAGE * len(targets)
        weight = self.settings.LOSS_WEIGHT
        return {
            "loss_rpn_cls": loss_cls / normalizer * weight,
            "loss_rpn_loc": loss_loc / normalizer * (self.settings.BBOX_REG_LOSS_WEIGHT * weight),
        }

    @torch.no_grad()
    def _label(self, anchors: Tensor, target: Targets, image_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Sampled labels (anchors,) in {-1, 0, 1} and the matched box of each anchor."""
        matches, labels = match(
            pairwise_iou(target.boxes, anchors),
            self.settings.IOU_THRESHOLDS,
            self.settings.IOU_LABELS,
            allow_low_quality=True,
        )
        if self.settings.BOUNDARY_THRESH >= 0:
            margin, (height, width) = self.settings.BOUNDARY_THRESH, image_hw
            low = anchors[:, :2] >= -margin
            high = anchors[:, 2:] < anchors.new_tensor([width + margin, height + margin])
            labels[~(low & high).all(dim=1)] = -1
        positive, negative = subsample(
            labels, self.settings.BATCH_SIZE_PER_IMAGE, self.settings.POSITIVE_FRACTION, background=0
        )
        sampled = torch.full_like(labels, -1)
        sampled[positive] = 1
        sampled[negative] = 0
        return sampled, target.boxes[matches] if len(target.boxes) else torch.zeros_like(anchors)


def _at_most(count: int, limit: int) -> int:
    """The smaller of both; in an exported graph too, where `count` depends on the image."""
    if torch.onnx.is_in_onnx_export():
        return torch.minimum(torch.as_tensor(count), torch.tensor(limit))  # type: ignore[return-value]  # a traced number
    return min(count, limit)
