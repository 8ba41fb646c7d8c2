"""Class of a whole image: a body, mean pooling, dense layers, logits."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from face_mask.models.image_backbone import build_image_backbone
from face_mask.models.predictions import ImagePrediction
from face_mask.models.square_input import SquareInput, stack_targets
from fetal_hc.engine.config import CfgNode


class DenseLayers(nn.Sequential):
    """Linear, ReLU and dropout for each entry of `units`: (N, `in_features`) -> (N, `out_features`)."""

    def __init__(self, in_features: int, units: list[int], dropout: float, *, last_dropout: bool = True) -> None:
        super().__init__()
        self.out_features = in_features
        for number, n_units in enumerate(units, start=1):
            self.add_module(f"fc{number}", nn.Linear(self.out_features, n_units))
            self.add_module(f"relu{number}", nn.ReLU(inplace=True))
            if number < len(units) or last_dropout:
                self.add_module(f"dropout{number}", nn.Dropout(dropout))
            self.out_features = n_units
        if not units and last_dropout:
            self.add_module("dropout", nn.Dropout(dropout))


def class_weights(cfg: CfgNode) -> Tensor | None:
    """MODEL.CLASS_WEIGHTS as a tensor (K,), None when all classes weigh the same."""
    return torch.tensor(cfg.MODEL.CLASS_WEIGHTS) if cfg.MODEL.CLASS_WEIGHTS else None


class ImageClassifier(nn.Module):
    """With two classes one logit and binary cross entropy, as in transfer learning's binary head; else softmax.

    The one logit is that of class 1.
    """

    weights: Tensor | None

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        self.prepare = SquareInput(cfg)
        self.backbone = build_image_backbone(cfg)
        n_features: int = self.backbone.out_channels
        self.dense = DenseLayers(n_features, cfg.MODEL.DENSE.UNITS, cfg.MODEL.DENSE.DROPOUT)
        self.is_binary = cfg.MODEL.NUM_CLASSES == 2
        self.class_logits = nn.Linear(self.dense.out_features, 1 if self.is_binary else cfg.MODEL.NUM_CLASSES)
        self.register_buffer("weights", class_weights(cfg), persistent=False)

    def forward(self, inputs: list[dict[str, Any]]) -> dict[str, Tensor] | list[ImagePrediction]:
        """{"loss_cls"} in training, else one `ImagePrediction` per input.

        Args:
            inputs: per image "image" (3, S, S) and, in training, "class_id".
        """
        features = self.backbone(self.prepare(inputs)).mean(dim=(2, 3))
        logits = self.class_logits(self.dense(features)).float()
        if self.training:
            return {"loss_cls": self._loss(logits, stack_targets(inputs, "class_id", logits.device))}
        if self.is_binary:
            second = logits[:, 0].sigmoid()
            probabilities = torch.stack([1.0 - second, second], dim=1)
        else:
            probabilities = logits.softmax(dim=1)
        return [ImagePrediction(row) for row in probabilities.detach().cpu()]

    def _loss(self, logits: Tensor, classes: Tensor) -> Tensor:
        if not self.is_binary:
            return F.cross_entropy(logits, classes, weight=self.weights)
        weights = None if self.weights is None else self.weights[classes]
        return F.binary_cross_entropy_with_logits(logits[:, 0], classes.float(), weight=weights)
