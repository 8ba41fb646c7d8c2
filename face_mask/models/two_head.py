"""One face per image: a body, dense layers, and two heads for its class and its box.

References: Rezatofighi et al., Generalized intersection over union (CVPR 2019); Zheng et al., Distance-IoU loss
(AAAI 2020).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import complete_box_iou_loss, distance_box_iou_loss, generalized_box_iou_loss

from face_mask.models.image_backbone import FeatureCache, build_image_backbone, initialize
from face_mask.models.image_classifier import DenseLayers, accuracy, class_loss, class_probabilities, class_weights
from face_mask.models.whole_image import ImagePrediction, SquareInput, stack_targets
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.data import geometry


class TwoHeadDetector(nn.Module):
    """Class and box of the one face in an image.

    MODEL.TWO_HEAD decides what the heads see (mean features or all cells), what they share, how four numbers become a
    box, and the box loss. Coordinate losses (mse, smooth_l1) compare the four numbers of BOX_FORM; overlap losses
    compare boxes.
    """

    weights: Tensor | None

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        self.settings = cfg.MODEL.TWO_HEAD
        self.size: int = cfg.INPUT.SQUARE.SIZE
        self.prepare = SquareInput(cfg)
        self.backbone = build_image_backbone(cfg)
        n_channels: int = self.backbone.out_channels
        self.pool, n_features = self._build_pool(n_channels)
        node, heads = cfg.MODEL.DENSE, self.settings.HEADS
        n_stacks = 2 if heads == "separate" else 1
        last_dropout = heads != "separate_dropout"
        options = {"drops_each": node.DROPOUT_AFTER == "each", "last_dropout": last_dropout}
        stacks = [DenseLayers(n_features, node.UNITS, node.DROPOUT, **options) for _ in range(n_stacks)]
        self.dense = nn.ModuleList(stacks)
        self.head_dropout = nn.Dropout(0.0 if last_dropout else node.DROPOUT)
        self.class_layers = HeadLayers(stacks[0].out_features, self.settings.CLASS_HEAD)
        self.box_layers = HeadLayers(stacks[0].out_features, self.settings.BOX_HEAD)
        n_classes = 1 if self.settings.CLASS_ACTIVATION == "sigmoid" else cfg.MODEL.NUM_CLASSES
        self.class_logits = nn.Linear(self.class_layers.out_features, n_classes)
        self.box_numbers = nn.Linear(self.box_layers.out_features, 4)
        self.register_buffer("weights", class_weights(cfg), persistent=False)
        self.remembered = FeatureCache(self._features) if cfg.MODEL.IMAGE_BACKBONE.CACHE_FEATURES else None
        self.batch_metrics: dict[str, Tensor] = {}
        initialize(self, cfg.MODEL.INIT)

    def training_metrics(self) -> dict[str, Tensor]:
        """Accuracy and mean IoU on the last training batch, in percent."""
        return self.batch_metrics

    def forward(self, inputs: list[dict[str, Any]]) -> dict[str, Tensor] | list[ImagePrediction]:
        """{"loss_cls", "loss_box"} in training, else one `ImagePrediction` per input, boxes in original pixels.

        Args:
            inputs: per image "image" (3, S, S), "affine_to_input", "height" and "width"; in training "class_id" and
                "box_xyxy", px of the input.
        """
        logits, numbers = self._outputs(inputs)
        if self.training:
            classes = stack_targets(inputs, "class_id", logits.device)
            boxes_px = stack_targets(inputs, "box_xyxy", logits.device)
            loss_box = self.box_loss(numbers, boxes_px)
            overlap = aligned_iou(self._decode(numbers.detach()) * self._unit, boxes_px)
            self.batch_metrics = {"train/accuracy": accuracy(logits, classes), "train/IoU": 100.0 * overlap.mean()}
            return {
                "loss_cls": class_loss(logits, classes, self.weights) * self.settings.CLASS_LOSS_WEIGHT,
                "loss_box": loss_box * self.settings.BOX_LOSS_WEIGHT,
            }
        probabilities, boxes = self._predictions(logits.detach(), numbers.detach())
        return [
            ImagePrediction(row, to_original(box, item))
            for row, box, item in zip(probabilities.cpu(), boxes.cpu(), inputs, strict=True)
        ]

    def predict_inputs(self, inputs: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
        """Probabilities (N, K) and boxes (N, 4) xyxy in px of the input, for inputs as `forward` takes them."""
        return self._predictions(*self._outputs(inputs))

    def _predictions(self, logits: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        return class_probabilities(logits), self._decode(numbers) * self._unit

    def _outputs(self, inputs: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
        """Logits of the classes (N, 1 or K) and the four numbers of the boxes (N, 4)."""
        feature_map = self.backbone(self.prepare(inputs)) if self.remembered is None else None
        features = self.remembered(inputs) if self.remembered is not None else self.pool(feature_map)
        hidden = [stack(features) for stack in self.dense]
        logits = self.class_logits(self.class_layers(self.head_dropout(hidden[0]))).float()
        numbers = self.box_numbers(self.box_layers(self.head_dropout(hidden[-1]))).float()
        if isinstance(self.pool, AttentionPool) and feature_map is not None:
            start = torch.logit(self.pool.center_xy(feature_map), eps=1e-4)
            numbers = torch.cat([numbers[:, :2] + start, numbers[:, 2:]], dim=1)
        return logits, numbers.sigmoid() if self.settings.BOX_ACTIVATION == "sigmoid" else numbers

    def _features(self, inputs: list[dict[str, Any]]) -> Tensor:
        """What the dense layers read (N, D)."""
        return self.pool(self.backbone(self.prepare(inputs)))

    @property
    def _unit(self) -> float:
        """Pixels of the input per unit of the four numbers."""
        return float(self.size) if self.settings.NORMALIZED_BOXES else 1.0

    def _build_pool(self, n_channels: int) -> tuple[nn.Module, int]:
        """Feature map (N, C, s, s) -> (N, D), and D."""
        if self.settings.FEATURES == "average":
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), n_channels
        if self.settings.FEATURES == "attention":
            return AttentionPool(n_channels), n_channels
        with torch.no_grad():
            was_training = self.backbone.training
            n_cells = self.backbone.eval()(torch.zeros(1, 3, self.size, self.size)).shape[-1] ** 2
            self.backbone.train(was_training)
        n_kept = self.settings.REDUCE_CHANNELS
        if not n_kept:
            return nn.Flatten(), n_channels * n_cells
        reduce = nn.Sequential(nn.Conv2d(n_channels, n_kept, 1), nn.BatchNorm2d(n_kept), nn.ReLU(inplace=True))
        return nn.Sequential(reduce, nn.Flatten()), n_kept * n_cells

    def _decode(self, numbers: Tensor) -> Tensor:
        """Boxes (N, 4) xyxy with ordered corners, in the unit of the numbers."""
        first, second = numbers[:, :2], numbers[:, 2:]
        if self.settings.BOX_FORM == "center":
            half = second.abs() / 2
            return torch.cat([first - half, first + half], dim=1)
        return torch.cat([torch.minimum(first, second), torch.maximum(first, second)], dim=1)

    def box_loss(self, numbers: Tensor, boxes_px: Tensor) -> Tensor:
        """Mean box loss of a batch; boxes_px (N, 4) xyxy."""
        wanted, kind = boxes_px / self._unit, self.settings.BOX_LOSS
        if kind in OVERLAP_LOSSES:
            return OVERLAP_LOSSES[kind](self._decode(numbers), wanted).mean()
        if self.settings.BOX_FORM == "center":
            wanted = torch.cat([(wanted[:, :2] + wanted[:, 2:]) / 2, wanted[:, 2:] - wanted[:, :2]], dim=1)
        if kind == "mse":
            return F.mse_loss(numbers, wanted)
        return F.smooth_l1_loss(numbers, wanted, beta=self.settings.SMOOTH_L1_BETA)


class HeadLayers(nn.Sequential):
    """What one head has for itself: dropout, then linear layers with ReLU; (N, `in_features`) -> (N, `out_features`).

    Args:
        in_features: of the input.
        node: CLASS_HEAD or BOX_HEAD of the configuration.
    """

    def __init__(self, in_features: int, node: CfgNode) -> None:
        dense = DenseLayers(in_features, node.UNITS, 0.0, last_dropout=False)
        super().__init__(nn.Dropout(node.DROPOUT), dense)
        self.out_features = dense.out_features


class AttentionPool(nn.Module):
    """Mean of a feature map (N, C, s, s) weighted by a learned map: (N, C).

    References: Nibali et al., Numerical coordinate regression with convolutional neural networks (2018), section 3.
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(n_channels, 1, 1)

    def forward(self, feature_map: Tensor) -> Tensor:
        return (feature_map * self._weights(feature_map)).sum(dim=(2, 3))

    def center_xy(self, feature_map: Tensor) -> Tensor:
        """Centre of gravity (N, 2) of the weights, as fractions of the sides."""
        weights = self._weights(feature_map)[:, 0]
        height, width = weights.shape[1:]
        ys = (torch.arange(height, device=weights.device) + 0.5) / height
        xs = (torch.arange(width, device=weights.device) + 0.5) / width
        return torch.stack([weights.sum(dim=1) @ xs, weights.sum(dim=2) @ ys], dim=1)

    def _weights(self, feature_map: Tensor) -> Tensor:
        scores = self.score(feature_map).float()
        return scores.flatten(2).softmax(dim=2).view_as(scores)


