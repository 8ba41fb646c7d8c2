"""Second stage of the C4 networks: the last ResNet stage runs on every region, and boxes and masks share its output.

Reference: Ren et al., Faster R-CNN (NeurIPS 2015), with the ResNet head of He et al. (CVPR 2016).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.modeling.box_head import BoxPredictor
from fetal_hc.engine.modeling.fpn import RegionPooler
from fetal_hc.engine.modeling.layers import Conv2d, init_msra
from fetal_hc.engine.modeling.mask_head import MaskHead, mask_loss
from fetal_hc.engine.modeling.resnet import make_stage
from fetal_hc.engine.modeling.roi_heads import ROIHeads, concatenate, crop_masks, with_masks
from fetal_hc.engine.structures import Detections, Targets


class Res5ROIHeads(ROIHeads):
    """`res5` on regions of ROI_BOX_HEAD.POOLER_RESOLUTION cells, its mean for the boxes, its map for the masks."""

    def __init__(self, cfg: CfgNode, channels: Mapping[str, int], strides: Mapping[str, int]) -> None:
        super().__init__(cfg)
        (self.in_feature,) = self.settings.IN_FEATURES
        box, resnets = cfg.MODEL.ROI_BOX_HEAD, cfg.MODEL.RESNETS
        self.pooler = RegionPooler(
            box.POOLER_RESOLUTION, [strides[self.in_feature]], box.POOLER_SAMPLING_RATIO, box.POOLER_TYPE
        )
        out_channels = 8 * resnets.RES2_OUT_CHANNELS
        self.res5 = make_stage(resnets, 5, out_channels // 2, out_channels)
        for module in self.res5.modules():
            if isinstance(module, Conv2d):
                init_msra(module)
        self.box_predictor = BoxPredictor(cfg, out_channels)
        # res5 halves the resolution, the mask head doubles it.
        self.mask_size: int = box.POOLER_RESOLUTION
        self.mask_head = MaskHead(cfg, out_channels) if cfg.MODEL.MASK_ON else None

    def losses(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_sizes: list[tuple[int, int]],
        targets: list[Targets],
    ) -> dict[str, Tensor]:
        """loss_cls, loss_box_reg and, with masks, loss_mask."""
        regions = [self._sample(boxes, target) for boxes, target in zip(proposals, targets, strict=True)]
        shared = self._shared(features, [region.boxes for region in regions])
        scores, deltas = self.box_predictor(shared.mean(dim=[2, 3]))
        losses = self.box_predictor.losses(scores, deltas, *concatenate(regions))
        if self.mask_head is not None:
            rows = [self._masked_rows(region, target) for region, target in zip(regions, targets, strict=True)]
            chosen, classes = torch.cat(rows), torch.cat([region.classes for region in regions])
            masks = crop_masks(targets, regions, rows, self.mask_size)
            logits = self.mask_head(shared[chosen])
            losses["loss_mask"] = mask_loss(logits, classes[chosen], torch.cat(masks) if masks else logits[:, 0])
        return losses

    def detect(
        self, features: dict[str, Tensor], proposals: list[Tensor], image_sizes: list[tuple[int, int]]
    ) -> list[Detections]:
        """Detections of each image in network-input pixels, best first."""
        scores, deltas = self.box_predictor(self._shared(features, proposals).mean(dim=[2, 3]))
        found = self.box_predictor.detect_all(scores, deltas, proposals, image_sizes)
        if self.mask_head is None:
            return [Detections(*image, masks=None) for image in found]
        return with_masks(found, self.mask_head(self._shared(features, [boxes for boxes, _, _ in found])))

    def _shared(self, features: dict[str, Tensor], boxes: list[Tensor]) -> Tensor:
        output: Tensor = self.res5(self.pooler([features[self.in_feature]], boxes))
        return output
