"""Whether an image can be a B-mode ultrasound image at all, before a network looks at it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Share of coloured pixels. Colour Doppler, markers and menus of ultrasound images reach 0.17 (pydicom's test files);
# nine of ten photographs have more than 0.25.
MAX_COLOURED_SHARE = 0.25
# Distance of red - green or blue - green from what the tint of the image has at this brightness, in grey levels.
COLOUR_TOLERANCE = 20
_TINT_FITS = 3
_STRIDE_PX = 3  # every third row and column is enough for a share


def coloured_share(image_rgb: NDArray[np.uint8]) -> float:
    """Share, 0 to 1, of the pixels whose colour is not that of the image's grey scale.

    The grey scale may be tinted, as many scanners offer: then red - green and blue - green are parabolas of the
    brightness through 0.

    Args:
        image_rgb: uint8 (H, W, 3).
    """
    sample = image_rgb[::_STRIDE_PX, ::_STRIDE_PX]
    if np.array_equal(sample[..., 0], sample[..., 1]) and np.array_equal(sample[..., 1], sample[..., 2]):
        return 0.0
    pixels = sample.reshape(-1, 3).astype(np.float32)
    hues = pixels[:, ::2] - pixels[:, 1:2]
    brightness = pixels.mean(axis=1) / 255.0
    basis = np.stack([brightness, brightness**2], axis=1)
    is_coloured = np.zeros(len(hues), dtype=np.bool_)
    # Least squares, then again without the pixels far off, which are no part of the grey scale.
    for _ in range(_TINT_FITS):
        tint = basis @ np.linalg.lstsq(basis[~is_coloured], hues[~is_coloured], rcond=None)[0]
        is_coloured = (np.abs(hues - tint) > COLOUR_TOLERANCE).any(axis=1)
    return float(is_coloured.mean())


def rejection_reason(image_rgb: NDArray[np.uint8]) -> str:
    """Why the image cannot be a B-mode ultrasound image; empty if it can.

    Args:
        image_rgb: uint8 (H, W, 3).
    """
    share = coloured_share(image_rgb)
    if share <= MAX_COLOURED_SHARE:
        return ""
    return (
        f"{share:.0%} of the pixels are coloured, at most {MAX_COLOURED_SHARE:.0%} in an ultrasound image; "
        "is this a photograph?"
    )
