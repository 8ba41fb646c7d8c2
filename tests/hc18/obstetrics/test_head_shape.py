"""Diameters of heads that were drawn with a skull of known thickness."""

import numpy as np
import pytest

from hc18.geometry.ellipse import Ellipse
from hc18.obstetrics.head_shape import measure_head_shape

HEAD = Ellipse(200.0, 150.0, 120.0, 93.6, 0.3)


def picture(ellipse: Ellipse, thickness_px: float) -> np.ndarray:
    """A bright skull on dark tissue, (300, 400, 3) uint8."""
    grey = np.full((300, 400), 20, dtype=np.uint8)
    inner = Ellipse(
        ellipse.center_x,
        ellipse.center_y,
        ellipse.semi_axis_a - thickness_px,
        ellipse.semi_axis_b - thickness_px,
        ellipse.angle_rad,
    )
    grey[ellipse.mask(grey.shape) & ~inner.mask(grey.shape)] = 220
    return np.repeat(grey[:, :, None], 3, axis=2)


def test_diameters_are_those_of_the_ellipse_in_mm() -> None:
    shape = measure_head_shape(HEAD, (0.5, 0.5))
    assert shape is not None
    assert (shape.ofd_outer_outer_mm, shape.bpd_outer_outer_mm) == pytest.approx((120.0, 93.6))
    assert shape.cephalic_index_percent == pytest.approx(78.0)
    assert shape.is_usual
    assert shape.bpd_outer_inner_mm is None


@pytest.mark.parametrize(("size_xy_mm", "thickness_px"), [((0.5, 0.5), 6.0), ((0.25, 0.25), 10.0)])
def test_outer_inner_diameter_is_shorter_by_one_skull(size_xy_mm: tuple[float, float], thickness_px: float) -> None:
    shape = measure_head_shape(HEAD, size_xy_mm, picture(HEAD, thickness_px))
    assert shape is not None
    assert shape.bpd_outer_inner_mm is not None
    expected = shape.bpd_outer_outer_mm - thickness_px * size_xy_mm[0]
    assert shape.bpd_outer_inner_mm == pytest.approx(expected, abs=0.3)


def test_picture_without_a_skull_gives_no_outer_inner_diameter() -> None:
    flat = np.full((300, 400, 3), 80, dtype=np.uint8)
    shape = measure_head_shape(HEAD, (0.5, 0.5), flat)
    assert shape is not None
    assert shape.bpd_outer_inner_mm is None


def test_long_narrow_head_is_outside_the_reference_range() -> None:
    shape = measure_head_shape(Ellipse(200.0, 150.0, 120.0, 80.0, 0.3), (0.5, 0.5))
    assert shape is not None
    assert not shape.is_usual


def test_without_pixel_size_there_are_no_diameters() -> None:
    assert measure_head_shape(HEAD, None) is None
