"""Second stage, boxes: convolutions and fully connected layers, class scores, box deltas, losses, final boxes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.modeling.boxes import BoxTransform, box_regression_loss, clip_boxes, suppress
from fetal_hc.engine.modeling.layers import Conv2d, init_msra, init_normal, init_xavier

# Boxes (D, 4), scores (D,) and classes (D,) of one image in network-input pixels, best first.
FoundBoxes = tuple[Tensor, Tensor, Tensor]


class BoxHead(nn.Sequential):
    """Region features (R, C, S, S) -> (R, D): `conv1..`, `fc1..`, each followed by ReLU."""

    def __init__(self, cfg: CfgNode, in_channels: int) -> None:
        super().__init__()
        settings = cfg.MODEL.ROI_BOX_HEAD
        channels = in_channels
        for index in range(settings.NUM_CONV):
            conv = Conv2d(channels, settings.CONV_DIM, 3, norm=settings.NORM, relu=True)
            init_msra(conv)
            self.add_module(f"conv{index + 1}", conv)
            channels = settings.CONV_DIM
        self.out_dim = channels * settings.POOLER_RESOLUTION**2
        self.add_module("flatten", nn.Flatten())
        for index in range(settings.NUM_FC):
            fc = nn.Linear(self.out_dim, settings.FC_DIM)
            init_xavier(fc)
            self.add_module(f"fc{index + 1}", fc)
            self.add_module(f"fc_relu{index + 1}", nn.ReLU())
            self.out_dim = settings.FC_DIM


class BoxPredictor(nn.Module):
    """Class scores (R, K + 1), background last, and deltas (R, 4K), or (R, 4) when shared by the classes."""

    def __init__(self, cfg: CfgNode, in_dim: int, transform_weights: Sequence[float] = ()) -> None:
        super().__init__()
        self.settings = cfg.MODEL.ROI_BOX_HEAD
        self.roi = cfg.MODEL.ROI_HEADS
        self.max_detections = cfg.TEST.DETECTIONS_PER_IMAGE
        self.num_classes = self.roi.NUM_CLASSES
        self.transform = BoxTransform(transform_weights or self.settings.BBOX_REG_WEIGHTS)
        self.metrics: dict[str, Tensor] = {}
        self.cls_score = nn.Linear(in_dim, self.num_classes + 1)
        self.bbox_pred = nn.Linear(in_dim, 4 * (1 if self.settings.CLS_AGNOSTIC_BBOX_REG else self.num_classes))
        init_normal(self.cls_score, std=0.01)
        init_normal(self.bbox_pred, std=0.001)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.cls_score(x).float(), self.bbox_pred(x).float()

    def losses(
        self, scores: Tensor, deltas: Tensor, proposals: Tensor, classes: Tensor, target_boxes: Tensor
    ) -> dict[str, Tensor]:
        """Cross entropy over all regions; box loss over foreground, divided by the number of all regions.

        Detectron2's normalisation: every foreground region weighs the same, however many there are.
        """
        self.metrics = _classification_metrics(scores.detach(), classes)
        foreground = torch.nonzero((classes >= 0) & (classes < self.num_classes)).squeeze(1)
        if not self.settings.CLS_AGNOSTIC_BBOX_REG:
            per_class = deltas.view(-1, self.num_classes, 4)
            chosen = per_class[foreground, classes[foreground]]
        else:
            chosen = deltas[foreground]
        loss_box = box_regression_loss(
            self.transform,
            proposals[foreground],
            chosen,
            target_boxes[foreground],
            self.settings.BBOX_REG_LOSS_TYPE,
            self.settings.SMOOTH_L1_BETA,
        )
        # Without any region the mean would be NaN; Detectron2 returns a zero that keeps the graph.
        loss_cls = F.cross_entropy(scores, classes) if classes.numel() else scores.sum() * 0.0
        return {
            "loss_cls": loss_cls,
            "loss_box_reg": loss_box / max(classes.numel(), 1) * self.settings.BBOX_REG_LOSS_WEIGHT,
        }

    def detect_all(
        self,
        scores: Tensor,
        deltas: Tensor,
        proposals: Sequence[Tensor],
        image_sizes: Sequence[tuple[int, int]],
    ) -> list[FoundBoxes]:
        """`detect` for each image of a batch, from the scores and deltas of all of them."""
        counts = [boxes.shape[0] for boxes in proposals]
        return [
            self.detect(F.softmax(image_scores, dim=-1), self.transform.decode(image_deltas, boxes), image_hw)
            for image_scores, image_deltas, boxes, image_hw in zip(
                scores.split(counts), deltas.split(counts), proposals, image_sizes, strict=True
            )
        ]

    def detect(self, probabilities: Tensor, boxes: Tensor, image_hw: tuple[int, int]) -> FoundBoxes:
        """Boxes of one image after threshold and suppression.

        Args:
            probabilities: (R, K + 1), background last.
            boxes: (R, 4K), or (R, 4) when shared by the classes.
            image_hw: size of the network input before padding.
        """
        finite = torch.isfinite(boxes).all(dim=1) & torch.isfinite(probabilities).all(dim=1)
        boxes = clip_boxes(boxes.reshape(probabilities.shape[0], boxes.shape[1] // 4, 4), image_hw)
        foreground = probabilities[:, :-1]
        region, label = torch.nonzero((foreground > self.roi.SCORE_THRESH_TEST) & finite[:, None]).unbind(dim=1)
        boxes = boxes[region, torch.zeros_like(label) if self.settings.CLS_AGNOSTIC_BBOX_REG else label]
        kept_scores = foreground[region, label]
        keep = suppress(boxes, kept_scores, label, self.num_classes, self.roi.NMS_THRESH_TEST)
        keep = keep[: self.max_detections]
        return boxes[keep], kept_scores[keep], label[keep]


def _classification_metrics(scores: Tensor, classes: Tensor) -> dict[str, Tensor]:
    """Detectron2's shares of regions in a training batch; NaN where there is none.

    `cls_accuracy`: classified rightly. Of the foreground, `fg_cls_accuracy`: classified rightly, and `false_negative`:
    taken for background.
    """
    background = scores.shape[1] - 1
    predicted = scores.argmax(dim=1)
    is_foreground = (classes >= 0) & (classes < background)
    is_right = (predicted == classes).float()
    return {
        "fast_rcnn/cls_accuracy": is_right.mean(),
        "fast_rcnn/fg_cls_accuracy": is_right[is_foreground].mean(),
        "fast_rcnn/false_negative": (predicted[is_foreground] == background).float().mean(),
    }
