"""Grey values of a DICOM image on the 8-bit scale of a screen: pydicom's display pipeline as one table.

A frame has at most 65,536 different values. The pipeline (modality, window or VOI table, presentation) is therefore
applied to the values once, not to the pixels of every frame.

References: DICOM PS3.3 C.7.6.3.1.2 (photometric interpretations), C.11.1 (modality), C.11.2 (VOI), C.11.6
(presentation).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_presentation_lut, apply_voi, apply_windowing

from fetal_hc.errors import ImageError
from fetal_hc.io.images import in_chunks, map_in_chunks
from fetal_hc.io.quiet import quiet_decoders
from hc18.dicom.header import PARSING_ERRORS, number_of
from hc18.dicom.pixel_format import PixelFormat

GREY_KEYWORDS = (
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "LUTDescriptor",
    "LUTData",
    "PresentationLUTSequence",
    "PresentationLUTShape",
)
_TABLES = ("ModalityLUTSequence", "VOILUTSequence", "PresentationLUTSequence")
_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
_WIDEST_ENTRY = 16  # bits


@dataclass(frozen=True, slots=True)
class GreyScale:
    """The table by which stored values of an image become 0..255, black to white.

    Attributes:
        is_inverted: the lowest value is white.
        levels: what the file makes of each stored value, float64 (number of values,); None if the values are 0..255
            already and are shown as they are.
        lowest: the stored value that the first level belongs to.
        is_complete: levels 0..255 are black to white. Otherwise the minimum..maximum of each frame becomes 0..255.
    """

    is_inverted: bool
    levels: NDArray[np.float64] | None = None
    lowest: int = 0
    is_complete: bool = True

    def to_8_bit(self, values: NDArray[np.generic]) -> NDArray[np.uint8]:
        """Stored values of a frame, any shape, as uint8 of the same shape."""
        grey = values.astype(np.uint8) if self.levels is None else self._looked_up(values)
        return np.asarray(np.bitwise_not(grey, out=grey) if self.is_inverted else grey, dtype=np.uint8)

    def _looked_up(self, values: NDArray[np.generic]) -> NDArray[np.uint8]:
        """Stored values by the table, as uint8 of the same shape."""
        assert self.levels is not None
        levels = self.levels
        if not self.is_complete:
            is_used = np.zeros(len(levels), dtype=np.bool_)
            for part in in_chunks(values):
                is_used[self._indices(part)] = True
            low, high = float(levels[is_used].min()), float(levels[is_used].max())
            levels = 255.0 * ((levels - low) / (high - low)) if high > low else np.zeros_like(levels)
        table = np.rint(np.clip(levels, 0.0, 255.0)).astype(np.uint8)
        return map_in_chunks(values, lambda part: table[self._indices(part)])

    def _indices(self, values: NDArray[np.generic]) -> NDArray[np.intp]:
        """Where the levels of stored values are; values beyond the stored bits get the first or last one."""
        assert self.levels is not None
        return np.clip(values.astype(np.intp) - self.lowest, 0, len(self.levels) - 1)


def from_dataset(dataset: Dataset, pixel_format: PixelFormat) -> GreyScale:
    """The grey scale of a dataset that has the attributes `GREY_KEYWORDS`.

    A window of impossible width is ignored. A value table goes before a window.

    Raises:
        ImageError: if a table of grey values is damaged.
    """
    is_inverted = pixel_format.photometric == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE"
    try:
        with quiet_decoders(), np.errstate(all="ignore"):
            is_8_bit = pixel_format.bits_stored == 8 and not pixel_format.is_signed
            if is_8_bit and _window(dataset) is None and not any(dataset.get(keyword) for keyword in _TABLES):
                return GreyScale(is_inverted)
            levels, is_complete = _levels(dataset, pixel_format.stored_values())
    except PARSING_ERRORS:
        raise ImageError(
            "The table of grey values of this DICOM image is damaged or incomplete; export the image with 8 bits."
        ) from None
    return GreyScale(is_inverted, levels, int(pixel_format.stored_values()[0]), is_complete)


def _levels(dataset: Dataset, stored: NDArray[np.int64]) -> tuple[NDArray[np.float64], bool]:
    """What the file makes of each stored value, and whether 0..255 of it are black to white."""
    levels = np.asarray(apply_modality_lut(stored, _modality(dataset)), dtype=np.float64)
    window, is_complete = _window(dataset), True
    if dataset.get("VOILUTSequence"):
        table, scale = _with_table(dataset, "VOILUTSequence")
        levels = apply_voi(np.rint(levels).astype(np.int64), table) * scale
    elif window is not None:
        levels = apply_windowing(levels, window)
    else:
        is_complete = False
    if dataset.get("PresentationLUTSequence"):
        table, scale = _with_table(dataset, "PresentationLUTSequence")
        levels, is_complete = apply_presentation_lut(levels, table) * scale, True
    return np.asarray(levels, dtype=np.float64), is_complete


def _modality(dataset: Dataset) -> Dataset:
    """The Modality LUT Module: a table, or slope and intercept where both are usable numbers."""
    if dataset.get("ModalityLUTSequence"):
        return _with_table(dataset, "ModalityLUTSequence")[0]
    module = Dataset()
    slope, intercept = number_of(dataset, "RescaleSlope"), number_of(dataset, "RescaleIntercept")
    module.RescaleSlope = slope if math.isfinite(slope) and slope else 1.0
    module.RescaleIntercept = intercept if math.isfinite(intercept) else 0.0
    return module


def _with_table(dataset: Dataset, keyword: str) -> tuple[Dataset, float]:
    """A module with the first table of a sequence, and the factor from its entries to 0..255.

    The entries are given as numbers and announced as 16 bits wide: pydicom 3.0 takes the type of its indices from the
    announced width, which is too narrow for long tables of 8-bit entries, and knows no 12-bit modality table.

    Raises:
        ValueError: if the table has too few entries.
        AttributeError: if an attribute is missing.
    """
    item = dataset[keyword].value[0]
    n_entries, first, bits = (int(value) for value in item.LUTDescriptor)
    n_entries = n_entries or 1 << _WIDEST_ENTRY
    if not 1 <= bits <= _WIDEST_ENTRY:
        raise ValueError(f"{bits} bits per entry")
    table, module = Dataset(), Dataset()
    table.LUTDescriptor = [n_entries, first, _WIDEST_ENTRY]
    table.add(DataElement(item["LUTData"].tag, "US", _entries(item["LUTData"].value, n_entries, dataset)))
    module.add(DataElement(dataset[keyword].tag, "SQ", [table]))
    return module, 255.0 / ((1 << bits) - 1)


def _entries(data: Any, n_entries: int, dataset: Dataset) -> list[int]:
    """The entries of a table that is stored as numbers, or as bytes of 8 or 16 bits per entry.

    Raises:
        ValueError: if there are too few.
    """
    if isinstance(data, bytes):
        wide = ("<u2" if dataset.original_encoding[1] else ">u2") if len(data) >= 2 * n_entries else "u1"
        return [int(entry) for entry in np.frombuffer(data, dtype=wide, count=n_entries)]
    entries = [int(entry) for entry in data]
    if len(entries) < n_entries:
        raise ValueError(f"{len(entries)} of {n_entries} entries")
    return entries[:n_entries]


def _window(dataset: Dataset) -> Dataset | None:
    """The first window, with 0..255 as its output; None if there is none or its width is impossible."""
    center, width = _first_number(dataset, "WindowCenter"), _first_number(dataset, "WindowWidth")
    named = str(dataset.get("VOILUTFunction") or "")
    function = named if named in _FUNCTIONS else "LINEAR"
    smallest = 1.0 if function == "LINEAR" else 0.0
    if not (math.isfinite(center) and math.isfinite(width) and width >= smallest and width > 0.0):
        return None
    module = Dataset()
    module.WindowCenter, module.WindowWidth, module.VOILUTFunction = center, width, function
    module.PhotometricInterpretation, module.BitsStored, module.PixelRepresentation = "MONOCHROME2", 8, 0
    return module


def _first_number(dataset: Dataset, keyword: str) -> float:
    """The first number of an attribute with one or more values; NaN if there is none."""
    value = dataset.get(keyword)
    first = value[0] if isinstance(value, Sequence) and not isinstance(value, str) and len(value) else value
    try:
        return float(first)
    except (TypeError, ValueError, OverflowError):
        return math.nan
