"""Averages of ellipses."""

from __future__ import annotations

import math

import pytest

from experiments.variants import mean_ellipse
from hc18.geometry.ellipse import Ellipse


def test_mean_of_one_ellipse_is_the_ellipse() -> None:
    ellipse = Ellipse(10.0, 20.0, 8.0, 5.0, 2.5)
    mean = mean_ellipse([ellipse, None, ellipse])
    assert mean is not None
    assert (mean.center_x, mean.center_y, mean.semi_axis_a, mean.semi_axis_b) == pytest.approx((10.0, 20.0, 8.0, 5.0))
    assert mean.angle_rad == pytest.approx(2.5)


def test_centres_and_axes_are_averaged_and_angles_across_the_wrap() -> None:
    mean = mean_ellipse([Ellipse(0.0, 0.0, 8.0, 4.0, 0.1), Ellipse(2.0, 4.0, 8.0, 4.0, math.pi - 0.1)])
    assert mean is not None
    assert (mean.center_x, mean.center_y) == (1.0, 2.0)
    assert math.remainder(mean.angle_rad, math.pi) == pytest.approx(0.0, abs=1e-9)
    assert mean.semi_axis_a + mean.semi_axis_b == pytest.approx(12.0)  # the trace is linear
    coaxial = mean_ellipse([Ellipse(0.0, 0.0, 8.0, 4.0, 0.7), Ellipse(0.0, 0.0, 10.0, 7.0, 0.7)])
    assert coaxial is not None
    assert (coaxial.semi_axis_a, coaxial.semi_axis_b) == pytest.approx((9.0, 5.5))


def test_no_ellipse_has_no_mean() -> None:
    assert mean_ellipse([None, None]) is None
