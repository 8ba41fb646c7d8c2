"""Second stage: proposals are matched and sampled (training) or turned into detections with masks (test)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.modeling.anchors import match, subsample
from fetal_hc.engine.modeling.box_head import BoxHead, BoxPredictor, FoundBoxes
from fetal_hc.engine.modeling.boxes import pairwise_iou
from fetal_hc.engine.modeling.fpn import RegionPooler
from fetal_hc.engine.modeling.mask_head import MaskHead, mask_loss, mask_probabilities
from fetal_hc.engine.structures import Detections, Targets


@dataclass(frozen=True)
class SampledRegions:
    """Regions of one image chosen for training: boxes (R, 4), classes (R,) with K for background, targets."""

    boxes: Tensor
    classes: Tensor
    target_boxes: Tensor
    target_indices: Tensor


class ROIHeads(nn.Module):
    """What all second stages share: sampling of regions, and the choice of those that train the mask head."""

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        self.settings = cfg.MODEL.ROI_HEADS
        self.num_classes: int = self.settings.NUM_CLASSES

    @torch.no_grad()
    def _sample(self, proposals: Tensor, target: Targets) -> SampledRegions:
        """A training minibatch of the proposals and true boxes of one image."""
        if self.settings.PROPOSAL_APPEND_GT:
            proposals = torch.cat([proposals, target.boxes.to(proposals)])
        matches, classes = self._label(proposals, target, self.settings.IOU_THRESHOLDS, self.settings.IOU_LABELS)
        foreground, background = subsample(
            classes, self.settings.BATCH_SIZE_PER_IMAGE, self.settings.POSITIVE_FRACTION, self.num_classes
        )
        chosen = torch.cat([foreground, background])
        return regions_of(proposals[chosen], classes[chosen], matches[chosen], target)

    def _label(
        self, boxes: Tensor, target: Targets, thresholds: Sequence[float], labels: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Index of the matched target, and class of each box: K for background, -1 for ignored ones."""
        matches, match_labels = match(pairwise_iou(target.boxes, boxes), thresholds, labels, allow_low_quality=False)
        if len(target.classes) == 0:
            return matches, torch.full_like(matches, self.num_classes)
        classes = target.classes[matches]
        classes[match_labels == 0] = self.num_classes
        classes[match_labels == -1] = -1
        return matches, classes

    def _masked_rows(self, region: SampledRegions, target: Targets) -> Tensor:
        """Which regions (R,) are foreground with an outline: targets that are boxes only train the boxes alone."""
        chosen = (region.classes >= 0) & (region.classes < self.num_classes)
        if target.masks is None:
            return torch.zeros_like(chosen)
        return chosen & target.has_mask[region.target_indices] if len(target.has_mask) else chosen


def regions_of(boxes: Tensor, classes: Tensor, matches: Tensor, target: Targets) -> SampledRegions:
    """Regions with the boxes of their targets; without targets every region is background and none is read."""
    return SampledRegions(boxes, classes, target.boxes[matches] if len(target.classes) else boxes, matches)


def crop_masks(
    targets: Sequence[Targets], regions: Sequence[SampledRegions], rows: Sequence[Tensor], size: int
) -> list[Tensor]:
    """Mask targets (R, size, size) of the chosen `rows` of each image that has masks."""
    return [
        target.masks.crop_and_resize(region.boxes[chosen], region.target_indices[chosen], size)
        for target, region, chosen in zip(targets, regions, rows, strict=True)
        if target.masks is not None
    ]


