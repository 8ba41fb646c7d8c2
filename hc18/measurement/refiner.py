"""The refinement stage: a network reads the band around a rough outline and says where the skull ends.

In a bundle it is `refiner.onnx`, which runs in ONNX Runtime; in a training it is the torch network itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from fetal_hc.errors import ModelError
from fetal_hc.model.sessions import RUNTIME_ERRORS, one_line, open_session
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.outline_fit import fit_outline_points
from hc18.measurement.polar_band import (
    BAND_GEOMETRY,
    N_ANGLES,
    N_CHANNELS,
    N_RADII,
    band_input,
    check_band_geometry,
    fit_radii,
    radii_to_points,
    sample_band,
)

# Bands read one after the other, each around the ellipse that the band before led to. The first removes most of the
# error.
N_BANDS = 2

INPUT_NAME = "bands"
OUTPUT_NAMES = ("radii", "weights")
# The section `refiner` of a bundle, as this release writes it.
REFINER_SECTION: dict[str, Any] = {"n_bands": N_BANDS, "band": BAND_GEOMETRY}

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


class OutlineRefiner:
    """Moves rough outlines to where the skull ends, on the CPU."""

    def __init__(
        self, payload: bytes, source: str, num_threads: int = 1, section: Mapping[str, Any] = REFINER_SECTION
    ) -> None:
        """Loads the network.

        Args:
            payload: ONNX file of fetal-hc export for an outline refiner.
            source: name of the file it comes from, for messages.
            num_threads: threads for the network, at least 1.
            section: what its bundle states: `n_bands`, how many bands are read one after the other, and `band`, see
                `hc18.measurement.polar_band.BAND_GEOMETRY`.

        Raises:
            ModelError: if it is corrupt, another kind of network, or made for another band.
        """
        self._n_bands = _check_section(section, source)
        self._source = source
        self._session = open_session(payload, source, num_threads)
        check_refiner_signature(self._session, source)

    def refine(self, image_grey: NDArray[np.uint8], start_px: Ellipse) -> Ellipse | None:
        """The head near a start ellipse, see `refine_outline`.

        Raises:
            ModelError: if the network fails or returns numbers that are not finite.
        """
        return refine_outline(image_grey, start_px, self._read, self._n_bands)

    def _read(self, bands: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        try:
            radii, weights = self._session.run(list(OUTPUT_NAMES), {INPUT_NAME: bands})
        except RUNTIME_ERRORS as error:
            raise ModelError(f"{self._source}: its outline refiner fails ({one_line(error)})") from error
        if not (np.isfinite(radii).all() and np.isfinite(weights).all()):
            raise ModelError(f"{self._source}: its outline refiner returned numbers that are not finite")
        return radii, weights


def check_refiner_signature(session: onnxruntime.InferenceSession, source: str) -> None:
    """Returns if a network has the input and outputs of an outline refiner for today's bands.

    Raises:
        ModelError: naming what was found and what was expected.
    """
    found = [(item.name, list(item.shape)[1:]) for item in (*session.get_inputs(), *session.get_outputs())]
    expected = [(INPUT_NAME, [N_CHANNELS, N_RADII, N_ANGLES]), *((name, [N_ANGLES]) for name in OUTPUT_NAMES)]
    if found != expected:
        raise ModelError(
            f"{source}: has inputs and outputs {found}; an outline refiner has {expected}; export one with "
            "fetal-hc export"
        )


def _check_section(section: Mapping[str, Any], source: str) -> int:
    """How many bands to read, after the section `refiner` of a bundle was checked.

    Raises:
        ModelError: naming what is missing, unknown or differs from this release.
    """
    n_bands, band = section.get("n_bands"), section.get("band")
    if type(n_bands) is not int or n_bands < 1:
        raise ModelError(f"{source}: model.json: refiner.n_bands is {n_bands!r}; expected a whole number from 1 on")
    if not isinstance(band, Mapping):
        raise ModelError(f"{source}: model.json: refiner.band is {band!r}; expected the geometry of the polar band")
    check_band_geometry(band, source)
    return n_bands
