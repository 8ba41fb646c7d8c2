"""Phantoms: truth along the skull's outer edge, options, distractors, reproducibility."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, map_coordinates

from hc18.geometry.ellipse import Ellipse
from hc18.geometry.outline_fit import fit_outline_points
from hc18.phantoms.phantom import Phantom, render_distractor, render_phantom
from hc18.phantoms.spec import PhantomOptions, PhantomSpec, sample_spec

HEAD = Ellipse(400.0, 270.0, 235.0, 185.0, 0.05)
PLAIN = PhantomSpec((540, 800), 0.13, HEAD, PhantomOptions(overlays=False), seed=1)
SMALL = PhantomSpec((112, 160), 0.65, Ellipse(80.0, 56.0, 47.0, 37.0, 0.05), PhantomOptions(overlays=False), seed=1)


def find_outer_edge(phantom: Phantom) -> NDArray[np.float64]:
    """Where the skull's echo falls to half its height, walking outwards; (n, 2) x, y of the clear places."""
    outline = phantom.ellipse.outline(180)
    normal = np.roll(outline, -1, axis=0) - np.roll(outline, 1, axis=0)
    normal = np.stack([normal[:, 1], -normal[:, 0]], axis=1) / np.linalg.norm(normal, axis=1)[:, None]
    step_px = np.arange(-2.5, 4.0, 0.1) / phantom.pixel_size_mm
    x = outline[:, :1] + normal[:, :1] * step_px
    y = outline[:, 1:] + normal[:, 1:] * step_px
    profile = gaussian_filter1d(map_coordinates(phantom.image.astype(float), [y, x], order=1), 2.0, axis=1)
    found = []
    for row in range(len(outline)):
        peak = int(np.argmax(profile[row]))
        outside = float(np.median(profile[row, -10:]))
        below = np.flatnonzero(profile[row, peak:] < 0.5 * (profile[row, peak] + outside))
        if profile[row, peak] - outside > 70.0 and len(below):
            found.append((x[row, peak + below[0]], y[row, peak + below[0]]))
    return np.array(found)


@pytest.mark.parametrize("pixel_size_mm", [0.07, 0.13, 0.22])
def test_skull_measured_in_the_image_has_the_true_circumference(pixel_size_mm: float) -> None:
    errors_percent = []
    for seed in range(4):
        phantom = render_phantom(replace(PLAIN, pixel_size_mm=pixel_size_mm, seed=seed))
        fitted = fit_outline_points(find_outer_edge(phantom)).ellipse
        assert fitted is not None
        errors_percent.append(100.0 * (fitted.circumference() * pixel_size_mm / phantom.hc_mm - 1.0))
    assert np.mean(errors_percent) == pytest.approx(0.0, abs=1.5)
    assert np.abs(errors_percent).max() < 4.0


def test_truth_is_returned_with_the_image() -> None:
    phantom = render_phantom(SMALL)
    assert (phantom.ellipse, phantom.pixel_size_mm) == (SMALL.ellipse, SMALL.pixel_size_mm)
    assert phantom.hc_mm == pytest.approx(SMALL.ellipse.circumference() * 0.65)
    assert (phantom.image.dtype, phantom.image.shape) == (np.uint8, (112, 160))


def test_same_spec_gives_same_pixels() -> None:
    assert np.array_equal(render_phantom(PLAIN).image, render_phantom(PLAIN).image)


def test_other_seed_gives_other_pixels() -> None:
    assert not np.array_equal(render_phantom(SMALL).image, render_phantom(replace(SMALL, seed=2)).image)


def test_skull_is_the_brightest_part_and_the_brain_darker() -> None:
    ring = HEAD.mask((540, 800)) & ~Ellipse(400.0, 270.0, 220.0, 170.0, 0.05).mask((540, 800))
    core = Ellipse(400.0, 270.0, 200.0, 150.0, 0.05).mask((540, 800))
    ratios = []
    for seed in range(4):
        image = render_phantom(replace(PLAIN, seed=seed)).image
        ratios.append(np.percentile(image[ring], 75) / np.percentile(image[core], 75))
    assert np.mean(ratios) > 1.8


def test_image_is_black_outside_the_fan() -> None:
    image = render_phantom(replace(PLAIN, pixel_size_mm=0.24, seed=8)).image
    assert (image[:40, :40] == 0).all()
    assert (image == 0).mean() > 0.08


def test_cut_option_hides_a_side_of_the_head() -> None:
    whole = render_phantom(PLAIN).image
    cut = render_phantom(replace(PLAIN, options=PhantomOptions(cut=True, overlays=False))).image
    head = HEAD.mask((540, 800))
    assert (whole[head] == 0).mean() < 0.01
    assert 0.02 < (cut[head] == 0).mean() < 0.25


def test_calipers_mark_the_ends_of_the_axes() -> None:
    plain = render_phantom(PLAIN).image
    marked = render_phantom(replace(PLAIN, options=PhantomOptions(calipers=True, overlays=False))).image
    changed = np.argwhere(marked != plain)
    ends = HEAD.outline(4)[:, ::-1]
    distance = np.linalg.norm(changed[:, None] - ends[None], axis=2)
    assert distance.min(axis=1).max() < 10.0
    assert set(distance.argmin(axis=1)) == {0, 1, 2, 3}


def test_small_image_shows_the_same_head() -> None:
    image = render_phantom(SMALL).image.astype(float)
    head = SMALL.ellipse.mask((112, 160))
    ring = head & ~Ellipse(80.0, 56.0, 43.0, 33.0, 0.05).mask((112, 160))
    assert image[ring].mean() > 1.3 * image[head & ~ring].mean()


def test_blank_distractor_is_black() -> None:
    assert not render_distractor("blank", (64, 96), 0).any()


def test_unknown_distractor_is_refused() -> None:
    with pytest.raises(ValueError, match="blank, grey, noise, blobs, no_skull"):
        render_distractor("cat", (64, 64), 0)  # type: ignore[arg-type]


def test_sampled_sizes_cover_the_three_trimesters_of_hc18() -> None:
    rng = np.random.default_rng(0)
    specs = [sample_spec(rng) for _ in range(400)]
    hc_mm = np.array([spec.hc_mm for spec in specs])
    pixel_size_mm = np.array([spec.pixel_size_mm for spec in specs])
    assert 44.0 <= hc_mm.min() < 75.0
    assert 300.0 < hc_mm.max() <= 346.01
    assert np.median(hc_mm) == pytest.approx(173.0, abs=8.0)
    assert pixel_size_mm.min() >= 0.049
    assert np.median(pixel_size_mm) == pytest.approx(0.128, abs=0.015)


@pytest.mark.parametrize("image_hw", [(540, 800), (112, 160), (600, 500)])
def test_sampled_heads_lie_inside_the_image(image_hw: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        x0, y0, x1, y1 = sample_spec(rng, image_hw).ellipse.box_xyxy()
        assert x0 > 0.0
        assert y0 > 0.0
        assert x1 < image_hw[1] * 0.985
        assert y1 < image_hw[0]


def test_sampled_shares_are_respected() -> None:
    rng = np.random.default_rng(2)
    options = [sample_spec(rng, cut_share=1.0, linear_share=0.0, caliper_share=0.5).options for _ in range(60)]
    assert all(option.cut and not option.linear for option in options)
    assert 15 < sum(option.calipers for option in options) < 45
