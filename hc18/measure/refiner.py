"""The refinement stage of a model: the network `refiner.onnx` of its bundle behind ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from fetal_hc.errors import ModelError
from fetal_hc.model.sessions import RUNTIME_ERRORS, one_line, open_session
from hc18.geometry.ellipse import Ellipse
from hc18.measure.outline_refinement import N_BANDS, refine_outline
from hc18.measure.polar_band import BAND_GEOMETRY, N_ANGLES, N_CHANNELS, N_RADII, check_band_geometry

INPUT_NAME = "bands"
OUTPUT_NAMES = ("radii", "weights")
# The section `refiner` of a bundle, as this release writes it.
REFINER_SECTION: dict[str, Any] = {"n_bands": N_BANDS, "band": BAND_GEOMETRY}


class OutlineRefiner:
    """Moves rough outlines to where the skull ends, on the CPU."""

    def __init__(
        self, payload: bytes, source: str, num_threads: int = 1, section: Mapping[str, Any] = REFINER_SECTION
    ) -> None:
        """Loads the network.

        Args:
            payload: ONNX file of tools/export_model.py for an outline refiner.
            source: name of the file it comes from, for messages.
            num_threads: threads for the network, at least 1.
            section: what its bundle states: `n_bands`, how many bands are read one after the other, and `band`, see
                `hc18.measure.polar_band.BAND_GEOMETRY`.

        Raises:
            ModelError: if it is corrupt, another kind of network, or made for another band.
        """
        self._n_bands = _check_section(section, source)
        self._source = source
        self._session = open_session(payload, source, num_threads)
        check_refiner_signature(self._session, source)

    def refine(self, image_grey: NDArray[np.uint8], start_px: Ellipse) -> Ellipse | None:
        """The head near a start ellipse, see `hc18.measure.outline_refinement.refine_outline`.

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
            "tools/export_model.py"
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
