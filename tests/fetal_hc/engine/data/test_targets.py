from typing import Any

import numpy as np
import pytest
import torch

from fetal_hc.engine.data import geometry
from fetal_hc.engine.data.targets import build_targets
from fetal_hc.engine.structures import CoverageMasks, PolygonMasks, Targets
from fetal_hc.io.masks import mask_to_rle

IMAGE_HW = (40, 60)
IDENTITY = np.eye(3)


def square(x0: float, y0: float, side: float, **fields: Any) -> dict[str, Any]:
    polygon = [x0, y0, x0 + side, y0, x0 + side, y0 + side, x0, y0 + side]
    return {"bbox": [x0, y0, side, side], "category_id": 0, "iscrowd": 0, "segmentation": [polygon], **fields}


def box_only(x0: float, y0: float, side: float) -> dict[str, Any]:
    return {"bbox": [x0, y0, side, side], "category_id": 1, "iscrowd": 0}


def rle_square(x0: int, y0: int, side: int) -> dict[str, Any]:
    mask = np.zeros(IMAGE_HW, dtype=bool)
    mask[y0 : y0 + side, x0 : x0 + side] = True
    return {**box_only(x0, y0, side), "segmentation": mask_to_rle(mask)}


def build(*annotations: dict[str, Any], matrix: np.ndarray = IDENTITY, **options: bool) -> Targets:
    defaults = {"use_masks": True, "soft_masks": True, "tight_boxes": False}
    return build_targets(annotations, matrix, IMAGE_HW, **{**defaults, **options})


def coverage_of(targets: Targets) -> torch.Tensor:
    assert isinstance(targets.masks, CoverageMasks)
    return targets.masks.coverage


def test_boxes_become_corners_and_classes_stay():
    targets = build(square(4, 6, 10, category_id=2), box_only(1.5, 2.5, 3))
    assert targets.boxes.tolist() == [[4, 6, 14, 16], [1.5, 2.5, 4.5, 5.5]]
    assert targets.boxes.dtype == torch.float32
    assert targets.classes.tolist() == [2, 1]


def test_boxes_are_clipped_to_the_image():
    assert build(square(-5, 30, 20)).boxes.tolist() == [[0, 30, 15, 40]]


def test_crowds_are_left_out():
    assert len(build(square(4, 6, 10, iscrowd=1))) == 0


def test_instances_outside_the_image_are_dropped():
    targets = build(square(70, 6, 10), square(4, 6, 10), box_only(-9, 0, 5))
    assert targets.boxes.tolist() == [[4, 6, 14, 16]]
    assert len(coverage_of(targets)) == 1


def test_an_image_without_instances_has_empty_targets():
    targets = build()
    assert targets.boxes.shape == (0, 4)
    assert targets.has_mask.shape == (0,)
    assert targets.masks is None


def test_binary_targets_keep_polygons_in_float64():
    matrix = geometry.translation(1 / 3, 0)
    targets = build(square(4, 6, 10), matrix=matrix, soft_masks=False)
    assert isinstance(targets.masks, PolygonMasks)
    assert targets.masks.polygons[0][0].dtype == np.float64
    assert targets.masks.polygons[0][0][0] == 4 + 1 / 3


def test_soft_targets_cover_the_area_of_the_outline():
    coverage = coverage_of(build(square(4.25, 6.5, 10)))
    assert float(coverage.sum()) == pytest.approx(100, rel=1e-5)
    assert coverage[0, 10, 4] == pytest.approx(0.75)


def test_polygons_of_one_instance_join():
    left, right = square(4, 6, 10), square(20, 6, 10)
    joined = {**left, "segmentation": left["segmentation"] + right["segmentation"]}
    assert float(coverage_of(build(joined)).sum()) == pytest.approx(200)


def test_tight_box_is_that_of_the_visible_outline():
    turn = geometry.translation(0, 20) @ geometry.rotation(np.pi / 4) @ geometry.translation(-10, -10)
    targets = build(square(5, 5, 10), matrix=turn, tight_boxes=True)
    half = 5 * np.sqrt(2)
    np.testing.assert_allclose(targets.boxes, [[0, 20 - half, half, 20 + half]], rtol=1e-6)


def test_box_of_an_instance_without_outline_contains_the_turned_box():
    turn = geometry.about_center(geometry.rotation(np.pi / 4), (20, 20))
    half = 5 * np.sqrt(2)
    targets = build(box_only(5, 5, 10), matrix=turn, tight_boxes=True)
    np.testing.assert_allclose(targets.boxes, [[10 - half, 10 - half, 10 + half, 10 + half]], rtol=1e-6)


@pytest.mark.parametrize("soft_masks", [True, False])
def test_instances_with_boxes_only_are_marked(soft_masks: bool):
    targets = build(square(4, 6, 10), box_only(1, 2, 3), soft_masks=soft_masks)
    assert targets.has_mask.tolist() == [True, False]
    assert targets.masks is not None
    assert targets.masks.crop_and_resize(targets.boxes[1:], torch.tensor([1]), 7).sum() == 0


def test_boxes_only_give_no_masks():
    targets = build(box_only(1, 2, 3))
    assert targets.masks is None
    assert targets.has_mask.tolist() == [False]


def test_a_model_without_mask_head_gets_no_masks_but_tight_boxes():
    turn = geometry.about_center(geometry.rotation(np.pi / 2), (20, 20))
    wide = {**square(5, 5, 10), "bbox": [0, 0, 20, 20]}
    targets = build(wide, matrix=turn, use_masks=False, tight_boxes=True)
    assert targets.masks is None
    np.testing.assert_allclose(targets.boxes, [[5, 5, 15, 15]], rtol=1e-6)


def test_run_lengths_move_without_bias():
    matrix = geometry.translation(3.3, -1.6) @ geometry.scaling(0.7, 0.7)
    coverage = coverage_of(build(rle_square(20, 10, 12), matrix=matrix))[0].numpy()
    y, x = np.mgrid[:40, :60] + 0.5
    assert coverage.sum() == pytest.approx(0.49 * 144, rel=0.01)
    assert (coverage * x).sum() / coverage.sum() == pytest.approx(26 * 0.7 + 3.3, abs=0.02)
    assert (coverage * y).sum() / coverage.sum() == pytest.approx(16 * 0.7 - 1.6, abs=0.02)


def test_run_lengths_give_a_tight_box():
    targets = build(rle_square(20, 10, 12), matrix=geometry.translation(35, 0), tight_boxes=True)
    assert targets.boxes.tolist() == [[55, 10, 60, 22]]


def test_run_lengths_moved_out_of_the_image_are_dropped():
    assert len(build(rle_square(20, 10, 12), matrix=geometry.translation(50, 0), tight_boxes=True)) == 0


def test_binary_targets_with_run_lengths_are_thresholded_coverage():
    targets = build(rle_square(20, 10, 12), square(4, 6, 10), soft_masks=False)
    assert isinstance(targets.masks, CoverageMasks)
    assert targets.masks.is_binary
    crop = targets.masks.crop_and_resize(torch.tensor([[20.0, 10, 44, 34]]), torch.tensor([0]), 8)
    assert crop.sum() == 16
