"""Training targets and detections exchanged between the data pipeline, the model and the evaluators.

Boxes are `box_xyxy` in Detectron2's corner convention: pixel i covers [i, i + 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from torch import Tensor
from torchvision.ops import roi_align

from fetal_hc.io.masks import rle_to_mask
from fetal_hc.io.records import InstancePrediction


def rasterize_polygons_within_box(
    polygons: Sequence[NDArray[np.float64]], box_xyxy: NDArray[np.float32], size: int
) -> NDArray[np.bool_]:
    """Binary mask (size, size) of the union of polygons, cropped to a box and resized to a square grid.

    Args:
        polygons: flat arrays [x0, y0, x1, y1, ...], float64, corner convention.
        box_xyxy: the crop, (4,), same frame as the polygons; sides below 0.1 px count as 0.1 px.
        size: side of the grid in cells.

    References: Detectron2, structures/masks.py, rasterize_polygons_within_box (same arithmetic, so equal bits).
    """
    if not polygons:
        return np.zeros((size, size), dtype=bool)
    width, height = box_xyxy[2] - box_xyxy[0], box_xyxy[3] - box_xyxy[1]
    ratio_x, ratio_y = size / max(width, 0.1), size / max(height, 0.1)
    shifted = []
    for polygon in polygons:
        cropped = np.empty_like(polygon)
        cropped[0::2] = (polygon[0::2] - box_xyxy[0]) * ratio_x
        cropped[1::2] = (polygon[1::2] - box_xyxy[1]) * ratio_y
        shifted.append(cropped)
    return rle_to_mask(coco_mask.merge(coco_mask.frPyObjects(shifted, size, size)))


class PolygonMasks:
    """Masks of one image as polygons: per instance a list of flat float64 arrays, network-input px, corner convention.

    An instance without segmentation holds an empty list and crops to zeros.
    """

    def __init__(self, polygons: list[list[NDArray[np.float64]]]) -> None:
        self.polygons = polygons

    def __len__(self) -> int:
        return len(self.polygons)

    def to(self, device: torch.device | str) -> PolygonMasks:
        """The same masks: polygons stay on the CPU, crops follow the device of the boxes."""
        return self

    def crop_and_resize(self, boxes: Tensor, indices: Tensor, size: int) -> Tensor:
        """Binary targets (K, size, size), float32 0 or 1, of instance `indices[k]` inside `boxes[k]`.

        Args:
            boxes: (K, 4) xyxy, network-input px, corner convention.
            indices: (K,) int64 positions of the instances.
            size: side of the square grid.
        """
        boxes_np = boxes.detach().to("cpu", torch.float32).numpy()
        targets = np.zeros((len(boxes_np), size, size), dtype=np.float32)
        for row, (box, index) in enumerate(zip(boxes_np, indices.tolist(), strict=True)):
            targets[row] = rasterize_polygons_within_box(self.polygons[index], box, size)
        return torch.from_numpy(targets).to(boxes.device)


class CoverageMasks:
    """Masks of one image as area-coverage maps: (N, H, W) float32 in [0, 1] at network-input resolution.

    Args:
        coverage: the maps, or a window of all of them outside of which they are 0.
        is_binary: threshold the crops at 0.5 (Detectron2's bitmask targets); otherwise they stay soft.
        origin_xy: where the window starts, in whole pixels.
    """

    def __init__(self, coverage: Tensor, is_binary: bool = False, origin_xy: tuple[int, int] = (0, 0)) -> None:
        self.coverage = coverage
        self.is_binary = is_binary
        self.origin_xy = origin_xy

    def __len__(self) -> int:
        return self.coverage.shape[0]

    def to(self, device: torch.device | str) -> CoverageMasks:
        """A copy of the masks on `device`; another device than the CPU gets no more than the window of the objects."""
        if torch.device(device).type == "cpu" or self.coverage.device.type != "cpu":
            return CoverageMasks(self.coverage.to(device), self.is_binary, self.origin_xy)
        window = self.windowed()
        return CoverageMasks(window.coverage.to(device, non_blocking=True), self.is_binary, window.origin_xy)

    def windowed(self) -> CoverageMasks:
        """The same masks, cut to what any of them covers and a margin of one empty pixel where the image has one."""
        covered = (self.coverage > 0).any(dim=0)
        rows, columns = covered.any(dim=1).nonzero(), covered.any(dim=0).nonzero()
        if len(rows) == 0:
            return CoverageMasks(self.coverage[:, :1, :1], self.is_binary, self.origin_xy)
        y0, x0 = max(int(rows[0]) - 1, 0), max(int(columns[0]) - 1, 0)
        window = self.coverage[:, y0 : int(rows[-1]) + 2, x0 : int(columns[-1]) + 2].contiguous()
        return CoverageMasks(window, self.is_binary, (self.origin_xy[0] + x0, self.origin_xy[1] + y0))

    def pin_memory(self) -> CoverageMasks:
        """The masks in memory from which a GPU can copy by itself."""
        return CoverageMasks(self.coverage.pin_memory(), self.is_binary, self.origin_xy)

    def crop_and_resize(self, boxes: Tensor, indices: Tensor, size: int) -> Tensor:
        """Targets (K, size, size), float32: mean coverage of instance `indices[k]` in each cell of `boxes[k]`.

        Aligned RoIAlign with ceil(cell side) samples per cell and axis, so neither area nor outline is shifted.

        Args:
            boxes: (K, 4) xyxy, network-input px, corner convention.
            indices: (K,) int64 positions of the instances.
            size: side of the square grid.
        """
        if len(boxes) == 0:
            return boxes.new_zeros((0, size, size), dtype=torch.float32)
        boxes = boxes.detach().to(torch.float32)
        if self.origin_xy != (0, 0):
            boxes = boxes - boxes.new_tensor([*self.origin_xy, *self.origin_xy])
        rois = torch.cat([indices[:, None].to(torch.float32), boxes], dim=1)
        maps = self.coverage[:, None]
        targets = roi_align(maps, rois.to(maps.device), (size, size), 1.0, sampling_ratio=0, aligned=True)[:, 0]
        return (targets >= 0.5).to(torch.float32) if self.is_binary else targets


@dataclass
class Targets:
    """Ground truth of one training image in network-input pixels.

    Attributes:
        boxes: (N, 4) float32 xyxy, corner convention.
        classes: (N,) int64, contiguous 0-based.
        masks: N masks, or None when the model has no mask head or no instance has a segmentation.
        has_mask: (N,) bool, False where an instance has a box only; mask losses skip these.
    """

    boxes: Tensor
    classes: Tensor
    masks: PolygonMasks | CoverageMasks | None
    has_mask: Tensor

    def __len__(self) -> int:
        return self.boxes.shape[0]

    def to(self, device: torch.device | str) -> Targets:
        """A copy of the targets on `device`."""
        masks = None if self.masks is None else self.masks.to(device)
        return Targets(self.boxes.to(device), self.classes.to(device), masks, self.has_mask.to(device))

    def pin_memory(self) -> Targets:
        """The targets in memory from which a GPU can copy by itself; torch's loader calls it."""
        masks = self.masks.pin_memory() if isinstance(self.masks, CoverageMasks) else self.masks
        return Targets(self.boxes.pin_memory(), self.classes.pin_memory(), masks, self.has_mask.pin_memory())


@dataclass
class Detections:
    """Objects found in one image, in pixels of the original image, or of the network input before they are scaled back.

    Attributes:
        boxes: (N, 4) float32 xyxy, corner convention.
        scores: (N,) float32 in [0, 1], falling.
        classes: (N,) int64, contiguous 0-based.
        masks: (N, M, M) float32 in [0, 1] over each box, or None for a model without mask head.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    masks: Tensor | None

    def __len__(self) -> int:
        return self.boxes.shape[0]

    def to(self, device: torch.device | str) -> Detections:
        """A copy of the detections on `device`."""
        masks = None if self.masks is None else self.masks.to(device)
        return Detections(self.boxes.to(device), self.scores.to(device), self.classes.to(device), masks)

    def to_predictions(self) -> list[InstancePrediction]:
        """One torch-free record per detection; without mask head the soft mask is one full cell, i.e. the box."""
        boxes = self.boxes.detach().cpu().to(torch.float32).numpy()
        scores, labels = self.scores.detach().cpu().tolist(), self.classes.detach().cpu().tolist()
        if self.masks is None:
            masks = np.ones((len(boxes), 1, 1), dtype=np.float32)
        else:
            masks = self.masks.detach().cpu().to(torch.float32).numpy()
        return [
            InstancePrediction(box_xyxy=box, score=float(score), label=int(label), soft_mask=mask)
            for box, score, label, mask in zip(boxes, scores, labels, masks, strict=True)
        ]
