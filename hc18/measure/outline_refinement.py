"""The refinement stage: a network reads the band around a rough outline and says where the skull ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hc18.geometry.ellipse import Ellipse
from hc18.geometry.outline_fit import fit_outline_points
from hc18.measure.polar_band import band_input, fit_radii, radii_to_points, sample_band

# Bands read one after the other, each around the ellipse that the band before led to. The first removes most of the
# error.
N_BANDS = 2

# (B, N_CHANNELS, N_RADII, N_ANGLES) -> relative radius of the outline at each angle and how much it counts, both
# (B, N_ANGLES).
BandNetwork = Callable[[NDArray[np.float32]], tuple[NDArray[np.floating], NDArray[np.floating]]]


def refine_outline(
    image_grey: NDArray[np.uint8], start_px: Ellipse, network: BandNetwork, n_bands: int = N_BANDS
) -> Ellipse | None:
    """The head near a start ellipse, in px of the image; None if no ellipse fits what the network says.

    Args:
        image_grey: uint8 (H, W).
        start_px: an ellipse that lies roughly on the head's outline, in px of the image.
        network: finds the outline in a band.
        n_bands: how many bands to read.
    """
    ellipse_px = start_px
    for _ in range(n_bands):
        radii, weights = network(band_input(sample_band(image_grey, ellipse_px))[None])
        outline = fit_radii(radii[0].astype(np.float64), weights[0].astype(np.float64))
        found = fit_outline_points(radii_to_points(outline, ellipse_px))
        if found.ellipse is None:
            return None
        ellipse_px = found.ellipse
    return ellipse_px
