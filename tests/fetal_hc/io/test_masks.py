"""Polygons, run lengths, coverage and pasted masks against closed forms and brute force."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fetal_hc.errors import DatasetError
from fetal_hc.io.masks import (
    mask_grid_to_image_affine,
    mask_to_rle,
    paste_soft_mask,
    polygon_area,
    polygon_to_coverage,
    rle_to_mask,
)

TRIANGLE = np.array([[2.3, 1.1], [17.8, 4.6], [6.2, 13.9]])


def circle(center_x: float, center_y: float, radius: float, n_points: int = 720) -> NDArray[np.float64]:
    angle = np.linspace(0.0, 2.0 * math.pi, n_points, endpoint=False)
    return np.stack([center_x + radius * np.cos(angle), center_y + radius * np.sin(angle)], axis=1)


def test_area_of_a_rectangle_far_from_the_origin() -> None:
    rectangle = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 2.0], [0.0, 2.0]]) + 1e6
    assert polygon_area(rectangle) == pytest.approx(6.0, abs=1e-9)
    assert polygon_area(rectangle[::-1]) == pytest.approx(6.0, abs=1e-9)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_coverage_agrees_with_half_planes_for_any_triangle(seed: int) -> None:
    a, b, c = np.random.default_rng(seed).uniform(-5.0, 25.0, (3, 2))
    x, y = np.meshgrid((np.arange(20 * 32) + 0.5) / 32, (np.arange(16 * 32) + 0.5) / 32)
    sides = [(q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]) > 0 for p, q in ((a, b), (b, c), (c, a))]
    inside = np.logical_and.reduce(sides) | ~np.logical_or.reduce(sides)
    expected = inside.reshape(16, 32, 20, 32).mean(axis=(1, 3))
    assert polygon_to_coverage([a, b, c], (16, 20), 32) == pytest.approx(expected, abs=0.03)


def test_coverage_of_an_upright_rectangle_is_exact() -> None:
    coverage = polygon_to_coverage([[0.5, 0.25], [2.25, 0.25], [2.25, 2.0], [0.5, 2.0]], (3, 3), 4)
    assert coverage == pytest.approx(np.outer([0.75, 1.0, 0.0], [0.5, 1.0, 0.25]), abs=1e-6)


def test_coverage_keeps_the_area_of_a_disc() -> None:
    outline = circle(60.3, 58.8, 50.2)
    assert polygon_to_coverage(outline, (120, 120), 8).sum(dtype=np.float64) == pytest.approx(
        polygon_area(outline), rel=1e-5
    )


@pytest.mark.parametrize("shift_xy", [(-9.0, 2.0), (12.0, -8.0), (15.0, 9.0), (-100.0, 0.0), (0.0, 100.0)])
def test_parts_outside_the_image_are_cut_off(shift_xy: tuple[float, float]) -> None:
    polygon = TRIANGLE + shift_xy
    whole = polygon_to_coverage(polygon + 200.0, (416, 420), 4)[200:216, 200:220]
    assert polygon_to_coverage(polygon, (16, 20), 4) == pytest.approx(whole, abs=1e-6)


def test_direction_of_the_polygon_does_not_matter() -> None:
    turned = polygon_to_coverage(TRIANGLE[::-1], (16, 20), 4)
    assert np.array_equal(polygon_to_coverage(TRIANGLE, (16, 20), 4), turned)


@pytest.mark.parametrize(
    "polygon", [[[0, 0], [1, 1]], [[0, 0, 0]] * 4, [0, 0, 1, 1, 2, 0], [[0, 0], [1, math.nan], [2, 0]]]
)
def test_unusable_polygons_are_refused(polygon: list[object]) -> None:
    with pytest.raises(DatasetError, match=r"reshape flat COCO lists with \(-1, 2\)"):
        polygon_to_coverage(polygon, (4, 4))


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_mask_survives_run_length_encoding(height: int, width: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    rle = mask_to_rle(mask)
    assert rle["size"] == [height, width]
    assert isinstance(rle["counts"], str)
    assert np.array_equal(rle_to_mask(rle), mask)


def test_plain_run_lengths_are_read() -> None:
    mask = rle_to_mask({"size": [2, 3], "counts": [1, 2, 3]})
    assert mask.tolist() == [[False, True, False], [True, False, False]]


@pytest.mark.parametrize("rle", [{"size": [2, 2]}, {"counts": "04"}, {"size": [2, 2], "counts": 3}])
def test_broken_run_lengths_are_refused(rle: dict[str, object]) -> None:
    with pytest.raises(DatasetError, match="cannot be decoded"):
        rle_to_mask(rle)


def pasted_pixel(soft_mask: NDArray[np.float32], box: tuple[float, ...], x: int, y: int) -> float:
    """One pixel by the pasting rule as it is written down."""
    x0, y0, x1, y1 = box
    size = soft_mask.shape[0]
    u, v = (x + 0.5 - x0) / (x1 - x0) * size - 0.5, (y + 0.5 - y0) / (y1 - y0) * size - 0.5
    value = 0.0
    for column, row in ((math.floor(u) + i, math.floor(v) + j) for i in (0, 1) for j in (0, 1)):
        if 0 <= column < size and 0 <= row < size:
            value += float(soft_mask[row, column]) * (1 - abs(u - column)) * (1 - abs(v - row))
    return value


@pytest.mark.parametrize("box", [(5.3, 3.2, 30.9, 21.7), (-4.0, -3.0, 12.5, 40.0), (10.0, 10.0, 11.5, 11.2)])
def test_paste_follows_the_rule_pixel_by_pixel(box: tuple[float, float, float, float]) -> None:
    soft_mask = np.random.default_rng(0).random((7, 7), dtype=np.float32)
    pasted = paste_soft_mask(soft_mask, box, (24, 36))
    left, top, right, bottom = (math.floor(box[0]), math.floor(box[1]), math.ceil(box[2]), math.ceil(box[3]))
    for y in range(max(top, 0), min(bottom, 24)):
        for x in range(max(left, 0), min(right, 36)):
            assert pasted[y, x] == pytest.approx(pasted_pixel(soft_mask, box, x, y), abs=1e-5)


def test_paste_touches_one_pixel_around_the_box_at_most() -> None:
    pasted = paste_soft_mask(np.ones((3, 3), dtype=np.float32), (10.0, 12.0, 20.0, 22.0), (40, 40))
    rows, columns = np.nonzero(pasted)
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (9, 11, 20, 22)


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (9, 5, 2, 9), (math.nan, 0, 5, 5), (-9, -9, -5, -5), (50, 50, 60, 60)])
def test_empty_and_outlying_boxes_paste_nothing(box: tuple[float, float, float, float]) -> None:
    assert not paste_soft_mask(np.ones((4, 4), dtype=np.float32), box, (20, 20)).any()


def test_mask_grid_maps_to_pixel_centres_at_integers() -> None:
    affine = mask_grid_to_image_affine((10.0, 20.0, 38.0, 76.0), 28)
    assert affine @ (0.0, 0.0, 1.0) == pytest.approx((10.0, 20.5))
    assert affine @ (-0.5, 27.5, 1.0) == pytest.approx((9.5, 75.5))
