"""Second stage: proposals are matched and sampled (training) or turned into detections with masks (test)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.modeling.box_head import BoxHead, BoxPredictor
from fetal_hc.engine.modeling.boxes import pairwise_iou
from fetal_hc.engine.modeling.mask_head import MaskHead, mask_loss, mask_probabilities
from fetal_hc.engine.modeling.pooler import RegionPooler
from fetal_hc.engine.modeling.sampling import match, subsample
from fetal_hc.engine.structures import Detections, Targets


@dataclass(frozen=True)
class SampledRegions:
    """Regions of one image chosen for training: boxes (R, 4), classes (R,) with K for background, targets."""

    boxes: Tensor
    classes: Tensor
    target_boxes: Tensor
    target_indices: Tensor


class ROIHeads(nn.Module):
    """Box branch and, with MODEL.MASK_ON, mask branch."""

    def __init__(self, cfg: CfgNode, in_channels: int, strides: dict[str, int]) -> None:
        super().__init__()
        self.settings = cfg.MODEL.ROI_HEADS
        self.num_classes = self.settings.NUM_CLASSES
        level_strides = [strides[name] for name in self.settings.IN_FEATURES]
        box, mask = cfg.MODEL.ROI_BOX_HEAD, cfg.MODEL.ROI_MASK_HEAD
        self.box_pooler = RegionPooler(box.POOLER_RESOLUTION, level_strides, box.POOLER_SAMPLING_RATIO, box.POOLER_TYPE)
        self.box_head = BoxHead(cfg, in_channels)
        self.box_predictor = BoxPredictor(cfg, self.box_head.out_dim)
        self.mask_size = 2 * mask.POOLER_RESOLUTION
        self.mask_head: MaskHead | None = None
        if cfg.MODEL.MASK_ON:
            self.mask_pooler = RegionPooler(
                mask.POOLER_RESOLUTION, level_strides, mask.POOLER_SAMPLING_RATIO, mask.POOLER_TYPE
            )
            self.mask_head = MaskHead(cfg, in_channels)

    def losses(self, features: dict[str, Tensor], proposals: list[Tensor], targets: list[Targets]) -> dict[str, Tensor]:
        """loss_cls, loss_box_reg and, with masks, loss_mask."""
        levels = [features[name] for name in self.settings.IN_FEATURES]
        regions = [self._sample(boxes, target) for boxes, target in zip(proposals, targets, strict=True)]
        pooled = self.box_pooler(levels, [region.boxes for region in regions])
        scores, deltas = self.box_predictor(self.box_head(pooled))
        losses = self.box_predictor.losses(
            scores,
            deltas,
            torch.cat([region.boxes for region in regions]),
            torch.cat([region.classes for region in regions]),
            torch.cat([region.target_boxes for region in regions]),
        )
        if self.mask_head is not None:
            losses["loss_mask"] = self._mask_loss(levels, regions, targets)
        return losses

    def detect(
        self, features: dict[str, Tensor], proposals: list[Tensor], image_sizes: list[tuple[int, int]]
    ) -> list[Detections]:
        """Detections of each image in network-input pixels, best first."""
        levels = [features[name] for name in self.settings.IN_FEATURES]
        scores, deltas = self.box_predictor(self.box_head(self.box_pooler(levels, proposals)))
        counts = [boxes.shape[0] for boxes in proposals]
        found = [
            self.box_predictor.detect(image_scores, image_deltas, boxes, image_hw)
            for image_scores, image_deltas, boxes, image_hw in zip(
                scores.split(counts), deltas.split(counts), proposals, image_sizes, strict=True
            )
        ]
        if self.mask_head is None:
            return [Detections(*image, masks=None) for image in found]
        logits = self.mask_head(self.mask_pooler(levels, [boxes for boxes, _, _ in found]))
        masks = mask_probabilities(logits, torch.cat([labels for _, _, labels in found]))
        per_image = masks.split([boxes.shape[0] for boxes, _, _ in found])
        return [Detections(*image, masks=image_masks) for image, image_masks in zip(found, per_image, strict=True)]

    @torch.no_grad()
    def _sample(self, proposals: Tensor, target: Targets) -> SampledRegions:
        if self.settings.PROPOSAL_APPEND_GT:
            proposals = torch.cat([proposals, target.boxes.to(proposals)])
        matches, labels = match(
            pairwise_iou(target.boxes, proposals),
            self.settings.IOU_THRESHOLDS,
            self.settings.IOU_LABELS,
            allow_low_quality=False,
        )
        if len(target.classes):
            classes = target.classes[matches]
            classes[labels == 0] = self.num_classes
            classes[labels == -1] = -1
        else:
            classes = torch.full_like(matches, self.num_classes)
        foreground, background = subsample(
            classes, self.settings.BATCH_SIZE_PER_IMAGE, self.settings.POSITIVE_FRACTION, self.num_classes
        )
        chosen = torch.cat([foreground, background])
        boxes = proposals[chosen]
        # Without targets every region is background and its target box is never read.
        target_boxes = target.boxes[matches[chosen]] if len(target.classes) else boxes
        return SampledRegions(boxes, classes[chosen], target_boxes, matches[chosen])

    def _mask_loss(self, levels: list[Tensor], regions: list[SampledRegions], targets: list[Targets]) -> Tensor:
        """Mask loss over foreground regions whose target has a mask (boxes-only annotations train boxes alone)."""
        assert self.mask_head is not None
        boxes, classes, masks = [], [], []
        for region, target in zip(regions, targets, strict=True):
            chosen = (region.classes >= 0) & (region.classes < self.num_classes)
            if target.masks is None:
                chosen = torch.zeros_like(chosen)
            elif len(target.has_mask):
                chosen = chosen & target.has_mask[region.target_indices]
            boxes.append(region.boxes[chosen])
            classes.append(region.classes[chosen])
            if target.masks is not None:
                masks.append(target.masks.crop_and_resize(boxes[-1], region.target_indices[chosen], self.mask_size))
        logits = self.mask_head(self.mask_pooler(levels, boxes))
        return mask_loss(logits, torch.cat(classes), torch.cat(masks) if masks else logits[:, 0])
