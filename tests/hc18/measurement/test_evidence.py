"""What an image and an outline show; heads are drawn with a bright skull and a midline."""

import numpy as np
import pytest

from hc18.geometry.ellipse import Ellipse
from hc18.measurement.evidence import (
    ORIGIN_EVIDENCE,
    PLANE_EVIDENCE,
    SIDE_CELLS,
    find_evidence,
    midline_contrast,
    sample_head,
    shape_histogram,
    share_outside,
    skull_share,
)
from hc18.measurement.outline import Quality

HEAD = Ellipse(200.0, 150.0, 120.0, 90.0, 0.4)
QUALITY = Quality(1.0, 0.1, 0.05, 0.4)


def draw(
    ellipse: Ellipse = HEAD, *, skull: bool = True, midline: bool = True, image_hw: tuple[int, int] = (300, 400)
) -> np.ndarray:
    """A grey head on black with speckle, uint8 (H, W)."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices(image_hw)
    cos, sin = np.cos(ellipse.angle_rad), np.sin(ellipse.angle_rad)
    right, down = columns - ellipse.center_x, rows - ellipse.center_y
    u = (right * cos + down * sin) / ellipse.semi_axis_a
    v = (down * cos - right * sin) / ellipse.semi_axis_b
    radius = np.hypot(u, v)
    grey = np.where(radius < 1.0, 50.0, 15.0) + rng.normal(0.0, 6.0, image_hw)
    if skull:
        grey[abs(radius - 1.0) < 0.06] += 150.0
    if midline:
        grey[(abs(v) < 0.05) & (abs(u) < 0.7)] += 90.0
    return np.clip(grey, 0, 255).astype(np.uint8)


def evidence(image_grey: np.ndarray, ellipse: Ellipse = HEAD) -> dict[str, float]:
    return find_evidence(image_grey, ellipse, 0.9, QUALITY)


def test_evidence_has_what_both_checks_weigh():
    found = evidence(draw())
    assert {*PLANE_EVIDENCE, *ORIGIN_EVIDENCE} <= set(found)
    assert np.isfinite(list(found.values())).all()


def test_view_is_the_same_wherever_and_however_large_the_head_lies():
    other = Ellipse(330.0, 260.0, 180.0, 135.0, 2.0)
    views = [sample_head(draw(ellipse, image_hw=(540, 700)), ellipse) for ellipse in (HEAD, other)]
    assert np.corrcoef(*(view.grey.ravel() for view in views))[0, 1] > 0.95


def test_skull_and_midline_are_seen_where_they_are_drawn():
    whole, bare = sample_head(draw(), HEAD), sample_head(draw(skull=False, midline=False), HEAD)
    assert skull_share(whole) > 0.9
    assert skull_share(bare) < 0.2
    assert midline_contrast(whole) > midline_contrast(bare) + 0.3


def test_share_outside_is_that_of_a_head_cut_by_the_image():
    cut = draw()[:, :200]  # half of the head
    assert share_outside(sample_head(draw(), HEAD)) == 0.0
    assert share_outside(sample_head(cut, HEAD)) == pytest.approx(0.5, abs=0.03)


def test_shape_histogram_does_not_know_left_from_right():
    ellipse = Ellipse(200.0, 150.0, 120.0, 90.0, 0.0)
    image = draw(ellipse)
    image[100:140, 220:260] = 200
    mirrored = np.ascontiguousarray(image[:, ::-1])
    other = Ellipse(199.0, 150.0, 120.0, 90.0, 0.0)
    found, turned = (shape_histogram(sample_head(*pair)) for pair in ((image, ellipse), (mirrored, other)))
    assert np.corrcoef(found, turned)[0, 1] > 0.99


@pytest.mark.parametrize("gamma", [0.7, 1.5])
def test_brightness_hardly_changes_the_shapes(gamma: float):
    image = draw()
    changed = np.rint(255.0 * (image / 255.0) ** gamma).astype(np.uint8)
    first, second = (shape_histogram(sample_head(item, HEAD)) for item in (image, changed))
    assert np.corrcoef(first, second)[0, 1] > 0.9


def test_machine_text_is_evidence_of_the_origin_and_not_of_the_plane():
    image = draw()
    written = image.copy()
    written[5:15, 5:60] = 255
    plain, with_text = evidence(image), evidence(written)
    assert with_text["text"] > plain["text"] + 1.0
    assert {name: with_text[name] for name in PLANE_EVIDENCE} == {name: plain[name] for name in PLANE_EVIDENCE}


@pytest.mark.parametrize("ellipse", [Ellipse(-500.0, 150.0, 40.0, 30.0, 0.0), Ellipse(200.0, 150.0, 1.0, 1.0, 0.0)])
def test_ellipse_outside_the_image_or_of_no_size_still_gives_numbers(ellipse: Ellipse):
    assert np.isfinite(list(evidence(draw(), ellipse).values())).all()


def test_blank_image_gives_numbers():
    view = sample_head(np.zeros((300, 400), np.uint8), HEAD)
    assert view.grey.shape == (SIDE_CELLS, SIDE_CELLS)
    assert np.isfinite(list(evidence(np.zeros((300, 400), np.uint8)).values())).all()
