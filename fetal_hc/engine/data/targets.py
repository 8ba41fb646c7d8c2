"""Annotations of one image, moved into network-input pixels, as training targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from fetal_hc.engine.data import geometry
from fetal_hc.engine.data.geometry import Float64Array
from fetal_hc.engine.structures import CoverageMasks, PolygonMasks, Targets
from fetal_hc.io.masks import polygon_to_coverage, rle_to_mask

# Sides at or below this make a box empty (Detectron2, filter_empty_instances).
EMPTY_BOX_PX = 1e-5
# Scan lines per pixel row of a coverage map, each exact along x.
COVERAGE_LINES = 16
# Samples per pixel and axis when a run-length mask is moved.
MASK_SUPERSAMPLING = 4


@dataclass
class _Instance:
    """One annotation in network-input pixels: outline or coverage map, whichever its segmentation gives."""

    class_id: int
    box_xyxy: Float64Array
    polygons: list[Float64Array]
    coverage: NDArray[np.float32] | None

    @property
    def has_mask(self) -> bool:
        return bool(self.polygons) or self.coverage is not None


def build_targets(
    annotations: Sequence[Mapping[str, Any]],
    matrix: Float64Array,
    image_hw: tuple[int, int],
    *,
    use_masks: bool,
    soft_masks: bool,
    tight_boxes: bool,
) -> Targets:
    """Targets of one sample; crowds and instances that end up outside the image are left out.

    Args:
        annotations: of one record, with `bbox` xywh, `category_id` (0-based), `segmentation`, `iscrowd`.
        matrix: affine (3, 3) from the original image to the network input, corner convention.
        image_hw: size of the network input.
        use_masks: whether the model has a mask head.
        soft_masks: area-coverage targets instead of Detectron2's binary ones.
        tight_boxes: take boxes from the moved outline clipped to the image instead of from the moved `bbox`;
            needed after a rotation or where parts leave the image.
    """
    instances = [
        instance
        for annotation in annotations
        if not annotation.get("iscrowd", 0)
        and (instance := _move_instance(annotation, matrix, image_hw, tight_boxes)) is not None
    ]
    boxes = np.array([instance.box_xyxy for instance in instances], dtype=np.float64).reshape(-1, 4)
    has_mask = torch.tensor([use_masks and instance.has_mask for instance in instances], dtype=torch.bool)
    return Targets(
        boxes=torch.from_numpy(boxes.astype(np.float32)),
        classes=torch.tensor([instance.class_id for instance in instances], dtype=torch.int64),
        masks=_build_masks(instances, image_hw, soft_masks) if has_mask.any() else None,
        has_mask=has_mask,
    )


def _move_instance(
    annotation: Mapping[str, Any], matrix: Float64Array, image_hw: tuple[int, int], tight_boxes: bool
) -> _Instance | None:
    """The annotation in network-input pixels, or None when nothing of it is left in the image."""
    segmentation = annotation.get("segmentation")
    polygons: list[Float64Array] = []
    coverage = None
    if isinstance(segmentation, Mapping):
        coverage = _warp_rle(segmentation, matrix, image_hw)
    elif segmentation:
        polygons = [
            geometry.transform_points(np.asarray(flat, dtype=np.float64).reshape(-1, 2), matrix)
            for flat in segmentation
        ]
    box_xyxy = None
    if tight_boxes and polygons:
        box_xyxy = _box_of_polygons(polygons, image_hw)
    elif tight_boxes and coverage is not None:
        box_xyxy = _box_of_coverage(coverage)
    else:
        box_xyxy = _move_box(annotation["bbox"], matrix, image_hw)
    if box_xyxy is None or (box_xyxy[2:] - box_xyxy[:2] <= EMPTY_BOX_PX).any():
        return None
    if coverage is not None and not (coverage >= 0.5).any():
        return None
    return _Instance(int(annotation["category_id"]), box_xyxy, polygons, coverage)


def _move_box(bbox_xywh: Sequence[float], matrix: Float64Array, image_hw: tuple[int, int]) -> Float64Array:
    """Upright box (4,) xyxy around the moved corners of a box, clipped to the image."""
    x0, y0, width, height = bbox_xywh
    x1, y1 = x0 + width, y0 + height
    corners_xy = geometry.transform_points(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=np.float64), matrix)
    limits = np.array([image_hw[1], image_hw[0]], dtype=np.float64)
    return np.concatenate([np.clip(corners_xy.min(axis=0), 0, limits), np.clip(corners_xy.max(axis=0), 0, limits)])


def _box_of_polygons(polygons: Sequence[Float64Array], image_hw: tuple[int, int]) -> Float64Array | None:
    """Upright box (4,) xyxy around the parts of polygons inside the image."""
    visible_xy = np.concatenate([geometry.clip_polygon(polygon, image_hw) for polygon in polygons])
    if len(visible_xy) == 0:
        return None
    return np.concatenate([visible_xy.min(axis=0), visible_xy.max(axis=0)])


def _box_of_coverage(coverage: NDArray[np.float32]) -> Float64Array | None:
    """Upright box (4,) xyxy around the pixels covered by half or more."""
    rows, columns = np.nonzero(coverage >= 0.5)
    if len(rows) == 0:
        return None
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], dtype=np.float64)


def _warp_rle(rle: Mapping[str, Any], matrix: Float64Array, image_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Coverage map (H, W) of a run-length mask moved by an affine: mean over a fine grid in each pixel."""
    mask = rle_to_mask(rle).astype(np.float32)
    fine = geometry.scaling(MASK_SUPERSAMPLING, MASK_SUPERSAMPLING) @ matrix
    size_wh = (image_hw[1], image_hw[0])
    fine_wh = (size_wh[0] * MASK_SUPERSAMPLING, size_wh[1] * MASK_SUPERSAMPLING)
    warped = cv2.warpAffine(mask, geometry.to_center_convention(fine), fine_wh, flags=cv2.INTER_LINEAR)
    coverage = np.empty(image_hw, dtype=np.float32)
    cv2.resize(warped, size_wh, dst=coverage, interpolation=cv2.INTER_AREA)
    return coverage


def _build_masks(
    instances: Sequence[_Instance], image_hw: tuple[int, int], soft_masks: bool
) -> PolygonMasks | CoverageMasks:
    """Polygons where binary targets are asked for and every outline is one; coverage maps otherwise."""
    if not soft_masks and all(instance.coverage is None for instance in instances):
        return PolygonMasks([[polygon.ravel() for polygon in instance.polygons] for instance in instances])
    maps = np.zeros((len(instances), *image_hw), dtype=np.float32)
    for row, instance in zip(maps, instances, strict=True):
        if instance.coverage is not None:
            row[:] = instance.coverage
        for polygon in instance.polygons:
            row += polygon_to_coverage(polygon, image_hw, COVERAGE_LINES)
    return CoverageMasks(torch.from_numpy(np.minimum(maps, 1.0)), is_binary=not soft_masks)
