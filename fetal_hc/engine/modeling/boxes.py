"""Box arithmetic: regression transform, overlap, clipping, suppression, regression losses.

Reference: Ren et al., Faster R-CNN (NeurIPS 2015), equation 2 for the transform.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import batched_nms, complete_box_iou_loss, distance_box_iou_loss, generalized_box_iou_loss, nms

# The network cannot enlarge a box by more than this in one step (keeps exp finite).
SCALE_CLAMP = math.log(1000.0 / 16)


class BoxTransform:
    """Box regression deltas (dx, dy, dw, dh) between source boxes and target boxes, scaled by four weights."""

    def __init__(self, weights: Sequence[float]) -> None:
        self.weights = tuple(weights)

    def encode(self, source: Tensor, target: Tensor) -> Tensor:
        """Deltas (R, 4) that turn source (R, 4) into target (R, 4)."""
        source_w, source_h, source_x, source_y = _size_and_center(source)
        target_w, target_h, target_x, target_y = _size_and_center(target)
        wx, wy, ww, wh = self.weights
        return torch.stack(
            (
                wx * (target_x - source_x) / source_w,
                wy * (target_y - source_y) / source_h,
                ww * torch.log(target_w / source_w),
                wh * torch.log(target_h / source_h),
            ),
            dim=1,
        )

    def decode(self, deltas: Tensor, boxes: Tensor) -> Tensor:
        """Boxes (R, 4 * C) from deltas (R, 4 * C) applied to boxes (R, 4), in float32."""
        deltas = deltas.float()
        boxes = boxes.to(deltas.dtype)
        width, height, center_x, center_y = (part[:, None] for part in _size_and_center(boxes))
        wx, wy, ww, wh = self.weights
        new_x = deltas[:, 0::4] / wx * width + center_x
        new_y = deltas[:, 1::4] / wy * height + center_y
        new_w = torch.exp(torch.clamp(deltas[:, 2::4] / ww, max=SCALE_CLAMP)) * width
        new_h = torch.exp(torch.clamp(deltas[:, 3::4] / wh, max=SCALE_CLAMP)) * height
        corners = (new_x - 0.5 * new_w, new_y - 0.5 * new_h, new_x + 0.5 * new_w, new_y + 0.5 * new_h)
        return torch.stack(corners, dim=-1).reshape(deltas.shape)


def _size_and_center(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    width = boxes[:, 2] - boxes[:, 0]
    height = boxes[:, 3] - boxes[:, 1]
    return width, height, boxes[:, 0] + 0.5 * width, boxes[:, 1] + 0.5 * height


def box_area(boxes: Tensor) -> Tensor:
    """Areas (R,) of boxes (R, 4)."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def pairwise_iou(boxes_1: Tensor, boxes_2: Tensor) -> Tensor:
    """Intersection over union (R1, R2); 0 where boxes do not overlap, also for empty boxes."""
    corner = torch.min(boxes_1[:, None, 2:], boxes_2[:, 2:]) - torch.max(boxes_1[:, None, :2], boxes_2[:, :2])
    inter = corner.clamp(min=0).prod(dim=2)
    union = box_area(boxes_1)[:, None] + box_area(boxes_2) - inter
    return torch.where(inter > 0, inter / union, torch.zeros_like(inter))


def clip_boxes(boxes: Tensor, image_hw: tuple[int, int]) -> Tensor:
    """Boxes (..., 4) limited to [0, W] x [0, H]."""
    height, width = image_hw
    x0, y0, x1, y1 = boxes.unbind(dim=-1)
    return torch.stack((x0.clamp(0, width), y0.clamp(0, height), x1.clamp(0, width), y1.clamp(0, height)), dim=-1)


def nonempty(boxes: Tensor, threshold: float = 0.0) -> Tensor:
    """Mask (R,) of boxes whose sides are both longer than the threshold."""
    return ((boxes[:, 2] - boxes[:, 0]) > threshold) & ((boxes[:, 3] - boxes[:, 1]) > threshold)


def suppress(boxes: Tensor, scores: Tensor, groups: Tensor, n_groups: int, iou_threshold: float) -> Tensor:
    """Indices kept by non-maximum suppression within each group (level or class), by falling score.

    An exported graph suppresses group by group: torchvision's own choice between two algorithms depends on the
    number of boxes, which a graph cannot branch on. Both give the same boxes.
    """
    if not torch.onnx.is_in_onnx_export():
        return batched_nms(boxes.float(), scores, groups, iou_threshold)
    kept = []
    for group in range(n_groups):
        members = torch.nonzero(groups == group).squeeze(1)
        kept.append(members[nms(boxes[members], scores[members], iou_threshold)])
    joined = torch.cat(kept)
    return joined[torch.sort(scores[joined], descending=True).indices]


def box_regression_loss(
    transform: BoxTransform, source: Tensor, deltas: Tensor, target: Tensor, loss_type: str, beta: float
) -> Tensor:
    """Summed regression loss of deltas (R, 4) on source boxes (R, 4) against target boxes (R, 4)."""
    deltas = deltas.float()
    if loss_type == "smooth_l1":
        wanted = transform.encode(source, target)
        # beta below 1e-5 means plain L1, as in fvcore; torch's own beta = 0 is the same function.
        if beta < 1e-5:
            return F.l1_loss(deltas, wanted, reduction="sum")
        return F.smooth_l1_loss(deltas, wanted, beta=beta, reduction="sum")
    losses = {"giou": generalized_box_iou_loss, "diou": distance_box_iou_loss, "ciou": complete_box_iou_loss}
    return losses[loss_type](transform.decode(deltas, source), target, reduction="sum")
