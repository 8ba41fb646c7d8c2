"""The unrolled band: its geometry against the exact ellipse, its symmetries, and how a fit reads it."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from hc18.geometry.ellipse import Ellipse
from hc18.geometry.outline_fit import fit_outline_points
from hc18.measurement.polar_band import (
    ANGLES_RAD,
    N_ANGLES,
    N_CHANNELS,
    N_RADII,
    RADIUS_RANGE,
    RELATIVE_RADII,
    band_input,
    fit_radii,
    mirror_radii,
    radii_to_points,
    relative_radii,
    sample_band,
)
from hc18.phantoms.phantom import render_phantom
from hc18.phantoms.spec import sample_spec

START = Ellipse(210.0, 140.0, 110.0, 84.0, 0.6)
NEAR = Ellipse(213.0, 138.5, 106.0, 86.0, 0.72)


def _random_image(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (290, 430), dtype=np.uint8)


def test_an_ellipse_has_radius_one_in_its_own_band() -> None:
    np.testing.assert_allclose(relative_radii(START, START), 1.0, atol=1e-12)


def test_points_at_the_radii_of_an_ellipse_lie_on_it() -> None:
    points_xy = radii_to_points(relative_radii(NEAR, START), START)
    turned = (points_xy - (NEAR.center_x, NEAR.center_y)) @ np.array(
        [[math.cos(NEAR.angle_rad), -math.sin(NEAR.angle_rad)], [math.sin(NEAR.angle_rad), math.cos(NEAR.angle_rad)]]
    )
    np.testing.assert_allclose(np.hypot(turned[:, 0] / NEAR.semi_axis_a, turned[:, 1] / NEAR.semi_axis_b), 1.0)


def test_rows_are_radii_and_columns_are_angles() -> None:
    """An image whose grey value is the relative radius shows it in every column."""
    y, x = np.mgrid[0:290, 0:430].astype(np.float64)
    x, y = x - START.center_x, y - START.center_y
    along = x * math.cos(START.angle_rad) + y * math.sin(START.angle_rad)
    across = -x * math.sin(START.angle_rad) + y * math.cos(START.angle_rad)
    radius = np.hypot(along / START.semi_axis_a, across / START.semi_axis_b)
    image = np.clip(np.rint(100.0 * radius), 0, 255).astype(np.uint8)
    band = sample_band(image, START)
    assert band.grey.shape == band.inside.shape == (N_RADII, N_ANGLES)
    difference = band.grey - 100.0 * RELATIVE_RADII[:, None]
    assert np.abs(difference).max() < 1.1  # the image is rounded, and so is what is read between its pixels
    assert abs(float(difference.mean())) < 0.02
    assert np.abs(difference.mean(axis=0)).max() < 0.15
    assert band.inside.min() == 1.0


def test_normals_are_unit_vectors_pointing_outwards() -> None:
    band = sample_band(_random_image(), START)
    np.testing.assert_allclose(np.linalg.norm(band.normals_xy, axis=0), 1.0)
    outwards = radii_to_points(np.ones(N_ANGLES), START) - (START.center_x, START.center_y)
    assert (np.einsum("ij,ji->i", outwards, band.normals_xy) > 0).all()


def test_what_lies_outside_the_image_is_told() -> None:
    cut = Ellipse(40.0, 140.0, 110.0, 84.0, 0.0)
    band = sample_band(np.full((290, 430), 200, dtype=np.uint8), cut)
    left = np.cos(ANGLES_RAD) < -0.75
    assert band.inside[:, left].max() == 0.0
    assert band.grey[:, left].max() == 0.0
    assert band.inside[:, np.cos(ANGLES_RAD) > 0].min() == 1.0


def test_the_mirrored_band_is_that_of_the_mirrored_image() -> None:
    image = _random_image()
    flipped = Ellipse.from_axes(
        image.shape[1] - 1 - START.center_x,
        START.center_y,
        START.semi_axis_a,
        START.semi_axis_b,
        -START.angle_rad,
    )
    # The mirrored ellipse's angle is given modulo pi: its band may begin at the other end of the axis.
    expected = sample_band(np.ascontiguousarray(image[:, ::-1]), flipped).half_turned()
    found = sample_band(image, START).mirrored()
    np.testing.assert_allclose(found.grey, expected.grey, atol=0.6)  # rounding between pixels
    np.testing.assert_allclose(found.normals_xy, expected.normals_xy, atol=1e-12)


def test_mirroring_twice_changes_nothing() -> None:
    band, radii = sample_band(_random_image(), START), relative_radii(NEAR, START)
    np.testing.assert_array_equal(band.mirrored().mirrored().grey, band.grey)
    np.testing.assert_array_equal(mirror_radii(mirror_radii(radii)), radii)


def test_a_half_turn_begins_at_the_other_end() -> None:
    image = _random_image()
    band = sample_band(image, START)
    np.testing.assert_array_equal(band.half_turned().half_turned().grey, band.grey)
    np.testing.assert_array_equal(band.half_turned().grey[:, 0], band.grey[:, N_ANGLES // 2])


def test_network_input_is_finite_and_of_the_declared_shape() -> None:
    planes = band_input(sample_band(_random_image(), START))
    assert planes.shape == (N_CHANNELS, N_RADII, N_ANGLES)
    assert planes.dtype == np.float32
    assert np.isfinite(planes).all()


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_fit_recovers_the_ellipse_from_single_radii(noise: float) -> None:
    radii = relative_radii(NEAR, START) + np.random.default_rng(1).normal(0.0, noise, N_ANGLES)
    found = fit_outline_points(radii_to_points(fit_radii(radii, np.ones(N_ANGLES)), START)).ellipse
    assert found is not None
    tolerance = 1e-3 if noise == 0.0 else 0.003  # of the circumference; 0.01 / sqrt(128) is 0.0009
    assert found.circumference() == pytest.approx(NEAR.circumference(), rel=tolerance)


def test_places_that_do_not_count_are_not_read() -> None:
    radii, weights = relative_radii(NEAR, START), np.ones(N_ANGLES)
    expected = fit_radii(radii, weights)
    radii[5:20] += 0.2
    weights[5:20] = 0.0
    np.testing.assert_allclose(fit_radii(radii, weights), expected, atol=2e-3)


def test_the_band_of_a_phantom_shows_the_skull_at_radius_one() -> None:
    """The truth runs along the outer edge of the skull, so the grey value falls across radius 1."""
    phantom = render_phantom(sample_spec(np.random.default_rng(3)))
    profile = sample_band(phantom.image, phantom.ellipse).grey.mean(axis=1)
    step = (RADIUS_RANGE[1] - RADIUS_RANGE[0]) / N_RADII
    edge = RELATIVE_RADII[int(np.argmin(np.diff(profile)))] + step / 2.0
    assert edge == pytest.approx(1.0, abs=0.03)