def aligned_iou(boxes_1: Tensor, boxes_2: Tensor) -> Tensor:
    """Intersection over union (N,) of boxes (N, 4) pair by pair; 0 where they do not overlap."""
    sides = (torch.minimum(boxes_1[:, 2:], boxes_2[:, 2:]) - torch.maximum(boxes_1[:, :2], boxes_2[:, :2])).clamp(min=0)
    intersection = sides.prod(dim=1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(dim=1) for boxes in (boxes_1, boxes_2)]
    return intersection / (areas[0] + areas[1] - intersection).clamp(min=1e-9)


def _iou_loss(boxes: Tensor, wanted: Tensor) -> Tensor:
    """1 - IoU (N,): without overlap it has no gradient, unlike the losses named after Generalized and Distance IoU."""
    return 1.0 - aligned_iou(boxes, wanted)


OVERLAP_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "iou": _iou_loss,
    "giou": generalized_box_iou_loss,
    "diou": distance_box_iou_loss,
    "ciou": complete_box_iou_loss,
}


def to_original(box_xyxy: Tensor, item: dict[str, Any]) -> Tensor:
    """A box (4,) of the network input in px of the original image, clipped to it."""
    back = np.linalg.inv(item["affine_to_input"])
    corners = geometry.transform_points(box_xyxy.numpy().astype(np.float64).reshape(2, 2), back)
    limits = np.array([item["width"], item["height"]], dtype=np.float64)
    return torch.from_numpy(np.clip(corners, 0.0, limits).astype(np.float32).reshape(4))
