"""Class of a whole image: a body, mean pooling, dense layers, logits."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from face_mask.models.image_backbone import FeatureCache, build_image_backbone, initialize
from face_mask.models.whole_image import ImagePrediction, SquareInput, stack_targets
from fetal_hc.engine.config import CfgNode


class DenseLayers(nn.Sequential):
    """Linear, ReLU and dropout for each entry of `units`: (N, `in_features`) -> (N, `out_features`).

    Args:
        in_features: of the input.
        units: of each layer; without any, only the dropout is left.
        dropout: share that is dropped after a layer.
        drops_each: whether all layers are followed by a dropout, or the last one alone.
        last_dropout: whether the last layer is.
    """

    def __init__(
        self,
        in_features: int,
        units: list[int],
        dropout: float,
        *,
        drops_each: bool = True,
        last_dropout: bool = True,
    ) -> None:
        super().__init__()
        self.out_features = in_features
        for number, n_units in enumerate(units, start=1):
            self.add_module(f"fc{number}", nn.Linear(self.out_features, n_units))
            self.add_module(f"relu{number}", nn.ReLU(inplace=True))
            if drops_each if number < len(units) else last_dropout:
                self.add_module(f"dropout{number}", nn.Dropout(dropout))
            self.out_features = n_units
        if not units and last_dropout:
            self.add_module("dropout", nn.Dropout(dropout))


def class_weights(cfg: CfgNode) -> Tensor | None:
    """MODEL.CLASS_WEIGHTS as a tensor (K,), None when all classes weigh the same."""
    return torch.tensor(cfg.MODEL.CLASS_WEIGHTS) if cfg.MODEL.CLASS_WEIGHTS else None


def class_probabilities(logits: Tensor) -> Tensor:
    """Probabilities (N, K) of logits (N, K), or (N, 2) of the one logit (N, 1) of class 1."""
    if logits.shape[1] > 1:
        return logits.softmax(dim=1)
    second = logits[:, 0].sigmoid()
    return torch.stack([1.0 - second, second], dim=1)


def class_loss(logits: Tensor, classes: Tensor, weights: Tensor | None) -> Tensor:
    """Mean cross entropy of logits (N, K), or binary cross entropy of the one logit (N, 1) of class 1.

    Args:
        logits: see above.
        classes: (N,) true classes.
        weights: (K,) of each class, or None.
    """
    if logits.shape[1] > 1:
        return F.cross_entropy(logits, classes, weight=weights)
    of_each = None if weights is None else weights[classes]
    return F.binary_cross_entropy_with_logits(logits[:, 0], classes.float(), weight=of_each)


def accuracy(logits: Tensor, classes: Tensor) -> Tensor:
    """Share of right classes in percent; logits (N, K) or (N, 1), true classes (N,)."""
    return 100.0 * (class_probabilities(logits.detach()).argmax(dim=1) == classes).float().mean()


class ImageClassifier(nn.Module):
    """With two classes one logit and binary cross entropy, as in transfer learning's binary head; else softmax.

    The one logit belongs to class 1.
    """

    weights: Tensor | None

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        self.prepare = SquareInput(cfg)
        self.backbone = build_image_backbone(cfg)
        n_features: int = self.backbone.out_channels
        node = cfg.MODEL.DENSE
        self.dense = DenseLayers(n_features, node.UNITS, node.DROPOUT, drops_each=node.DROPOUT_AFTER == "each")
        n_outputs = 1 if cfg.MODEL.NUM_CLASSES == 2 else cfg.MODEL.NUM_CLASSES
        self.class_logits = nn.Linear(self.dense.out_features, n_outputs)
        self.register_buffer("weights", class_weights(cfg), persistent=False)
        self.remembered = FeatureCache(self._features) if cfg.MODEL.IMAGE_BACKBONE.CACHE_FEATURES else None
        self.batch_metrics: dict[str, Tensor] = {}
        initialize(self, cfg.MODEL.INIT)

    def training_metrics(self) -> dict[str, Tensor]:
        """Accuracy on the last training batch, in percent."""
        return self.batch_metrics

    def _features(self, inputs: list[dict[str, Any]]) -> Tensor:
        return self.backbone(self.prepare(inputs)).mean(dim=(2, 3))

    def forward(self, inputs: list[dict[str, Any]]) -> dict[str, Tensor] | list[ImagePrediction]:
        """{"loss_cls"} in training, else one `ImagePrediction` per input.

        Args:
            inputs: per image "image" (3, S, S) and, in training, "class_id".
        """
        logits = self._logits(inputs)
        if self.training:
            classes = stack_targets(inputs, "class_id", logits.device)
            self.batch_metrics = {"train/accuracy": accuracy(logits, classes)}
            return {"loss_cls": class_loss(logits, classes, self.weights)}
        return [ImagePrediction(row) for row in class_probabilities(logits).detach().cpu()]

    def predict_inputs(self, inputs: list[dict[str, Any]]) -> tuple[Tensor]:
        """Probabilities (N, K) of inputs as `forward` takes them."""
        return (class_probabilities(self._logits(inputs)),)

    def _logits(self, inputs: list[dict[str, Any]]) -> Tensor:
        features = self.remembered(inputs) if self.remembered else self._features(inputs)
        return self.class_logits(self.dense(features)).float()
