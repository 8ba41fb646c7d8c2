"""Detectron2's network with the output that the project's evaluators read."""

from __future__ import annotations

from typing import Any

from detectron2.modeling import GeneralizedRCNN
from detectron2.structures import Instances
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from fetal_hc.engine.modeling.rcnn import to_original_size
from fetal_hc.engine.structures import Detections


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
