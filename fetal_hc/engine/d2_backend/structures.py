"""From the project's targets to Detectron2's `Instances`, and from its detections back."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.modeling import GeneralizedRCNN
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fetal_hc.engine.modeling.rcnn import to_original_size
from fetal_hc.engine.structures import CoverageMasks, Detections, PolygonMasks, Targets


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


class SoftMaskDetector(nn.Module):
    """Gives one `Detections` per image, in original pixels and with soft masks.

    Detectron2's own post-processing pastes and thresholds the masks, which an ellipse must not be fitted to.

    Args:
        model: a detector of Detectron2, possibly wrapped for several processes.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model.module if isinstance(model, DistributedDataParallel) else model
        self.training = self.model.training  # so that leaving an evaluation puts the mode back

    def forward(self, inputs: list[dict[str, Any]]) -> list[Detections]:
        if not isinstance(self.model, GeneralizedRCNN):  # one without masks: its own scaling will do
            return [_to_detections(result["instances"]) for result in self.model(inputs)]
        found = self.model.inference(inputs, do_postprocess=False)
        return [
            to_original_size(_to_detections(instances), instances.image_size, (item["height"], item["width"]))
            for instances, item in zip(found, inputs, strict=True)
        ]


def _to_detections(instances: Instances) -> Detections:
    """In the pixels of `instances`."""
    masks = instances.pred_masks[:, 0] if instances.has("pred_masks") else None
    return Detections(instances.pred_boxes.tensor, instances.scores, instances.pred_classes, masks)
