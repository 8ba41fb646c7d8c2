"""Speckle statistics and compression of phantoms."""

import numpy as np
import pytest
from numpy.typing import NDArray

from hc18.phantoms.speckle import compress, speckle_envelope
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


def test_speckle_has_the_size_measured_in_hc18(grid: PolarGrid) -> None:
    image = to_image(compress(speckle(grid, 1.0, n_looks=3), 55.0, 0.5), VIEW, IMAGE_HW)[200:340, 260:540]
    assert half_width_px(image) == pytest.approx(5.9, rel=0.3)
    assert half_width_px(image.T) == pytest.approx(3.0, rel=0.3)


@pytest.mark.parametrize("level", [0.8, 1.0, 2.0])
def test_grey_spread_is_proportional_to_grey(grid: PolarGrid, level: float) -> None:
    grey = compress(speckle(grid, level, n_looks=3), 60.0, 0.47)
    assert grey.std() / grey.mean() == pytest.approx(0.155, rel=0.2)
