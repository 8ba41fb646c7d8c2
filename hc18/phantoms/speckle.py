"""Speckle, log-like compression and smooth random fields for synthetic ultrasound images."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from hc18.phantoms.view import PolarGrid


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
    weight = rng.uniform(0.3, 1.0, len(orders)) / orders**1.6
    wave = (weight[:, None] * np.cos(orders[:, None] * angle + phase[:, None])).sum(axis=0)
    return np.asarray(wave / wave.std(), dtype=np.float32)


def _kernel(sigma: float) -> NDArray[np.float32]:
    """Gaussian kernel of unit sum."""
    size = 2 * int(np.ceil(3.0 * sigma)) + 1
    return np.asarray(cv2.getGaussianKernel(size, sigma, cv2.CV_32F), dtype=np.float32)


def speckle_envelope(
    scatter: NDArray[np.float32],
    specular: NDArray[np.float32],
    grid: PolarGrid,
    rng: np.random.Generator,
    n_looks: int = 1,
) -> NDArray[np.float32]:
    """Envelope of the echo of random scatterers plus coherent reflectors.

    Where `specular` is zero one look follows a Rayleigh distribution whose root mean square is `scatter` (fully
    developed speckle). The point-spread function is constant in beams, so speckle widens with depth. Spatial
    compounding averages the intensity of independent looks; the reflectors look the same in each.

    Args:
        scatter: amplitude of the diffuse scatter, float32 (depths, beams), >= 0.
        specular: amplitude of mirror-like reflectors, same shape, >= 0.
        grid: the sample points.
        rng: source of the scatterers.
        n_looks: compounded looks, >= 1.

    Returns:
        Envelope, float32 (depths, beams), >= 0.

    References: Wagner, Smith, Sandrik, Lopez: Statistics of speckle in ultrasound B-scans, IEEE TSU 30(3), 1983.
    """
    axial, lateral = _kernel(grid.axial_sigma), _kernel(grid.lateral_sigma)
    gain = float(np.sqrt(0.5 / n_looks / ((axial**2).sum() * (lateral**2).sum())))
    amplitude = scatter * np.float32(gain)

    def spread(samples: NDArray[np.float32]) -> NDArray[np.float32]:
        blurred = cv2.sepFilter2D(samples, -1, lateral, axial, borderType=cv2.BORDER_REFLECT)
        return np.asarray(blurred, dtype=np.float32)

    mirror = spread(specular) * np.float32(1.0 / np.sqrt(n_looks))
    power = np.zeros(grid.shape, dtype=np.float32)
    for _ in range(n_looks):
        power += (spread(rng.standard_normal(grid.shape, dtype=np.float32) * amplitude) + mirror) ** 2
        power += spread(rng.standard_normal(grid.shape, dtype=np.float32) * amplitude) ** 2
    return np.sqrt(power)


def compress(envelope: NDArray[np.float32], reference_grey: float, exponent: float) -> NDArray[np.float32]:
    """Grey levels 0..255 of an envelope: a power law with a soft shoulder, float32.

    In HC18 images the local spread of grey is proportional to the local mean (0.155 of it, from grey 20 to 100), which
    a power law of a compounded Rayleigh envelope gives and a plain logarithm does not.

    Args:
        envelope: amplitudes >= 0, 1 = medium tissue.
        reference_grey: grey level of amplitude 1.
        exponent: of the power law, 0.2 to 1.
    """
    knee, room = np.float32(170.0), np.float32(75.0)
    grey = reference_grey * np.power(envelope, np.float32(exponent)) - np.float32(10.0)
    above = np.maximum(grey - knee, 0.0)
    shoulder = np.minimum(grey, knee) + room * (1.0 - np.exp(-above / room))
    return np.asarray(np.clip(shoulder, 0.0, 255.0), dtype=np.float32)
