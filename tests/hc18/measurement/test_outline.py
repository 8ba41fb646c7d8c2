"""Detection, refinement and flags of heads in px."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetal_hc.io.records import InstancePrediction
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.flags import Flag, Status
from hc18.measurement.outline import HeadOutline, find_outline
from tests.rendered_heads import predict

HEAD = Ellipse(400.3, 269.8, 180.4, 139.7, 0.7)
IMAGE_HW = (540, 800)


def find(*instances: InstancePrediction, **options: object) -> HeadOutline:
    arguments: dict[str, object] = {"image_hw": IMAGE_HW} | options
    return find_outline(instances, **arguments)


def test_good_head_has_an_ellipse_and_no_flag() -> None:
    found = find(predict(HEAD))
    assert (found.failure, found.reason, found.flags, found.detection_index) == (None, "", (), 0)
    assert found.ellipse_px is not None
    assert found.ellipse_px.circumference() == pytest.approx(HEAD.circumference(), rel=1e-3)
    assert found.score == pytest.approx(0.98)
    assert found.quality.disagreement_percent is not None


def test_nothing_detected_is_no_head() -> None:
    found = find()
    assert (found.failure, found.ellipse_px, found.score) == (Status.NO_HEAD, None, None)
    assert "nothing detected" in found.reason


def test_score_below_the_minimum_is_no_head() -> None:
    found = find(predict(HEAD, score=0.34))
    assert found.failure is Status.NO_HEAD
    assert found.reason == "the best of 1 detections has score 0.340; a head needs 0.35"
    assert find(predict(HEAD, score=0.34), min_score=0.3).failure is None


def test_best_score_wins() -> None:
    small = Ellipse(400.0, 270.0, 90.0, 70.0, 0.0)
    found = find(predict(small, score=0.7), predict(HEAD, score=0.9), predict(small, score=0.6))
    assert found.detection_index == 1


def test_low_score_is_flagged() -> None:
    assert find(predict(HEAD, score=0.6)).flags == (Flag.LOW_SCORE,)


def test_second_head_elsewhere_is_flagged() -> None:
    other = Ellipse(90.0, 90.0, 60.0, 50.0, 0.0)
    assert find(predict(HEAD), predict(other, score=0.6)).flags == (Flag.SEVERAL_HEADS,)
    assert find(predict(HEAD), predict(other, score=0.3)).flags == ()


def test_second_detection_of_the_same_head_is_not_flagged() -> None:
    inner = Ellipse(400.0, 270.0, 90.0, 70.0, 0.0)
    assert find(predict(HEAD), predict(inner, score=0.9)).flags == ()


def test_head_beyond_the_image_is_flagged() -> None:
    head = Ellipse(150.0, 270.0, 180.4, 139.7, 0.7)
    assert Flag.TOUCHES_BORDER in find(predict(head)).flags


@pytest.mark.parametrize(
    ("rows", "columns", "value"),
    [
        pytest.param(slice(10, 30), slice(0, 12), 1.0, id="bump"),
        pytest.param(slice(20, 30), slice(0, 16), 0.0, id="bite"),
        pytest.param(slice(22, 32), slice(22, 32), 0.1, id="hole"),
    ],
)
def test_regions_that_are_no_ellipse_are_flagged(rows: slice, columns: slice, value: float) -> None:
    prediction = predict(HEAD, margin=0.15)
    mask = prediction.soft_mask.copy()
    mask[rows, columns] = value
    found = find(replace(prediction, soft_mask=mask))
    assert (found.failure, found.flags) == (None, (Flag.MASK_NOT_ELLIPTICAL,))


@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
def test_blank_saturated_and_broken_masks_fail_with_a_reason(value: float) -> None:
    prediction = replace(predict(HEAD), soft_mask=np.full((56, 56), value, dtype=np.float32))
    found = find(prediction)
    assert found.failure is Status.FIT_FAILED
    assert found.reason
    assert found.ellipse_px is None
    assert found.score == pytest.approx(0.98)


@pytest.mark.parametrize(
    "box", [[np.nan] * 4, [0, 0, np.inf, 5], [10, 10, 10, 20], [30, 10, 20, 20], [5, 5, 5.5, 9], [1, 2, 3], []], ids=str
)
def test_odd_boxes_fail_with_a_reason(box: list[float]) -> None:
    found = find(replace(predict(HEAD), box_xyxy=np.array(box, dtype=np.float32)))
    assert found.failure is Status.FIT_FAILED
    assert "empty box" in found.reason


@pytest.mark.parametrize("shape", [(0, 0), (5,), (4, 5), (1, 1), (1, 28, 28)])
def test_odd_masks_fail_with_a_reason(shape: tuple[int, ...]) -> None:
    found = find(replace(predict(HEAD), soft_mask=np.ones(shape, dtype=np.float32)))
    assert found.failure is Status.FIT_FAILED
    assert found.reason


def test_not_a_number_as_score_is_no_head() -> None:
    assert find(predict(HEAD, score=math.nan)).failure is Status.NO_HEAD


def test_odd_prediction_does_not_hide_a_good_one() -> None:
    odd = replace(predict(HEAD, score=0.99), box_xyxy=np.full(4, np.nan, dtype=np.float32))
    assert find(odd, predict(HEAD, score=0.9)).failure is None


@pytest.mark.parametrize("surer", [0.0, np.nan])
def test_next_detection_is_found_where_the_surest_is_no_ellipse(surer: float) -> None:
    blank = replace(predict(HEAD, score=0.99), soft_mask=np.full((56, 56), surer, dtype=np.float32))
    found = find(blank, predict(HEAD, score=0.9))
    assert found.flags == (Flag.FALLBACK_DETECTION,)
    assert (found.score, found.detection_index) == (pytest.approx(0.9), 1)


def test_reason_is_of_the_surest_where_no_detection_is_an_ellipse() -> None:
    blank = replace(predict(HEAD, score=0.99), soft_mask=np.zeros((56, 56), dtype=np.float32))
    found = find(blank, replace(blank, score=0.9))
    assert (found.failure, found.score) == (Status.FIT_FAILED, pytest.approx(0.99))


def test_one_pixel_image_is_no_head() -> None:
    assert find(image_hw=(1, 1)).failure is Status.NO_HEAD


coordinates = st.floats(width=32) | st.floats(-10.0, 900.0, width=32) | st.sampled_from([0.0, 1.0, 1e-30, 3e38, -3e38])


@given(st.lists(coordinates, min_size=8, max_size=8), st.sampled_from([1, 2, 7, 28]), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_any_prediction_gives_a_status(numbers: list[float], mask_size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    distance = np.hypot(*(np.mgrid[:mask_size, :mask_size] - mask_size / 2.2)) - mask_size / 3
    mask = (1 / (1 + np.exp(distance)) if seed % 2 else rng.random((mask_size, mask_size))).astype(np.float32)
    boxes = np.array(numbers, dtype=np.float32).reshape(2, 4)
    found = find(*(InstancePrediction(box, score, 0, mask) for box, score in zip(boxes, (0.9, 0.8), strict=True)))
    assert (found.ellipse_px is not None) == (found.failure is None) == (not found.reason)
    assert found.ellipse_px is None or math.isfinite(found.ellipse_px.circumference())


def test_equal_scores_keep_the_detection_that_was_measured() -> None:
    other = Ellipse(90.0, 90.0, 60.0, 50.0, 0.0)
    blank = replace(predict(other, score=0.9), soft_mask=np.zeros((56, 56), dtype=np.float32))
    assert find(blank, predict(HEAD, score=0.9)).detection_index == 1


def test_refined_ellipse_counts_and_the_quality_is_of_the_detection() -> None:
    refined = Ellipse(401.0, 270.0, 181.0, 141.0, 0.7)
    plain, found = find(predict(HEAD)), find(predict(HEAD), refine=lambda _: refined)
    assert (found.ellipse_px, found.flags) == (refined, ())
    assert found.quality.stages_percent == pytest.approx(0.6, abs=0.1)
    assert replace(found.quality, stages_percent=None) == plain.quality


def test_share_of_the_refinement_stage_puts_the_ellipse_between_both() -> None:
    refined = Ellipse(HEAD.center_x, HEAD.center_y, 1.04 * HEAD.semi_axis_a, 1.04 * HEAD.semi_axis_b, HEAD.angle_rad)
    instances = [predict(HEAD)]
    found = find_outline(instances, IMAGE_HW, lambda _: refined, refinement_share=0.5)
    assert found.ellipse_px is not None
    assert found.ellipse_px.circumference() == pytest.approx(1.02 * HEAD.circumference(), rel=1e-3)
    assert found.quality.stages_percent == pytest.approx(100.0 * 0.04 / 1.04, abs=0.1)


def test_border_is_judged_by_the_refined_ellipse() -> None:
    low = Ellipse(400.0, 420.0, 180.4, 139.7, 0.0)
    assert find(predict(HEAD), refine=lambda _: low).flags == (Flag.TOUCHES_BORDER,)


@pytest.mark.parametrize("factor", [0.93, 1.07])
def test_stages_that_disagree_are_flagged(factor: float) -> None:
    moved = Ellipse(400.3, 269.8, factor * 180.4, factor * 139.7, 0.7)
    found = find(predict(HEAD), refine=lambda _: moved)
    assert (found.ellipse_px, found.flags) == (moved, (Flag.STAGES_DISAGREE,))


@pytest.mark.parametrize("factor", [0.85, 1.15])
def test_stages_that_disagree_widely_show_that_there_is_no_head(factor: float) -> None:
    moved = Ellipse(400.3, 269.8, factor * 180.4, factor * 139.7, 0.7)
    found = find(predict(HEAD), refine=lambda _: moved)
    assert (found.failure, found.ellipse_px) == (Status.NO_HEAD, None)
    assert "no skull along the outline" in found.reason


def test_refinement_that_fails_leaves_the_detection_flagged() -> None:
    plain, found = find(predict(HEAD)), find(predict(HEAD), refine=lambda _: None)
    assert (found.ellipse_px, found.flags) == (plain.ellipse_px, (Flag.REFINEMENT_FAILED,))
