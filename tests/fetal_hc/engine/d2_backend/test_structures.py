"""Mask targets inside Detectron2's Instances."""

from __future__ import annotations

import pytest
import torch

from fetal_hc.engine.structures import CoverageMasks, Targets

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]
BOXES = torch.tensor([[4.0, 4.0, 20.0, 20.0], [8.0, 2.0, 30.0, 25.0], [0.0, 0.0, 32.0, 32.0]])


@pytest.fixture
def coverage() -> CoverageMasks:
    return CoverageMasks(torch.rand((2, 32, 32), generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def targets(coverage: CoverageMasks) -> Targets:
    return Targets(BOXES[:2], torch.tensor([0, 0]), coverage, torch.tensor([True, False]))


def test_instances_take_and_index_them(targets: Targets, coverage: CoverageMasks) -> None:
    from fetal_hc.engine.d2_backend.structures import to_instances

    instances = to_instances(targets, (32, 32), use_masks=True)
    sampled = instances[torch.tensor([1, 0, 1])]
    assert len(sampled.gt_masks) == len(sampled) == 3
    assert sampled.gt_masks.has_mask.tolist() == [False, True, False]
    assert sampled.gt_masks.masks is coverage  # indexing copies no map
    crops = sampled.gt_masks.crop_and_resize(BOXES, 14)
    expected = coverage.crop_and_resize(BOXES, torch.tensor([1, 0, 1]), 14)
    assert torch.equal(crops, expected)
    assert ((crops > 0) & (crops < 1)).any()  # soft


def test_single_row_stays_a_row(targets: Targets) -> None:
    from fetal_hc.engine.d2_backend.structures import to_instances

    instances = to_instances(targets, (32, 32), use_masks=True)
    assert len(instances[1].gt_masks) == 1
    assert instances[1].gt_masks.indices.tolist() == [1]


def test_they_follow_a_device(targets: Targets) -> None:
    from fetal_hc.engine.d2_backend.structures import to_instances

    moved = to_instances(targets, (32, 32), use_masks=True).to("meta").gt_masks
    assert moved.indices.device.type == moved.has_mask.device.type == "meta"
    assert moved.masks.coverage.device.type == "meta"


def test_image_without_outlines_gives_zeros() -> None:
    from fetal_hc.engine.d2_backend.structures import to_instances

    boxes_only = Targets(BOXES, torch.tensor([0, 0, 0]), None, torch.tensor([False] * 3))
    masks = to_instances(boxes_only, (32, 32), use_masks=True).gt_masks
    assert masks.crop_and_resize(BOXES, 7).abs().sum() == 0
    assert masks.crop_and_resize(BOXES, 7).shape == (3, 7, 7)


def test_without_mask_head_there_is_no_mask_field(targets: Targets) -> None:
    from fetal_hc.engine.d2_backend.structures import to_instances

    assert not to_instances(targets, (32, 32), use_masks=False).has("gt_masks")
