"""Status, reason and flags of measured heads."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetal_hc.io.records import InstancePrediction
from hc18.geometry.ellipse import Ellipse
from hc18.measure.measurement import Flag, HeadMeasurement, Status, measure_head
from tests.rendered_heads import predict

HEAD = Ellipse(400.3, 269.8, 180.4, 139.7, 0.7)
IMAGE_HW = (540, 800)
PIXEL_SIZE_MM = (0.15, 0.15)


def measure(*instances: InstancePrediction, **options: object) -> HeadMeasurement:
    arguments: dict[str, object] = {"image_hw": IMAGE_HW, "pixel_size_mm": PIXEL_SIZE_MM} | options
    return measure_head(instances, **arguments)


def test_good_head_has_millimetres_and_no_flag() -> None:
    measured = measure(predict(HEAD))
    assert (measured.status, measured.reason, measured.flags) == (Status.OK, "", ())
    assert measured.hc_mm == pytest.approx(HEAD.circumference() * 0.15, rel=1e-3)
    assert measured.hc_px == pytest.approx(HEAD.circumference(), rel=1e-3)
    assert measured.score == pytest.approx(0.98)
    assert measured.disagreement_percent is not None
    assert measured.ellipse_px is not None
    assert measured.ellipse_mm == measured.ellipse_px.to_mm(0.15, 0.15)


def test_pixels_may_be_of_different_width_and_height() -> None:
    measured = measure(predict(HEAD), pixel_size_mm=(0.1, 0.2))
    assert measured.hc_mm == pytest.approx(HEAD.to_mm(0.1, 0.2).circumference(), rel=1e-3)


def test_status_values_are_those_of_the_details_file() -> None:
    assert [str(status) for status in Status] == ["ok", "no_head", "fit_failed", "no_pixel_size", "unreadable"]
    assert [str(flag) for flag in Flag] == [
        "touches_border", "low_score", "fits_disagree", "several_heads", "implausible_hc", "uncertain",
    ]  # fmt: skip


@pytest.mark.parametrize("pixel_size_mm", [None, (0.0, 0.1), (-0.1, -0.1), (math.nan, 0.1), (0.1, math.inf)])
def test_no_millimetres_without_pixel_size(pixel_size_mm: tuple[float, float] | None) -> None:
    measured = measure(predict(HEAD), pixel_size_mm=pixel_size_mm)
    assert measured.status is Status.NO_PIXEL_SIZE
    assert measured.reason
    assert (measured.hc_mm, measured.ellipse_mm) == (None, None)
    assert measured.hc_px == pytest.approx(HEAD.circumference(), rel=1e-3)


def test_nothing_detected_is_no_head() -> None:
    measured = measure()
    assert (measured.status, measured.hc_mm, measured.score) == (Status.NO_HEAD, None, None)
    assert "nothing detected" in measured.reason


def test_score_below_the_minimum_is_no_head() -> None:
    measured = measure(predict(HEAD, score=0.34))
    assert measured.status is Status.NO_HEAD
    assert measured.reason == "the best of 1 detections has score 0.340; a head needs 0.35"
    assert measure(predict(HEAD, score=0.34), min_score=0.3).status is Status.OK


def test_best_score_wins() -> None:
    small = Ellipse(400.0, 270.0, 90.0, 70.0, 0.0)
    measured = measure(predict(small, score=0.7), predict(HEAD, score=0.9), predict(small, score=0.6))
    assert measured.hc_px == pytest.approx(HEAD.circumference(), rel=1e-3)


def test_low_score_is_flagged() -> None:
    assert measure(predict(HEAD, score=0.6)).flags == (Flag.LOW_SCORE,)


def test_second_head_elsewhere_is_flagged() -> None:
    other = Ellipse(90.0, 90.0, 60.0, 50.0, 0.0)
    assert measure(predict(HEAD), predict(other, score=0.6)).flags == (Flag.SEVERAL_HEADS,)
    assert measure(predict(HEAD), predict(other, score=0.3)).flags == ()


def test_second_detection_of_the_same_head_is_not_flagged() -> None:
    inner = Ellipse(400.0, 270.0, 90.0, 70.0, 0.0)
    assert measure(predict(HEAD), predict(inner, score=0.9)).flags == ()


def test_head_beyond_the_image_is_flagged() -> None:
    head = Ellipse(150.0, 270.0, 180.4, 139.7, 0.7)
    assert Flag.TOUCHES_BORDER in measure(predict(head)).flags


@pytest.mark.parametrize("pixel_size", [0.01, 1.0])
def test_implausible_circumference_is_flagged(pixel_size: float) -> None:
    measured = measure(predict(HEAD), pixel_size_mm=(pixel_size, pixel_size))
    assert (measured.status, measured.flags) == (Status.OK, (Flag.IMPLAUSIBLE_HC,))


def test_implausible_shape_is_flagged() -> None:
    assert Flag.IMPLAUSIBLE_HC in measure(predict(Ellipse(400.0, 270.0, 180.0, 80.0, 0.2))).flags


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
    measured = measure(replace(prediction, soft_mask=mask))
    assert (measured.status, measured.flags) == (Status.OK, (Flag.FITS_DISAGREE,))


@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
def test_blank_saturated_and_broken_masks_fail_with_a_reason(value: float) -> None:
    prediction = replace(predict(HEAD), soft_mask=np.full((56, 56), value, dtype=np.float32))
    measured = measure(prediction)
    assert measured.status is Status.FIT_FAILED
    assert measured.reason
    assert (measured.hc_mm, measured.ellipse_px) == (None, None)
    assert measured.score == pytest.approx(0.98)


@pytest.mark.parametrize(
    "box", [[np.nan] * 4, [0, 0, np.inf, 5], [10, 10, 10, 20], [30, 10, 20, 20], [5, 5, 5.5, 9], [1, 2, 3], []], ids=str
)
def test_odd_boxes_fail_with_a_reason(box: list[float]) -> None:
    measured = measure(replace(predict(HEAD), box_xyxy=np.array(box, dtype=np.float32)))
    assert measured.status is Status.FIT_FAILED
    assert "empty box" in measured.reason


@pytest.mark.parametrize("shape", [(0, 0), (5,), (4, 5), (1, 1), (1, 28, 28)])
def test_odd_masks_fail_with_a_reason(shape: tuple[int, ...]) -> None:
    measured = measure(replace(predict(HEAD), soft_mask=np.ones(shape, dtype=np.float32)))
    assert measured.status is Status.FIT_FAILED
    assert measured.reason


def test_not_a_number_as_score_is_no_head() -> None:
    assert measure(predict(HEAD, score=math.nan)).status is Status.NO_HEAD


def test_odd_prediction_does_not_hide_a_good_one() -> None:
    odd = replace(predict(HEAD, score=0.99), box_xyxy=np.full(4, np.nan, dtype=np.float32))
    assert measure(odd, predict(HEAD, score=0.9)).status is Status.OK


@pytest.mark.parametrize("surer", [0.0, np.nan])
def test_next_detection_is_measured_where_the_surest_is_no_ellipse(surer: float) -> None:
    blank = replace(predict(HEAD, score=0.99), soft_mask=np.full((56, 56), surer, dtype=np.float32))
    measured = measure(blank, predict(HEAD, score=0.9))
    assert (measured.status, measured.flags) == (Status.OK, (Flag.FITS_DISAGREE,))
    assert (measured.score, measured.hc_px) == (pytest.approx(0.9), pytest.approx(HEAD.circumference(), rel=1e-3))


def test_reason_is_of_the_surest_where_no_detection_is_an_ellipse() -> None:
    blank = replace(predict(HEAD, score=0.99), soft_mask=np.zeros((56, 56), dtype=np.float32))
    measured = measure(blank, replace(blank, score=0.9))
    assert (measured.status, measured.score) == (Status.FIT_FAILED, pytest.approx(0.99))


def test_one_pixel_image_is_no_head() -> None:
    assert measure(image_hw=(1, 1)).status is Status.NO_HEAD


coordinates = st.floats(width=32) | st.floats(-10.0, 900.0, width=32) | st.sampled_from([0.0, 1.0, 1e-30, 3e38, -3e38])


@given(st.lists(coordinates, min_size=8, max_size=8), st.sampled_from([1, 2, 7, 28]), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_any_prediction_gives_a_status(numbers: list[float], mask_size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    distance = np.hypot(*(np.mgrid[:mask_size, :mask_size] - mask_size / 2.2)) - mask_size / 3
    mask = (1 / (1 + np.exp(distance)) if seed % 2 else rng.random((mask_size, mask_size))).astype(np.float32)
    boxes = np.array(numbers, dtype=np.float32).reshape(2, 4)
    measured = measure(*(InstancePrediction(box, score, 0, mask) for box, score in zip(boxes, (0.9, 0.8), strict=True)))
    assert (measured.hc_mm is not None) == (measured.status is Status.OK) == (not measured.reason)
    assert measured.hc_mm is None or math.isfinite(measured.hc_mm)
