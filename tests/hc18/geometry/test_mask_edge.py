import numpy as np

from hc18.geometry.ellipse import Ellipse
from hc18.geometry.mask_edge import mask_edge_points
from tests.rendered_heads import box_around, render_soft_mask


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


def test_empty_mask_has_no_edge() -> None:
    assert mask_edge_points(np.zeros((28, 28)), (0.0, 0.0, 50.0, 50.0)).shape == (0, 2)
