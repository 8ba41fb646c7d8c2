"""Distance between two ellipses."""

import math

import numpy as np
import pytest

from hc18.evaluation.metrics import dice, hausdorff, hc_error, intersection_area
from hc18.geometry.ellipse import Ellipse

HEAD = Ellipse(90.0, 70.0, 50.0, 40.0, 0.4)


def circle(x: float, y: float, radius: float) -> Ellipse:
    return Ellipse(x, y, radius, radius, 0.0)


def random_pairs(count: int) -> list[tuple[Ellipse, Ellipse]]:
    rng = np.random.default_rng(7)
    return [
        (
            Ellipse.from_axes(*rng.uniform(0, 30, 2), *rng.uniform(15, 40, 2), rng.uniform(0, math.pi)),
            Ellipse.from_axes(*rng.uniform(0, 30, 2), *rng.uniform(15, 40, 2), rng.uniform(0, math.pi)),
        )
        for _ in range(count)
    ]


def lens_area(radius: float, distance: float) -> float:
    """Overlap of two equal circles (closed form)."""
    return 2 * radius**2 * math.acos(distance / (2 * radius)) - distance / 2 * math.sqrt(4 * radius**2 - distance**2)


def directed_distance(first: Ellipse, second: Ellipse) -> float:
    """Largest distance of a point of the first outline to the nearest one of the second, by brute force."""
    points, others = first.outline(360), second.outline(2000)
    return float(np.sqrt(((points[:, None] - others) ** 2).sum(axis=2).min(axis=1)).max())


def test_equal_ellipses_overlap_fully_at_distance_zero() -> None:
    assert dice(HEAD, HEAD) == pytest.approx(1.0, abs=1e-9)
    assert hausdorff(HEAD, HEAD) == 0.0


def test_concentric_scaled_ellipse() -> None:
    smaller = Ellipse(90.0, 70.0, 45.0, 36.0, 0.4)
    assert dice(HEAD, smaller) == pytest.approx(2 * 0.81 / 1.81, abs=1e-6)
    assert hausdorff(HEAD, smaller) == pytest.approx(5.0, abs=1e-4)


def test_contained_ellipse_counts_with_its_whole_area() -> None:
    inside = Ellipse(100.0, 75.0, 12.0, 7.0, 2.0)
    assert intersection_area(HEAD, inside) == pytest.approx(inside.area(), rel=1e-6)
    assert intersection_area(inside, HEAD) == pytest.approx(inside.area(), rel=1e-6)


@pytest.mark.parametrize("distance", [100.0, 100.0001, 300.0])
def test_disjoint_circles_have_no_overlap(distance: float) -> None:
    assert dice(circle(0, 0, 50), circle(distance, 0, 50)) == 0.0
    assert hausdorff(circle(0, 0, 50), circle(distance, 0, 50)) == pytest.approx(distance, abs=1e-4)


def test_disjoint_ellipses_whose_boxes_meet_have_no_overlap() -> None:
    diagonal = Ellipse(0.0, 0.0, 50.0, 5.0, math.pi / 4)
    assert dice(diagonal, Ellipse(30.0, -30.0, 50.0, 5.0, math.pi / 4)) == 0.0


@pytest.mark.parametrize("distance", [0.01, 1.0, 25.0, 60.0, 99.0])
def test_shifted_circles_have_the_closed_form_overlap(distance: float) -> None:
    expected = lens_area(50.0, distance) / (math.pi * 2500.0)
    assert dice(circle(3, 4, 50), circle(3, 4 + distance, 50)) == pytest.approx(expected, abs=1e-6)
    assert hausdorff(circle(3, 4, 50), circle(3, 4 + distance, 50)) == pytest.approx(distance, abs=1e-4)


def test_quarter_turn_of_an_ellipse() -> None:
    turned = Ellipse(90.0, 70.0, 50.0, 40.0, 0.4 + math.pi / 2)
    # overlap of an ellipse with itself turned by 90 degrees: 4 a b atan(b / a)
    assert intersection_area(HEAD, turned) == pytest.approx(4 * 50 * 40 * math.atan(40 / 50), rel=1e-6)
    assert hausdorff(HEAD, turned) == pytest.approx(10.0, abs=1e-4)


def test_overlap_agrees_with_counted_cells() -> None:
    grid = np.stack(np.meshgrid(np.arange(-45, 75, 0.2), np.arange(-45, 75, 0.2)), axis=-1)
    for first, second in random_pairs(4):
        counted = float((first.contains(grid) & second.contains(grid)).sum()) * 0.04
        assert 2 * counted / (first.area() + second.area()) == pytest.approx(dice(first, second), abs=3e-4)


def test_hausdorff_agrees_with_brute_force() -> None:
    for first, second in random_pairs(4):
        expected = max(directed_distance(first, second), directed_distance(second, first))
        assert hausdorff(first, second) == pytest.approx(expected, abs=0.005)


def test_both_are_symmetric_and_follow_scale_and_turn() -> None:
    affine = 3.0 * np.array([[math.cos(1.1), -math.sin(1.1), 2.0], [math.sin(1.1), math.cos(1.1), -7.0]])
    for first, second in random_pairs(4):
        moved, other = first.transformed(affine), second.transformed(affine)
        assert dice(second, first) == pytest.approx(dice(first, second), abs=1e-6)
        assert dice(moved, other) == pytest.approx(dice(first, second), abs=1e-6)
        assert hausdorff(second, first) == hausdorff(first, second)
        assert hausdorff(moved, other) == pytest.approx(3.0 * hausdorff(first, second), rel=1e-5)


def test_circumference_error_is_predicted_minus_reference() -> None:
    assert hc_error(circle(0, 0, 50), 300.0) == pytest.approx(100 * math.pi - 300.0)
