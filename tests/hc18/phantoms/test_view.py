"""Field of view, sampling grid and scan conversion of phantoms."""

import numpy as np
import pytest

from hc18.geometry.ellipse import Ellipse
from hc18.phantoms.view import FanView, sample_grid, sample_view, to_image

HEAD = Ellipse(400.0, 270.0, 235.0, 185.0, 0.3)
IMAGE_HW = (540, 800)


def view_of(seed: int, *, linear: bool = False, cut: bool = False, whole_fan: bool = False) -> FanView:
    rng = np.random.default_rng(seed)
    return sample_view(rng, IMAGE_HW, 0.13, HEAD, linear=linear, cut=cut, whole_fan=whole_fan)


def share_in_view(view: FanView) -> float:
    """Share of the head's outline inside the fan."""
    offset = HEAD.outline(200) - np.array(view.apex_xy)
    radius, angle = np.hypot(*offset.T), np.arctan2(offset[:, 0], offset[:, 1])
    inside = (radius > view.radius_range_px[0]) & (radius < view.radius_range_px[1])
    return float((inside & (angle > view.angle_range_rad[0]) & (angle < view.angle_range_rad[1])).mean())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("whole_fan", [False, True])
def test_view_holds_the_head(seed: int, whole_fan: bool) -> None:
    assert share_in_view(view_of(seed, whole_fan=whole_fan)) == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_cut_view_loses_part_of_the_head(seed: int) -> None:
    assert 0.6 < share_in_view(view_of(seed, cut=True)) < 0.95


def test_scan_conversion_puts_samples_where_the_grid_took_them() -> None:
    view = view_of(1)
    grid = sample_grid(view, IMAGE_HW, 0.13)
    rows, columns = np.mgrid[:540, :800]
    inside = to_image(np.ones(grid.shape, dtype=np.float32), view, IMAGE_HW) > 0.999
    assert inside.mean() > 0.6
    assert np.abs(to_image(grid.x_px, view, IMAGE_HW) - columns)[inside].max() < 0.1
    assert np.abs(to_image(grid.y_px, view, IMAGE_HW) - rows)[inside].max() < 0.1
