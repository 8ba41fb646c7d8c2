"""Speckle statistics and compression of phantoms."""

import numpy as np
import pytest
from numpy.typing import NDArray

from hc18.phantoms.speckle import compress, periodic_table, smooth_field, speckle_envelope
from hc18.phantoms.view import FanView, PolarGrid, sample_grid, to_image

VIEW = FanView((400.0, -500.0), (500.0, 1040.0), (-0.6, 0.6))
IMAGE_HW = (540, 800)


@pytest.fixture(scope="module")
def grid() -> PolarGrid:
    return sample_grid(VIEW, IMAGE_HW, 0.13)


def speckle(grid: PolarGrid, level: float, specular: float = 0.0, n_looks: int = 1) -> NDArray[np.float32]:
    ones = np.ones(grid.shape, dtype=np.float32)
    return speckle_envelope(level * ones, specular * ones, grid, np.random.default_rng(0), n_looks)


def half_width_px(rows: NDArray[np.float32]) -> float:
    """Lag at which the autocorrelation along the rows falls to one half."""
    values = rows - rows.mean(axis=1, keepdims=True)
    spectrum = np.abs(np.fft.rfft(values, 2 * rows.shape[1], axis=1)) ** 2
    correlation = np.fft.irfft(spectrum.mean(axis=0))
    correlation /= correlation[0]
    after = int(np.argmax(correlation < 0.5))
    return after - 1 + (correlation[after - 1] - 0.5) / (correlation[after - 1] - correlation[after])


def test_one_look_is_fully_developed_rayleigh_speckle(grid: PolarGrid) -> None:
    envelope = speckle(grid, 2.0)
    assert np.sqrt((envelope**2).mean()) == pytest.approx(2.0, rel=0.03)
    assert envelope.mean() / envelope.std() == pytest.approx(1.913, rel=0.03)
    assert (envelope < 2.0 * np.sqrt(np.log(2.0))).mean() == pytest.approx(0.5, abs=0.02)


def test_compounding_keeps_the_level_and_lowers_the_contrast(grid: PolarGrid) -> None:
    intensity = speckle(grid, 1.0, n_looks=4) ** 2
    assert intensity.mean() == pytest.approx(1.0, rel=0.05)
    assert intensity.std() / intensity.mean() == pytest.approx(0.5, rel=0.06)


@pytest.mark.parametrize("n_looks", [1, 3])
def test_reflector_adds_its_own_power(grid: PolarGrid, n_looks: int) -> None:
    power = (speckle(grid, 1.0, specular=3.0, n_looks=n_looks) ** 2).mean()
    assert power == pytest.approx(10.0, rel=0.05)


def test_speckle_widens_with_depth(grid: PolarGrid) -> None:
    image = to_image(speckle(grid, 1.0), VIEW, IMAGE_HW)
    near, far = half_width_px(image[40:140, 250:550]), half_width_px(image[400:500, 250:550])
    assert far > 1.3 * near


def test_speckle_has_the_size_measured_in_hc18(grid: PolarGrid) -> None:
    image = to_image(compress(speckle(grid, 1.0, n_looks=3), 55.0, 0.5), VIEW, IMAGE_HW)[200:340, 260:540]
    assert half_width_px(image) == pytest.approx(5.9, rel=0.3)
    assert half_width_px(image.T) == pytest.approx(3.0, rel=0.3)


@pytest.mark.parametrize("level", [0.8, 1.0, 2.0])
def test_grey_spread_is_proportional_to_grey(grid: PolarGrid, level: float) -> None:
    grey = compress(speckle(grid, level, n_looks=3), 60.0, 0.47)
    assert grey.std() / grey.mean() == pytest.approx(0.155, rel=0.2)


def test_compression_rises_and_stays_within_eight_bits() -> None:
    grey = compress(np.geomspace(1e-4, 1e4, 200, dtype=np.float32), 60.0, 0.5)
    assert grey[0] == 0.0
    assert grey[-1] <= 255.0
    assert (np.diff(grey) >= 0.0).all()


def test_smooth_field_varies_slowly() -> None:
    field = smooth_field(np.random.default_rng(0), (400, 400), (8, 8))
    assert field.std() > 0.4
    assert np.abs(np.diff(field, axis=0)).max() < 0.2


def test_periodic_table_has_only_the_harmonics_asked_for() -> None:
    table = periodic_table(np.random.default_rng(0), range(3, 6))
    spectrum = np.abs(np.fft.rfft(table))
    assert table.std() == pytest.approx(1.0, abs=1e-3)
    assert np.flatnonzero(spectrum > 1e-2 * spectrum.max()).tolist() == [3, 4, 5]
