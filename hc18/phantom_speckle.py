"""Speckle, log-like compression and smooth random fields for synthetic ultrasound images."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from hc18.phantom_view import PolarGrid


def smooth_field(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]) -> NDArray[np.float32]:
    """A smooth random field of about zero mean and unit spread over `cells` lattice cells, float32 of `shape`."""
    lattice = rng.standard_normal((cells[0] + 3, cells[1] + 3), dtype=np.float32)
    field = cv2.resize(lattice, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(field, dtype=np.float32)


def periodic_table(rng: np.random.Generator, harmonics: range, n: int = 1024) -> NDArray[np.float32]:
    """A random function of an angle, of the given harmonics only: zero mean, unit spread, float32 (n,)."""
    angle = np.linspace(0.0, 2.0 * np.pi, n, endpoint=False)
    orders = np.array(harmonics)
    phase = rng.uniform(0.0, 2.0 * np.pi, len(orders))
    weight = rng.uniform(0.5, 1.0, len(orders)) / np.sqrt(orders)
    wave = (weight[:, None] * np.cos(orders[:, None] * angle + phase[:, None])).sum(axis=0)
    return np.asarray(wave / wave.std(), dtype=np.float32)


def _kernel(sigma: float) -> NDArray[np.float32]:
    """Gaussian kernel of unit sum."""
    size = 2 * int(np.ceil(3.0 * sigma)) + 1
    return np.asarray(cv2.getGaussianKernel(size, sigma, cv2.CV_32F), dtype=np.float32)


def _lateral_blend(samples: NDArray[np.float32], grid: PolarGrid) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Samples after the point-spread function (narrow near the focus) and the gain of white noise at every depth."""
    axial = _kernel(grid.axial_sigma)
    narrow, wide = _kernel(0.8 * grid.lateral_sigma), _kernel(1.5 * grid.lateral_sigma)
    sharp = cv2.sepFilter2D(samples, -1, narrow, axial, borderType=cv2.BORDER_REFLECT)
    soft = cv2.sepFilter2D(samples, -1, wide, axial, borderType=cv2.BORDER_REFLECT)
    depth = np.linspace(-1.0, 1.0, samples.shape[0], dtype=np.float32)[:, None]
    share = np.clip((depth - 0.1) ** 2, 0.0, 1.0)
    pad = (len(wide) - len(narrow)) // 2
    overlap = float((np.pad(narrow[:, 0], pad) * wide[:, 0]).sum())
    power = (1 - share) ** 2 * float((narrow**2).sum()) + share**2 * float((wide**2).sum())
    gain = np.sqrt((power + 2 * share * (1 - share) * overlap) * float((axial**2).sum()))
    return (1 - share) * sharp + share * soft, gain.astype(np.float32)


def speckle_envelope(
    scatter: NDArray[np.float32], specular: NDArray[np.float32], grid: PolarGrid, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Envelope of the echo of random scatterers plus coherent reflectors.

    Where `specular` is zero the envelope follows a Rayleigh distribution whose root mean square is `scatter`
    (fully developed speckle); its lateral correlation length grows with the distance from the focus and from the apex.

    Args:
        scatter: amplitude of the diffuse scatter, float32 (depths, beams), >= 0.
        specular: amplitude of mirror-like reflectors, same shape, >= 0.
        grid: the sample points.
        rng: source of the scatterers.

    Returns:
        Envelope, float32 (depths, beams), >= 0.

    References: Wagner, Smith, Sandrik, Lopez: Statistics of speckle in ultrasound B-scans, IEEE TSU 30(3), 1983.
    """
    noise = rng.standard_normal((2, *grid.shape), dtype=np.float32) * (scatter * np.float32(np.sqrt(0.5)))
    real, gain = _lateral_blend(noise[0], grid)
    imaginary, _ = _lateral_blend(noise[1], grid)
    mirror, _ = _lateral_blend(specular, grid)
    real = real / gain + mirror
    return np.sqrt(real * real + (imaginary / gain) ** 2)


def compress(envelope: NDArray[np.float32], reference_grey: float, exponent: float) -> NDArray[np.float32]:
    """Grey levels 0..255 of an envelope: a power law with a soft shoulder, float32.

    In HC18 images the local spread of grey is proportional to the local mean (0.155 of it, from grey 20 to 100), which
    a power law of a Rayleigh envelope with exponent near 0.3 gives and a plain logarithm does not.

    Args:
        envelope: amplitudes >= 0, 1 = medium tissue.
        reference_grey: grey level of amplitude 1.
        exponent: of the power law, 0.2 to 0.6.
    """
    grey = reference_grey * np.power(envelope, np.float32(exponent)) - 2.0
    knee = 150.0
    above = np.maximum(grey - knee, 0.0)
    return np.clip(np.minimum(grey, knee) + 100.0 * (1.0 - np.exp(-above / 100.0)), 0.0, 255.0)
