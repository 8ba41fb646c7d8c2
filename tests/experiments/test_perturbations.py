import numpy as np
import pytest

from experiments.perturbations import DEGRADATIONS, change_gain, crop, draw_overlay, resize, rotate
from hc18.geometry.ellipse import Ellipse

HEAD = Ellipse.from_axes(160.0, 108.0, 90.0, 70.0, 0.2)


def image(n_channels: int = 0) -> np.ndarray:
    shape = (216, 320, n_channels) if n_channels else (216, 320)
    return np.random.default_rng(0).integers(20, 120, shape, dtype=np.uint8)


@pytest.mark.parametrize("n_channels", [0, 3])
@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_every_strength_changes_the_image_but_not_its_kind(kind: str, n_channels: int):
    original, series = image(n_channels), DEGRADATIONS[kind]
    before = original.copy()
    for strength in series.strengths:
        damaged = series.apply(original, HEAD, strength, np.random.default_rng(1)).image
        assert damaged.dtype == np.uint8
        assert damaged.ndim == original.ndim
        assert damaged.shape != original.shape or not np.array_equal(damaged, original)
    np.testing.assert_array_equal(original, before)


def test_stronger_is_further_from_the_original():
    for kind in ("speckle", "blur", "jpeg"):
        series = DEGRADATIONS[kind]
        distances = [
            np.abs(series.apply(image(), HEAD, strength, np.random.default_rng(1)).image - image().astype(float)).mean()
            for strength in series.strengths
        ]
        assert distances == sorted(distances), kind


def test_gain_is_clipped():
    assert change_gain(image(), HEAD, 10.0, np.random.default_rng(0)).image.max() == 255


def test_resize_tells_the_new_pixel_size():
    damaged = resize(image(), HEAD, 0.5, np.random.default_rng(0))
    assert damaged.image.shape == (108, 160)
    assert damaged.pixel_size_factor == pytest.approx(2.0)


def test_turning_loses_nothing():
    assert rotate(image(), HEAD, 90.0, np.random.default_rng(0)).image.shape == (320, 216)


@pytest.mark.parametrize("lost_share", [-0.05, 0.0, 0.25])
def test_crop_cuts_the_given_share_of_the_head(lost_share: float):
    left, _, right, _ = HEAD.box_xyxy()
    width_px = crop(image(), HEAD, lost_share, np.random.default_rng(0)).image.shape[1]
    assert width_px - 1 == pytest.approx(right - lost_share * (right - left), abs=1.0)


def test_overlay_draws_more_with_every_part():
    n_bright = [
        (draw_overlay(image(), HEAD, parts, np.random.default_rng(0)).image > 150).sum() for parts in (1, 2, 3, 4)
    ]
    assert n_bright == sorted(set(n_bright))
