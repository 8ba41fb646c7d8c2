"""Mask targets in the form that Detectron2's `Instances` hold."""

from __future__ import annotations

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

from fetal_hc.engine.structures import CoverageMasks, PolygonMasks, Targets


class InstanceMasks:
    """The project's masks behind the interface of Detectron2's BitMasks and PolygonMasks.

    Rows refer to masks of the image, so indexing by proposals copies no mask.

    Args:
        masks: masks of the image; None when none of its instances is outlined.
        indices: (R,) int64, the mask that each row stands for.
        has_mask: (R,) bool, False where a row's instance has a box only.
    """

    def __init__(self, masks: PolygonMasks | CoverageMasks | None, indices: Tensor, has_mask: Tensor) -> None:
        self.masks = masks
        self.indices = indices
        self.has_mask = has_mask

    def __len__(self) -> int:
        return self.indices.shape[0]

    def __getitem__(self, item: int | slice | Tensor) -> InstanceMasks:
        if isinstance(item, int):
            item = slice(item, item + 1)
        return InstanceMasks(self.masks, self.indices[item], self.has_mask[item])

    def to(self, device: torch.device | str) -> InstanceMasks:
        """A copy on `device`."""
        masks = None if self.masks is None else self.masks.to(device)
        return InstanceMasks(masks, self.indices.to(device), self.has_mask.to(device))

    def crop_and_resize(self, boxes: Tensor, mask_size: int) -> Tensor:
        """Targets (R, mask_size, mask_size), float32 in [0, 1], of each row in its own box (R, 4); 0 without a mask."""
        if self.masks is None:
            return boxes.new_zeros((len(self), mask_size, mask_size), dtype=torch.float32)
        return self.masks.crop_and_resize(boxes, self.indices, mask_size)


def to_instances(targets: Targets, image_hw: tuple[int, int], *, use_masks: bool) -> Instances:
    """Ground truth of one training image (network-input px) as Detectron2's Instances."""
    instances = Instances(image_hw)
    instances.gt_boxes = Boxes(targets.boxes)
    instances.gt_classes = targets.classes
    if use_masks:
        instances.gt_masks = InstanceMasks(targets.masks, torch.arange(len(targets)), targets.has_mask)
    return instances
