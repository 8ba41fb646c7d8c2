"""Ellipse through outline points: exactness, invariance, noise, refusals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hc18.geometry.ellipse import Ellipse
from hc18.geometry.outline_fit import fit_outline_points

HEAD = Ellipse(400.3, 269.8, 180.4, 139.7, 0.7)


def arc(ellipse: Ellipse, n_points: int, start_rad: float, length_rad: float) -> NDArray[np.float64]:
    """Points on a part of the outline."""
    turns = ellipse.outline(36_000)
    first = int(start_rad / (2 * math.pi) * 36_000)
    index = first + np.linspace(0, length_rad / (2 * math.pi) * 36_000, n_points).astype(int)
    return turns[index % 36_000]


def assert_fits(points: NDArray[np.generic], expected: Ellipse, *, abs_px: float) -> None:
    fit = fit_outline_points(points)
    assert fit.ellipse is not None, fit.reason
    found = fit.ellipse
    assert (found.center_x, found.center_y, found.semi_axis_a, found.semi_axis_b) == pytest.approx(
        (expected.center_x, expected.center_y, expected.semi_axis_a, expected.semi_axis_b), abs=abs_px
    )
    elongation = expected.semi_axis_a - expected.semi_axis_b
    assert elongation * abs(math.sin(found.angle_rad - expected.angle_rad)) <= abs_px


def test_own_points_are_returned_at_every_degree() -> None:
    for degrees in range(180):
        ellipse = Ellipse(400.3, 269.8, 180.4, 139.7, math.radians(degrees))
        assert_fits(ellipse.outline(60), ellipse, abs_px=1e-7)


@given(
    st.floats(-500.0, 500.0),
    st.floats(-500.0, 500.0),
    st.floats(2.0, 500.0),
    st.floats(0.3, 1.0),
    st.floats(0.0, 3.14),
    st.integers(6, 200),
)
@settings(max_examples=60, deadline=None)
def test_own_points_of_any_ellipse_are_returned(
    x: float, y: float, a: float, ratio: float, angle: float, n_points: int
) -> None:
    ellipse = Ellipse(x, y, a, a * ratio, angle)
    assert_fits(ellipse.outline(n_points), ellipse, abs_px=1e-7 * a)


@pytest.mark.parametrize("excess", [0.0, 1e-12, 1e-9, 1e-6, 1e-3])
def test_near_circles_are_fitted(excess: float) -> None:
    assert_fits(Ellipse(50.0, 60.0, 40.0 * (1 + excess), 40.0, 1.0).outline(90),
                Ellipse(50.0, 60.0, 40.0 * (1 + excess), 40.0, 1.0), abs_px=1e-8)  # fmt: skip


@pytest.mark.parametrize("shift", [1e4, 1e6, 1e8])
def test_far_origin_costs_no_accuracy(shift: float) -> None:
    ellipse = Ellipse(shift, -shift, 180.0, 140.0, 0.5)
    assert_fits(ellipse.outline(100), ellipse, abs_px=1e-6 + 1e-15 * shift * 100)


def test_fit_commutes_with_rotation_scaling_and_shift() -> None:
    rng = np.random.default_rng(3)
    points = HEAD.outline(150) + rng.normal(0.0, 0.8, (150, 2))
    fitted = fit_outline_points(points).ellipse
    assert fitted is not None
    similarity = 0.3 * np.array([[math.cos(1.1), -math.sin(1.1), 70.0], [math.sin(1.1), math.cos(1.1), -900.0]])
    moved = points @ similarity[:, :2].T + similarity[:, 2]
    assert_fits(moved, fitted.transformed(similarity), abs_px=1e-5)


def test_order_of_the_points_does_not_matter() -> None:
    rng = np.random.default_rng(4)
    points = HEAD.outline(150) + rng.normal(0.0, 0.8, (150, 2))
    fitted = fit_outline_points(points).ellipse
    assert fitted is not None
    assert_fits(rng.permutation(points), fitted, abs_px=1e-6)


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.uint8, np.float32])
def test_any_numeric_type_is_taken(dtype: type[np.generic]) -> None:
    ellipse = Ellipse(120.0, 110.0, 90.0, 70.0, 0.6)
    points = np.rint(ellipse.outline(400)).astype(dtype)
    assert_fits(points, ellipse, abs_px=0.1)


@pytest.mark.parametrize("degrees", [90, 120, 180, 270])
@pytest.mark.parametrize("start", [0.0, 1.0, 2.5])
def test_exact_arcs_give_the_whole_ellipse(degrees: int, start: float) -> None:
    assert_fits(arc(HEAD, 80, start, math.radians(degrees)), HEAD, abs_px=1e-4)


def test_noise_on_half_an_outline_does_not_bias_the_circumference() -> None:
    rng = np.random.default_rng(5)
    errors = []
    for _ in range(60):
        points = arc(HEAD, 150, rng.uniform(0.0, 2 * math.pi), math.pi) + rng.normal(0.0, 1.0, (150, 2))
        fitted = fit_outline_points(points).ellipse
        assert fitted is not None
        errors.append(fitted.circumference() / HEAD.circumference() - 1)
    assert abs(np.mean(errors)) < 0.0015  # a direct algebraic fit has -0.0035
    assert np.std(errors) < 0.008


def test_residual_is_the_noise() -> None:
    rng = np.random.default_rng(6)
    directions = HEAD.outline(2000) - (HEAD.center_x, HEAD.center_y)
    points = HEAD.outline(2000) + directions / 160.0 * rng.normal(0.0, 0.5, (2000, 1))
    fit = fit_outline_points(points)
    assert fit.rms_residual_px == pytest.approx(0.5, rel=0.1)
    assert (fit.n_points, fit.reason, bool(fit)) == (2000, "", True)


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (np.zeros((0, 2)), "fewer than 5"),
        (HEAD.outline(4), "fewer than 5"),
        (np.repeat(HEAD.outline(4), 10, axis=0), "fewer than 5 distinct"),
        (np.full((20, 2), np.nan), "20 of 20 points are not finite"),
        (np.concatenate([HEAD.outline(20), [[np.inf, 0.0]]]), "1 of 21 points are not finite"),
        (np.stack([np.arange(20), 3 * np.arange(20)], axis=1), "straight line"),
        (np.zeros((20, 3)), "shape"),
        (np.zeros(20), "shape"),
        (np.argwhere(np.ones((30, 30))), "no ellipse"),
        (np.argwhere(np.eye(30) + np.eye(30)[::-1]), "no ellipse"),
    ],
)
def test_what_gives_no_ellipse_has_a_reason(points: NDArray[np.generic], reason: str) -> None:
    fit = fit_outline_points(points)
    assert not fit
    assert (fit.ellipse, fit.rms_residual_px) == (None, None)
    assert reason in fit.reason


@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_random_points_never_raise_nor_give_nan(seed: int, n_points: int) -> None:
    fit = fit_outline_points(np.random.default_rng(seed).integers(0, 5, (n_points, 2)))
    assert bool(fit) == (not fit.reason)
