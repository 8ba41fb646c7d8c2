"""Sub-pixel outline points of soft masks."""

import numpy as np
import pytest

from fetal_hc.io.masks import polygon_to_coverage
from hc18.geometry.contour import mask_contour, mask_edge_points
from hc18.geometry.ellipse import Ellipse
from tests.rendered_heads import box_around, render_soft_mask


def test_crossing_of_a_ramp_is_where_the_odds_are_even() -> None:
    mask = np.tile([0.9, 0.9, 0.2, 0.1], (3, 1))
    u = mask_contour(mask, 0.5).points_uv[:, 0]
    expected = 1 + np.log(9) / (np.log(9) + np.log(4))
    assert u == pytest.approx(np.full(3, expected))


def test_level_moves_the_contour() -> None:
    mask = np.tile(1 / (1 + np.exp(np.arange(10) - 4.3)), (2, 1))
    for level in (0.2, 0.5, 0.8):
        expected = 4.3 + np.log((1 - level) / level)
        assert mask_contour(mask, level).points_uv[:, 0] == pytest.approx(np.full(2, expected))


def test_points_of_a_disc_lie_on_its_outline() -> None:
    disc = Ellipse(20.3, 19.6, 12.4, 12.4, 0.0)
    points = mask_contour(polygon_to_coverage(disc.outline(720) + 0.5, (40, 40), 16).astype(float), 0.5).points_uv
    radius = np.hypot(points[:, 0] - 20.3, points[:, 1] - 19.6)
    assert abs(radius - 12.4).max() < 0.12
    assert radius.mean() == pytest.approx(12.4, abs=0.02)


def test_only_the_largest_region_gives_points() -> None:
    mask = np.zeros((20, 20))
    mask[2:12, 2:12] = mask[15:18, 15:18] = 1.0
    contour = mask_contour(mask, 0.5)
    assert contour.points_uv.max() < 13
    assert contour.inside.sum() == 100


def test_holes_give_no_points() -> None:
    mask = np.zeros((20, 20))
    mask[2:12, 2:12] = 1.0
    filled = mask_contour(mask, 0.5)
    mask[5:7, 5:7] = 0.0
    assert np.array_equal(mask_contour(mask, 0.5).points_uv, filled.points_uv)


def test_edges_of_the_grid_give_no_points() -> None:
    mask = np.zeros((10, 10))
    mask[:, :4] = 1.0
    points = mask_contour(mask, 0.5).points_uv
    assert points[:, 0] == pytest.approx(np.full(10, 3.5))


@pytest.mark.parametrize("value", [0.0, 0.49, 0.5, 1.0])
def test_flat_masks_give_no_points(value: float) -> None:
    contour = mask_contour(np.full((5, 5), value), 0.5)
    assert contour.points_uv.shape == (0, 2)
    assert contour.inside.all() == (value >= 0.5)


def test_points_lie_on_the_rendered_ellipse() -> None:
    ellipse = Ellipse(120.0, 90.0, 60.0, 45.0, 0.4)
    box = box_around(ellipse, 0.1)
    points = mask_edge_points(render_soft_mask(ellipse, box, 56), box)
    local = (points - (ellipse.center_x, ellipse.center_y)) @ np.array(
        [[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]]
    )
    radius = np.hypot(local[:, 0] / ellipse.semi_axis_a, local[:, 1] / ellipse.semi_axis_b)
    assert len(points) > 100
    assert np.abs(radius - 1.0).max() < 0.02


def test_empty_mask_has_no_edge_points() -> None:
    assert mask_edge_points(np.zeros((28, 28)), (0.0, 0.0, 50.0, 50.0)).shape == (0, 2)
