"""Grey values of a DICOM image on the 8-bit scale of a screen.

References: DICOM PS3.3 C.7.6.3.1.2 (photometric interpretations), C.11.1 (rescaling), C.11.2.1 (windows).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from hc18.dicom.header import number_of
from hc18.dicom.pixel_format import PixelFormat

GREY_KEYWORDS = ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "VOILUTFunction")


@dataclass(frozen=True, slots=True)
class GreyScale:
    """How the grey values of an image become 0..255, black to white.

    Attributes:
        is_inverted: the lowest value is white (MONOCHROME1).
        is_8_bit: values are 0..255 already and shown as they are unless there is a window.
        slope: factor before the window.
        intercept: summand before the window.
        window: centre, width and function (`LINEAR`, `LINEAR_EXACT` or `SIGMOID`); without one, and of more or fewer
            than 8 bits, the minimum..maximum of the frame becomes 0..255.
    """

    is_inverted: bool
    is_8_bit: bool
    slope: float = 1.0
    intercept: float = 0.0
    window: tuple[float, float, str] | None = None

    def to_8_bit(self, values: NDArray[np.generic]) -> NDArray[np.uint8]:
        """Values of a frame, any shape, as uint8 of the same shape."""
        if self.window is None and self.is_8_bit:
            grey = values.astype(np.uint8)
        else:
            grey = np.rint(255.0 * self._fractions(values.astype(np.float64))).astype(np.uint8)
        return np.asarray(255 - grey, dtype=np.uint8) if self.is_inverted else grey

    def _fractions(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values as 0..1."""
        if self.window is None:
            low, high = float(values.min()), float(values.max())
            return (values - low) / (high - low) if high > low else np.zeros_like(values)
        center, width, function = self.window
        rescaled = values * self.slope + self.intercept
        if function == "SIGMOID":
            return np.asarray(1.0 / (1.0 + np.exp(np.clip(-4.0 * (rescaled - center) / width, -700.0, 700.0))))
        if function == "LINEAR_EXACT":
            return np.clip((rescaled - center) / width + 0.5, 0.0, 1.0)
        return np.clip((rescaled - (center - 0.5)) / max(width - 1.0, 1e-9) + 0.5, 0.0, 1.0)


def from_dataset(dataset: Dataset, pixel_format: PixelFormat) -> GreyScale:
    """The grey scale of a dataset that holds the attributes `GREY_KEYWORDS`."""
    slope, intercept = number_of(dataset, "RescaleSlope"), number_of(dataset, "RescaleIntercept")
    return GreyScale(
        is_inverted=pixel_format.photometric == "MONOCHROME1",
        is_8_bit=pixel_format.bits_stored == 8 and not pixel_format.is_signed,
        slope=slope if math.isfinite(slope) and slope else 1.0,
        intercept=intercept if math.isfinite(intercept) else 0.0,
        window=_window(dataset),
    )


def _window(dataset: Dataset) -> tuple[float, float, str] | None:
    """The first window: centre, width and function; None if there is none or its width is impossible."""
    center, width = _first_number(dataset, "WindowCenter"), _first_number(dataset, "WindowWidth")
    function = str(dataset.get("VOILUTFunction") or "LINEAR")
    smallest = 1.0 if function == "LINEAR" else 0.0
    if not (math.isfinite(center) and math.isfinite(width) and width >= smallest and width > 0.0):
        return None
    return center, width, function


def _first_number(dataset: Dataset, keyword: str) -> float:
    """The first number of an attribute with one or more values; NaN if there is none."""
    value = dataset.get(keyword)
    first = value[0] if isinstance(value, Sequence) and not isinstance(value, str) and len(value) else value
    try:
        return float(first)
    except (TypeError, ValueError, OverflowError):
        return math.nan
