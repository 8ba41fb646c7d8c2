"""Refining an outline with networks whose answer is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from hc18.geometry.ellipse import Ellipse
from hc18.measurement.polar_band import ANGLES_RAD, N_ANGLES, N_CHANNELS, N_RADII, relative_radii
from hc18.measurement.refiner import refine_outline

TRUTH = Ellipse(210.0, 140.0, 110.0, 84.0, 0.6)
BLANK = np.zeros((290, 430), dtype=np.uint8)


@pytest.mark.parametrize("seed", range(5))
def test_one_band_is_enough_for_a_network_that_knows_the_truth(seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = Ellipse.from_axes(
        TRUTH.center_x + rng.normal(0, 2),
        TRUTH.center_y + rng.normal(0, 2),
        TRUTH.semi_axis_a * np.exp(rng.normal(0, 0.04)),
        TRUTH.semi_axis_b * np.exp(rng.normal(0, 0.04)),
        TRUTH.angle_rad + rng.normal(0, 0.05),
    )

    def oracle(bands: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return relative_radii(TRUTH, start)[None], np.ones((1, N_ANGLES))

    found = refine_outline(BLANK, start, oracle, n_bands=1)
    assert found is not None
    # First order: what the five numbers of the fit cannot express is of the third order in the start's error.
    assert found.circumference() == pytest.approx(TRUTH.circumference(), rel=1e-3)
    assert (found.center_x, found.center_y) == pytest.approx((TRUTH.center_x, TRUTH.center_y), abs=0.2)


def test_every_band_is_read_around_the_ellipse_that_the_one_before_led_to() -> None:
    shapes: list[tuple[int, ...]] = []

    def shrink(bands: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        shapes.append(bands.shape)
        return np.full((1, N_ANGLES), 0.9), np.ones((1, N_ANGLES))

    found = refine_outline(BLANK, TRUTH, shrink, n_bands=3)
    assert found is not None
    assert shapes == [(1, N_CHANNELS, N_RADII, N_ANGLES)] * 3
    assert found.circumference() == pytest.approx(0.9**3 * TRUTH.circumference(), rel=1e-3)
    assert found.angle_rad == pytest.approx(TRUTH.angle_rad, abs=1e-6)


def test_what_is_no_ellipse_is_refused() -> None:
    def tie(bands: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return 1.0 + np.cos(2.0 * ANGLES_RAD)[None], np.ones((1, N_ANGLES))

    assert refine_outline(BLANK, TRUTH, tie) is None
