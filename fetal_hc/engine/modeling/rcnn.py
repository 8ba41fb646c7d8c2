"""Mask R-CNN: dataset dicts in, losses (training) or detections in original image pixels (test) out."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.modeling.box_head import BoxPredictor
from fetal_hc.engine.modeling.boxes import clip_boxes, nonempty
from fetal_hc.engine.modeling.cascade import CascadeROIHeads
from fetal_hc.engine.modeling.fpn import build_backbone
from fetal_hc.engine.modeling.layers import allow_winograd
from fetal_hc.engine.modeling.res5_heads import Res5ROIHeads
from fetal_hc.engine.modeling.roi_heads import StandardROIHeads
from fetal_hc.engine.modeling.rpn import RPN
from fetal_hc.engine.structures import Detections

# By MODEL.ROI_HEADS.NAME.
ROI_HEADS: dict[str, type[StandardROIHeads | Res5ROIHeads]] = {
    head.__name__: head for head in (StandardROIHeads, Res5ROIHeads, CascadeROIHeads)
}


class GeneralizedRCNN(nn.Module):
    """Backbone, proposal network and region heads under Detectron2's names."""

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        self.backbone = build_backbone(cfg)
        channels, strides = self.backbone.channels, self.backbone.strides
        self.proposal_generator = RPN(cfg, channels[cfg.MODEL.RPN.IN_FEATURES[0]], strides)
        self.roi_heads = ROI_HEADS[cfg.MODEL.ROI_HEADS.NAME](cfg, channels, strides)
        if cfg.MODEL.WINOGRAD:
            allow_winograd(self)
        self.memory_format = torch.channels_last if cfg.MODEL.CHANNELS_LAST else torch.contiguous_format
        self.register_buffer("pixel_mean", torch.tensor(cfg.MODEL.PIXEL_MEAN).view(-1, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(cfg.MODEL.PIXEL_STD).view(-1, 1, 1), persistent=False)

    def forward(self, inputs: list[dict[str, Any]]) -> dict[str, Tensor] | list[Detections]:
        """Losses by name in training; in evaluation one `Detections` per image, in original image pixels.

        Args:
            inputs: per image "image" (3, H, W), values 0..255 in INPUT.FORMAT channel order; "targets" in training;
                "height" and "width" of the original image in evaluation (default: those of "image").
        """
        images, image_sizes = self._batch([item["image"] for item in inputs])
        features = self.backbone(images)
        if self.training:
            targets = [item["targets"].to(images.device) for item in inputs]
            proposals, losses = self.proposal_generator(features, image_sizes, targets)
            return {**losses, **self.roi_heads.losses(features, proposals, image_sizes, targets)}
        proposals, _ = self.proposal_generator(features, image_sizes, None)
        found = self.roi_heads.detect(features, proposals, image_sizes)
        return [
            to_original_size(detections, hw, (item.get("height", hw[0]), item.get("width", hw[1])))
            for detections, hw, item in zip(found, image_sizes, inputs, strict=True)
        ]

    def training_metrics(self) -> dict[str, Tensor]:
        """What is worth watching in the last training batch besides the losses, under Detectron2's names."""
        predictors = self.roi_heads.box_predictor
        if isinstance(predictors, BoxPredictor):
            return predictors.metrics
        named = {f"stage{stage}": predictor.metrics for stage, predictor in enumerate(predictors)}
        return {f"{stage}/{name}": value for stage, metrics in named.items() for name, value in metrics.items()}

    def detect_network_input(self, image: Tensor) -> Detections:
        """Detections of one image (3, H, W) in network-input pixels: the part that is exported."""
        height, width = image.shape[-2:]
        images = self._pad(self._normalize(image), *self._padded_hw(height, width))[None]
        features = self.backbone(images)
        proposals, _ = self.proposal_generator(features, [(height, width)], None)
        return self.roi_heads.detect(features, proposals, [(height, width)])[0]

    def _batch(self, images: list[Tensor]) -> tuple[Tensor, list[tuple[int, int]]]:
        """Normalised images, zero-padded right and bottom to one common size, and their sizes before padding."""
        images = [self._normalize(image.to(self.pixel_mean.device, non_blocking=True)) for image in images]
        sizes = [(image.shape[-2], image.shape[-1]) for image in images]
        height, width = self._padded_hw(max(h for h, _ in sizes), max(w for _, w in sizes))
        batch = torch.stack([self._pad(image, height, width) for image in images])
        return batch.contiguous(memory_format=self.memory_format), sizes

    def _normalize(self, image: Tensor) -> Tensor:
        return (image - self.pixel_mean) / self.pixel_std

    def _padded_hw(self, height: int, width: int) -> tuple[int, int]:
        step = self.backbone.size_divisibility
        return (height + step - 1) // step * step, (width + step - 1) // step * step

    @staticmethod
    def _pad(image: Tensor, height: int, width: int) -> Tensor:
        return F.pad(image, (0, width - image.shape[-1], 0, height - image.shape[-2]))


def to_original_size(detections: Detections, input_hw: tuple[int, int], output_hw: tuple[int, int]) -> Detections:
    """Detections with boxes scaled from the network input to the original image, clipped, empty ones dropped."""
    scale_y, scale_x = output_hw[0] / input_hw[0], output_hw[1] / input_hw[1]
    boxes = detections.boxes * detections.boxes.new_tensor([scale_x, scale_y, scale_x, scale_y])
    boxes = clip_boxes(boxes, output_hw)
    keep = nonempty(boxes)
    masks = None if detections.masks is None else detections.masks[keep]
    return Detections(boxes[keep], detections.scores[keep], detections.classes[keep], masks)
