"""Ellipse: measures, conventions, conversions, maps."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad

from fetal_hc.errors import MeasurementError
from hc18.geometry.ellipse import Ellipse

HEAD = Ellipse(400.3, 269.8, 180.4, 139.7, 0.7)

axes = st.floats(1.0, 500.0)
angles = st.floats(-10.0, 10.0)
places = st.floats(-1000.0, 1000.0)
ellipses = st.builds(Ellipse.from_axes, places, places, axes, axes, angles)


def assert_same(found: Ellipse, expected: Ellipse, *, relative: float = 1e-9) -> None:
    """Equal up to rounding; the angle counts as much as it moves the outline."""
    size = expected.semi_axis_a
    assert found.center_x == pytest.approx(expected.center_x, abs=relative * size)
    assert found.center_y == pytest.approx(expected.center_y, abs=relative * size)
    assert found.semi_axis_a == pytest.approx(expected.semi_axis_a, rel=relative)
    assert found.semi_axis_b == pytest.approx(expected.semi_axis_b, rel=relative)
    elongation = (expected.semi_axis_a - expected.semi_axis_b) / size
    assert elongation * abs(math.sin(found.angle_rad - expected.angle_rad)) <= relative


def conic_of(ellipse: Ellipse) -> NDArray[np.float64]:
    """A..F of the implicit form."""
    cosine, sine = math.cos(ellipse.angle_rad), math.sin(ellipse.angle_rad)
    p, q = ellipse.semi_axis_a**-2, ellipse.semi_axis_b**-2
    a, b, c = p * cosine**2 + q * sine**2, 2 * (p - q) * cosine * sine, p * sine**2 + q * cosine**2
    x, y = ellipse.center_x, ellipse.center_y
    return np.array([a, b, c, -2 * a * x - b * y, -2 * c * y - b * x, a * x * x + b * x * y + c * y * y - 1])


@pytest.mark.parametrize("radius", [0.5, 1.0, 137.0])
def test_circle_has_two_pi_r(radius: float) -> None:
    assert Ellipse(3.0, 4.0, radius, radius, 0.0).circumference() == pytest.approx(2 * math.pi * radius, rel=1e-15)


def test_circumference_is_the_arc_length_integral() -> None:
    length, _ = quad(
        lambda t: math.hypot(HEAD.semi_axis_a * math.sin(t), HEAD.semi_axis_b * math.cos(t)), 0, 2 * math.pi
    )
    assert HEAD.circumference() == pytest.approx(length, rel=1e-12)


@given(ellipses)
def test_circumference_lies_between_its_bounds(ellipse: Ellipse) -> None:
    a, b = ellipse.semi_axis_a, ellipse.semi_axis_b
    length = ellipse.circumference()
    assert math.pi * (a + b) * (1 - 1e-12) <= length <= math.pi * math.sqrt(2 * (a * a + b * b)) * (1 + 1e-12)


def test_area_is_pi_a_b() -> None:
    assert HEAD.area() == pytest.approx(math.pi * 180.4 * 139.7)


@given(ellipses, st.floats(0.01, 100.0))
def test_scaling_by_k_scales_the_circumference_by_k(ellipse: Ellipse, k: float) -> None:
    assert ellipse.to_mm(k, k).circumference() == pytest.approx(k * ellipse.circumference(), rel=1e-12)


@given(ellipses, angles, places, places)
def test_rotation_shift_and_reflection_keep_the_shape(ellipse: Ellipse, angle: float, x: float, y: float) -> None:
    cosine, sine = math.cos(angle), math.sin(angle)
    for sign in (1.0, -1.0):
        moved = ellipse.transformed([[cosine, -sign * sine, x], [sine, sign * cosine, y]])
        assert moved.circumference() == pytest.approx(ellipse.circumference(), rel=1e-12)
        assert moved.area() == pytest.approx(ellipse.area(), rel=1e-12)


def test_rotation_turns_the_major_axis_by_every_degree() -> None:
    for degrees in range(180):
        angle = math.radians(degrees)
        turn = [[math.cos(angle), -math.sin(angle), 5.0], [math.sin(angle), math.cos(angle), -2.0]]
        assert_same(Ellipse(0.0, 0.0, 90.0, 70.0, 0.0).transformed(turn), Ellipse(5.0, -2.0, 90.0, 70.0, angle))


@given(ellipses, st.lists(st.floats(-3.0, 3.0), min_size=6, max_size=6))
def test_affine_map_moves_the_outline_onto_the_new_ellipse(ellipse: Ellipse, numbers: list[float]) -> None:
    affine = np.array(numbers).reshape(2, 3)
    (xx, xy, _), (yx, yy, _) = numbers[:3], numbers[3:]
    if abs(xx * yy - xy * yx) < 0.05:
        return
    moved = ellipse.transformed(affine)
    points = ellipse.outline(16) @ affine[:, :2].T + affine[:, 2] - (moved.center_x, moved.center_y)
    cosine, sine = math.cos(moved.angle_rad), math.sin(moved.angle_rad)
    along, across = points @ (cosine, sine), points @ (-sine, cosine)
    level = (along / moved.semi_axis_a) ** 2 + (across / moved.semi_axis_b) ** 2
    assert level == pytest.approx(np.ones(16), abs=1e-6)


def test_anisotropic_pixels_change_axes_and_angle() -> None:
    mm = Ellipse(100.0, 50.0, 40.0, 30.0, 0.0).to_mm(0.1, 0.2)
    assert_same(mm, Ellipse(10.0, 10.0, 6.0, 4.0, math.pi / 2))


@pytest.mark.parametrize("size", [0.0, -0.1, math.nan, math.inf])
def test_pixel_size_must_be_positive_and_finite(size: float) -> None:
    with pytest.raises(MeasurementError, match=r"pixel size along y is .*take it from the calibration"):
        HEAD.to_mm(0.1, size)


@pytest.mark.parametrize("affine", [np.zeros((2, 3)), [[1, 2, 0], [2, 4, 0]], [[1, 0, math.nan], [0, 1, 0]]])
def test_singular_and_not_finite_maps_are_refused(affine: object) -> None:
    with pytest.raises(MeasurementError):
        Ellipse(0.0, 0.0, 2.0, 1.0, 0.0).transformed(affine)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0, 0, 1, 2, 0), "a >= b > 0"),
        ((0, 0, 1, 0, 0), "a >= b > 0"),
        ((0, 0, 2, 1, math.pi), r"\[0, pi\)"),
        ((0, 0, 2, 1, -0.1), r"\[0, pi\)"),
        ((math.nan, 0, 2, 1, 0), "center_x is nan"),
        ((0, 0, math.inf, 1, 0), "semi_axis_a is inf"),
    ],
)
def test_what_is_no_ellipse_is_refused(values: tuple[float, ...], expected: str) -> None:
    with pytest.raises(MeasurementError, match=expected):
        Ellipse(*values)


def test_axes_come_in_any_order_and_angle() -> None:
    assert_same(Ellipse.from_axes(1.0, 2.0, 3.0, 5.0, 0.2), Ellipse(1.0, 2.0, 5.0, 3.0, 0.2 + math.pi / 2))
    assert_same(Ellipse.from_axes(1.0, 2.0, 5.0, 3.0, -0.2), Ellipse(1.0, 2.0, 5.0, 3.0, math.pi - 0.2))
    assert Ellipse.from_axes(0.0, 0.0, 2.0, 1.0, -1e-18).angle_rad == 0.0


def test_numpy_numbers_become_plain_floats() -> None:
    ellipse = Ellipse(*np.array([1, 2, 4, 3, 0], dtype=np.float32))
    assert type(ellipse.semi_axis_a) is float


@given(ellipses, st.floats(-100.0, 100.0).filter(lambda factor: abs(factor) > 1e-3))
@settings(max_examples=50)
def test_conic_form_is_read_whatever_its_factor(ellipse: Ellipse, factor: float) -> None:
    centred = Ellipse(0.3, -0.2, ellipse.semi_axis_a, ellipse.semi_axis_b, ellipse.angle_rad)
    if centred.semi_axis_b < 0.05 * centred.semi_axis_a:
        return
    assert_same(Ellipse.from_conic(conic_of(centred) * factor), centred, relative=1e-6)


@pytest.mark.parametrize(
    "conic", [[1, 0, -1, 0, 0, -1], [1, 0, 0, 0, 1, 0], [1, 0, 1, 0, 0, 1], [0] * 6, [math.nan] * 6]
)
def test_other_conics_are_refused(conic: list[float]) -> None:
    with pytest.raises(MeasurementError, match="not an ellipse"):
        Ellipse.from_conic(conic)


def test_outline_starts_at_the_major_axis_and_turns_towards_y() -> None:
    points = Ellipse(10.0, 20.0, 5.0, 3.0, math.pi / 2).outline(4)
    assert points == pytest.approx(np.array([[10.0, 25.0], [7.0, 20.0], [10.0, 15.0], [13.0, 20.0]]))


@given(ellipses)
def test_box_touches_the_outline(ellipse: Ellipse) -> None:
    points = ellipse.outline(2000)
    box = (*points.min(axis=0), *points.max(axis=0))
    assert box == pytest.approx(ellipse.box_xyxy(), abs=2e-5 * ellipse.semi_axis_a)


def test_contains_the_inside_and_the_border() -> None:
    ellipse = Ellipse(0.0, 0.0, 2.0, 1.0, 0.0)
    assert ellipse.contains([[0, 0], [2, 0], [0, 1.01], [1.9, 0.5]]).tolist() == [True, True, False, False]


def test_mask_holds_pixels_whose_centres_are_inside() -> None:
    assert Ellipse(1.0, 1.0, 1.2, 1.2, 0.0).mask((4, 4)).sum() == 5
    assert HEAD.mask((540, 800)).sum() == pytest.approx(HEAD.area(), rel=1e-3)


def test_mask_is_cut_at_the_image() -> None:
    cut = Ellipse(0.0, 3.0, 4.0, 3.0, 0.1)
    whole = Ellipse(20.0, 23.0, 4.0, 3.0, 0.1).mask((50, 50))
    assert np.array_equal(cut.mask((10, 10)), whole[20:30, 20:30])
    assert not Ellipse(-50.0, 3.0, 4.0, 3.0, 0.1).mask((10, 10)).any()


@given(ellipses)
@settings(max_examples=30, deadline=None)
def test_blend_begins_with_one_ellipse_and_ends_with_the_other(ellipse: Ellipse) -> None:
    assert_same(ellipse.blended(HEAD, 0.0), ellipse, relative=1e-6)
    assert_same(ellipse.blended(HEAD, 1.0), HEAD, relative=1e-6)


def test_blend_lies_between_both_outlines() -> None:
    larger = Ellipse.from_axes(HEAD.center_x + 4.0, HEAD.center_y, 1.1 * 180.4, 1.1 * 139.7, 0.7)
    middle = HEAD.blended(larger, 0.5)
    assert middle.circumference() == pytest.approx(1.05 * HEAD.circumference())
    assert (middle.center_x, middle.angle_rad) == (pytest.approx(402.3), pytest.approx(0.7))
    across = Ellipse.from_axes(0.0, 0.0, 1.2, 1.0, 3.13).blended(Ellipse.from_axes(0.0, 0.0, 1.2, 1.0, 0.01), 0.5)
    assert across.semi_axis_a == pytest.approx(1.2, abs=1e-4)  # the short way round
