"""Parts of Mask R-CNN against Detectron2's rules with numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.modeling.anchors import AnchorGenerator, match, subsample
from fetal_hc.engine.modeling.boxes import (
    BoxTransform,
    box_regression_loss,
    clip_boxes,
    nonempty,
    pairwise_iou,
    suppress,
)
from fetal_hc.engine.modeling.fpn import RegionPooler
from fetal_hc.engine.modeling.layers import FrozenBatchNorm2d
from fetal_hc.engine.modeling.resnet import BottleneckBlock, ResNet


def test_anchors_are_not_rounded_and_run_over_cells_sizes_ratios(make_config: Callable[..., CfgNode]) -> None:
    cfg = make_config(
        "MODEL.ANCHOR_GENERATOR.SIZES", "[[32, 50]]", "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", "[[0.5, 2.0]]"
    )
    (anchors,) = AnchorGenerator(cfg, [16])([torch.zeros(1, 1, 2, 3)])
    width = math.sqrt(32 * 32 / 0.5)
    assert anchors.shape == (2 * 3 * 4, 4)
    torch.testing.assert_close(anchors[0], torch.tensor([-width / 2, -width / 4, width / 2, width / 4]))
    torch.testing.assert_close(anchors[1, 2], torch.tensor(width / 4))  # same size, other ratio
    torch.testing.assert_close(anchors[4:8] - anchors[:4], torch.tensor([[16.0, 0, 16, 0]]).expand(4, 4))
    torch.testing.assert_close(anchors[12:16] - anchors[:4], torch.tensor([[0.0, 16, 0, 16]]).expand(4, 4))


def test_anchor_offset_shifts_by_a_part_of_the_stride(make_config: Callable[..., CfgNode]) -> None:
    features = [torch.zeros(1, 1, 1, 1)]
    (plain,) = AnchorGenerator(make_config("MODEL.ANCHOR_GENERATOR.SIZES", "[[32]]"), [8])(features)
    cfg = make_config("MODEL.ANCHOR_GENERATOR.SIZES", "[[32]]", "MODEL.ANCHOR_GENERATOR.OFFSET", "0.5")
    (shifted,) = AnchorGenerator(cfg, [8])(features)
    torch.testing.assert_close(shifted - plain, torch.full_like(plain, 4.0))


def test_box_transform_decodes_what_it_encoded() -> None:
    transform = BoxTransform((10.0, 10.0, 5.0, 5.0))
    source = torch.tensor([[0.0, 0, 10, 20], [5, 5, 50, 25]])
    target = torch.tensor([[2.0, -3, 17, 30], [1, 2, 60, 40]])
    torch.testing.assert_close(transform.decode(transform.encode(source, target), source), target)


def test_decoding_limits_enlargement_to_1000_over_16() -> None:
    decoded = BoxTransform((1.0, 1.0, 1.0, 1.0)).decode(
        torch.tensor([[0.0, 0, 50, 50]]), torch.tensor([[0.0, 0, 8, 8]])
    )
    assert (decoded[0, 2] - decoded[0, 0]).item() == pytest.approx(8 * 1000 / 16)


def test_overlap_of_known_boxes_and_of_an_empty_one() -> None:
    boxes = torch.tensor([[0.0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 5, 5]])
    torch.testing.assert_close(pairwise_iou(boxes[:1], boxes), torch.tensor([[1.0, 1 / 7, 0.0]]))


def test_boxes_are_clipped_to_the_image_and_empty_ones_found() -> None:
    boxes = clip_boxes(torch.tensor([[-5.0, -5, 300, 90], [200, 10, 250, 20]]), (80, 160))
    assert boxes.tolist() == [[0, 0, 160, 80], [160, 10, 160, 20]]
    assert nonempty(boxes).tolist() == [True, False]


def test_suppression_stays_within_groups_and_sorts_by_score() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10.5], [0, 0, 10, 10]])
    kept = suppress(boxes, torch.tensor([0.5, 0.9, 0.7]), torch.tensor([0, 0, 1]), 2, 0.5)
    assert kept.tolist() == [1, 2]


@pytest.mark.parametrize("loss_type", ["smooth_l1", "giou", "diou", "ciou"])
def test_box_loss_is_zero_for_the_right_deltas_and_positive_for_others(loss_type: str) -> None:
    transform = BoxTransform((1.0, 1.0, 1.0, 1.0))
    source, target = torch.tensor([[0.0, 0, 10, 20]]), torch.tensor([[2.0, 3, 15, 30]])
    right = transform.encode(source, target)
    assert box_regression_loss(transform, source, right, target, loss_type, 0.0).item() == pytest.approx(0, abs=1e-5)
    assert box_regression_loss(transform, source, right + 0.3, target, loss_type, 0.0).item() > 0.05


def test_matching_labels_by_thresholds_and_keeps_the_best_of_each_target() -> None:
    iou = torch.tensor([[0.1, 0.5, 0.8, 0.0], [0.2, 0.1, 0.0, 0.0]])
    matches, labels = match(iou, [0.3, 0.7], [0, -1, 1], allow_low_quality=True)
    assert labels.tolist() == [1, -1, 1, 0]  # the first is the best there is for target 1
    assert matches[:3].tolist() == [1, 0, 0]


def test_without_targets_everything_is_background() -> None:
    matches, labels = match(torch.zeros(0, 3), [0.5], [0, 1], allow_low_quality=False)
    assert matches.tolist() == labels.tolist() == [0, 0, 0]


def test_sampling_fills_missing_positives_with_negatives() -> None:
    labels = torch.tensor([1, 1, 0, 0, 0, 0, -1, 0])
    positive, negative = subsample(labels, 6, 0.5, background=0)
    assert sorted(positive.tolist()) == [0, 1]
    assert len(negative) == 4
    assert 6 not in negative


def test_region_level_follows_the_canonical_size() -> None:
    pooler = RegionPooler(1, [8, 16, 32], 0, "ROIAlignV2")
    features = [torch.full((1, 1, 64, 64), float(level)) for level in (3, 4, 5)]
    sides = [20.0, 111.0, 112.0, 223.0, 224.0, 447.0, 448.0, 500.0]
    boxes = torch.tensor([[0, 0, side, side] for side in sides])
    assert pooler(features, [boxes]).flatten().tolist() == pytest.approx([3, 3, 3, 3, 4, 4, 5, 5])


def test_aligned_pooling_samples_at_pixel_centres() -> None:
    ramp = torch.arange(16.0).repeat(16, 1)[None, None]
    box = torch.tensor([[4.0, 4.0, 8.0, 8.0]])
    aligned = RegionPooler(1, [1], 0, "ROIAlignV2")([ramp], [box])
    legacy = RegionPooler(1, [1], 0, "ROIAlign")([ramp], [box])
    assert aligned.item() == pytest.approx(5.5)  # pixels 4..7 have their centres at 4.5..7.5
    assert legacy.item() == pytest.approx(6.0)


@pytest.mark.parametrize(("stride_in_1x1", "strides"), [(True, (2, 1)), (False, (1, 2))])
def test_stride_sits_where_the_configuration_says(stride_in_1x1: bool, strides: tuple[int, int]) -> None:
    block = BottleneckBlock(8, 16, 4, stride=2, norm="BN", groups=1, stride_in_1x1=stride_in_1x1)
    assert (block.conv1.stride[0], block.conv2.stride[0]) == strides


def test_frozen_norm_gives_the_same_output_with_and_without_gradients() -> None:
    norm = FrozenBatchNorm2d(4)
    for buffer in norm.buffers():
        buffer.uniform_(0.5, 1.5)
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(norm(x.requires_grad_()), norm(x.detach()), rtol=1e-6, atol=1e-6)


def test_freezing_stops_gradients_and_statistics_up_to_the_stage(make_config: Callable[..., CfgNode]) -> None:
    backbone = ResNet(make_config("MODEL.BACKBONE.FREEZE_AT", "2"))
    assert not any(p.requires_grad for p in [*backbone.stem.parameters(), *backbone.res2.parameters()])
    assert all(p.requires_grad for p in backbone.res3.parameters())
    assert isinstance(backbone.res2[0].conv1.norm, FrozenBatchNorm2d)
    assert isinstance(backbone.res3[0].conv1.norm, torch.nn.BatchNorm2d)
