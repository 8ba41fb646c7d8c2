"""Orthogonal distances and the fit that minimises them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares
from scipy.spatial import cKDTree

from hc18.geometry.ellipse import Ellipse
from hc18.geometry.orthogonal import fit_orthogonal, foot_points


@given(st.floats(0.4, 1.0), st.floats(0.0, 3.1), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_distances_are_those_to_a_fine_outline(ratio: float, angle: float, seed: int) -> None:
    ellipse = Ellipse(0.2, -0.1, 1.0, ratio, angle)
    points = np.random.default_rng(seed).uniform(-2.0, 2.0, (200, 2))
    nearest, _ = cKDTree(ellipse.outline(20_000)).query(points)
    distance = foot_points(ellipse, points).distance
    assert abs(distance) == pytest.approx(nearest, abs=2e-3)
    assert np.array_equal(distance <= 0, ellipse.contains(points))


def test_distances_near_the_outline_are_exact() -> None:
    ellipse = Ellipse(0.0, 0.0, 1.25, 1.0, 0.0)
    eccentric = np.linspace(0.0, 2 * math.pi, 50)
    on = np.stack([1.25 * np.cos(eccentric), np.sin(eccentric)], axis=1)
    normal = np.stack([np.cos(eccentric), 1.25 * np.sin(eccentric)], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    assert foot_points(ellipse, on + 0.05 * normal).distance == pytest.approx(np.full(50, 0.05), abs=1e-9)


@pytest.mark.parametrize("point", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.3)])
def test_points_on_the_axes_have_finite_feet(point: tuple[float, float]) -> None:
    feet = foot_points(Ellipse(0.0, 0.0, 1.2, 1.0, 0.0), np.array([point]))
    assert np.isfinite(feet.distance).all()
    assert np.linalg.norm(feet.unit_circle, axis=1) == pytest.approx([1.0])


def test_fit_reaches_the_minimum_that_a_general_solver_finds() -> None:
    rng = np.random.default_rng(0)
    points = Ellipse(0.1, 0.0, 1.3, 1.0, 0.4).outline(80)[:50] + rng.normal(0.0, 0.03, (50, 2))
    _, rms = fit_orthogonal(Ellipse(0.0, 0.0, 1.2, 1.1, 0.2), points)

    def residuals(values: np.ndarray) -> np.ndarray:
        return foot_points(Ellipse.from_axes(*values), points).distance

    reference = least_squares(residuals, [0.0, 0.0, 1.2, 1.1, 0.2], xtol=1e-14, ftol=1e-14)
    assert rms == pytest.approx(math.sqrt(2 * reference.cost / 50), rel=1e-6)


def test_fit_starts_from_a_circle_and_ends_in_one() -> None:
    rng = np.random.default_rng(1)
    circle = Ellipse(0.0, 0.0, 1.0, 1.0, 0.0)
    points = circle.outline(100) + rng.normal(0.0, 0.01, (100, 2))
    fitted, rms = fit_orthogonal(circle, points)
    assert fitted.semi_axis_b / fitted.semi_axis_a > 0.99
    assert rms < 0.012