def concatenate(regions: Sequence[SampledRegions]) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, classes and target boxes of the regions of all images."""
    return (
        torch.cat([region.boxes for region in regions]),
        torch.cat([region.classes for region in regions]),
        torch.cat([region.target_boxes for region in regions]),
    )


class StandardROIHeads(ROIHeads):
    """Box branch and, with MODEL.MASK_ON, mask branch, each on features pooled for it."""

    box_head: Any  # a BoxHead, or a list of one per stage of a cascade
    box_predictor: Any  # a BoxPredictor, or a list

    def __init__(self, cfg: CfgNode, channels: Mapping[str, int], strides: Mapping[str, int]) -> None:
        super().__init__(cfg)
        in_channels = channels[self.settings.IN_FEATURES[0]]
        level_strides = [strides[name] for name in self.settings.IN_FEATURES]
        box, mask = cfg.MODEL.ROI_BOX_HEAD, cfg.MODEL.ROI_MASK_HEAD
        self.box_pooler = RegionPooler(box.POOLER_RESOLUTION, level_strides, box.POOLER_SAMPLING_RATIO, box.POOLER_TYPE)
        self._build_box_branch(cfg, in_channels)
        self.mask_size = 2 * mask.POOLER_RESOLUTION
        self.mask_head: MaskHead | None = None
        if cfg.MODEL.MASK_ON:
            self.mask_pooler = RegionPooler(
                mask.POOLER_RESOLUTION, level_strides, mask.POOLER_SAMPLING_RATIO, mask.POOLER_TYPE
            )
            self.mask_head = MaskHead(cfg, in_channels)

    def _build_box_branch(self, cfg: CfgNode, in_channels: int) -> None:
        self.box_head = BoxHead(cfg, in_channels)
        self.box_predictor = BoxPredictor(cfg, self.box_head.out_dim)

    def losses(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_sizes: list[tuple[int, int]],
        targets: list[Targets],
    ) -> dict[str, Tensor]:
        """loss_cls, loss_box_reg and, with masks, loss_mask."""
        levels = [features[name] for name in self.settings.IN_FEATURES]
        regions = [self._sample(boxes, target) for boxes, target in zip(proposals, targets, strict=True)]
        losses = self._box_losses(levels, regions, image_sizes, targets)
        if self.mask_head is not None:
            losses["loss_mask"] = self._mask_loss(levels, regions, targets)
        return losses

    def detect(
        self, features: dict[str, Tensor], proposals: list[Tensor], image_sizes: list[tuple[int, int]]
    ) -> list[Detections]:
        """Detections of each image in network-input pixels, best first."""
        levels = [features[name] for name in self.settings.IN_FEATURES]
        found = self._detect_boxes(levels, proposals, image_sizes)
        if self.mask_head is None:
            return [Detections(*image, masks=None) for image in found]
        logits = self.mask_head(self.mask_pooler(levels, [boxes for boxes, _, _ in found]))
        return with_masks(found, logits)

    def _box_losses(
        self,
        levels: list[Tensor],
        regions: list[SampledRegions],
        image_sizes: list[tuple[int, int]],
        targets: list[Targets],
    ) -> dict[str, Tensor]:
        pooled = self.box_pooler(levels, [region.boxes for region in regions])
        scores, deltas = self.box_predictor(self.box_head(pooled))
        return self.box_predictor.losses(scores, deltas, *concatenate(regions))

    def _detect_boxes(
        self, levels: list[Tensor], proposals: list[Tensor], image_sizes: list[tuple[int, int]]
    ) -> list[FoundBoxes]:
        scores, deltas = self.box_predictor(self.box_head(self.box_pooler(levels, proposals)))
        return self.box_predictor.detect_all(scores, deltas, proposals, image_sizes)

    def _mask_loss(self, levels: list[Tensor], regions: list[SampledRegions], targets: list[Targets]) -> Tensor:
        """Mask loss over foreground regions whose target has a mask."""
        assert self.mask_head is not None
        rows = [self._masked_rows(region, target) for region, target in zip(regions, targets, strict=True)]
        boxes = [region.boxes[chosen] for region, chosen in zip(regions, rows, strict=True)]
        classes = torch.cat([region.classes[chosen] for region, chosen in zip(regions, rows, strict=True)])
        masks = crop_masks(targets, regions, rows, self.mask_size)
        logits = self.mask_head(self.mask_pooler(levels, boxes))
        return mask_loss(logits, classes, torch.cat(masks) if masks else logits[:, 0])


def with_masks(found: Sequence[FoundBoxes], logits: Tensor) -> list[Detections]:
    """Detections from the boxes of each image and the mask logits of all of them."""
    masks = mask_probabilities(logits, torch.cat([labels for _, _, labels in found]))
    per_image = masks.split([boxes.shape[0] for boxes, _, _ in found])
    return [Detections(*image, masks=image_masks) for image, image_masks in zip(found, per_image, strict=True)]
