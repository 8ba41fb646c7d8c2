"""Palettes (colour look-up tables) of DICOM images.

References: DICOM PS3.3 C.7.6.3.1.5 (descriptors), C.7.6.3.1.6 (data), C.7.9.2 (segmented data).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from fetal_hc.errors import ImageError
from fetal_hc.io.images import map_in_chunks
from fetal_hc.io.quiet import quiet_decoders
from hc18.dicom.header import PARSING_ERRORS

_COLORS = ("Red", "Green", "Blue")
PALETTE_KEYWORDS = tuple(
    f"{prefix}{color}PaletteColorLookupTable{suffix}"
    for color in _COLORS
    for prefix, suffix in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
)
_LARGEST_TABLE = 1 << 16


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of stored values.

    Attributes:
        colors: uint8 (N, 3) RGB.
        first_value: stored value of the first colour; lower values get the first colour, higher ones than N the last.
    """

    colors: NDArray[np.uint8]
    first_value: int

    def to_rgb(self, values: NDArray[np.generic]) -> NDArray[np.uint8]:
        """Stored values (H, W) as uint8 (H, W, 3)."""
        shown = np.empty((*values.shape, 3), dtype=np.uint8)
        for channel in range(3):
            shown[..., channel] = map_in_chunks(values, partial(self._looked_up, channel))
        return shown

    def _looked_up(self, channel: int, values: NDArray[np.generic]) -> NDArray[np.uint8]:
        """One channel of the colours of stored values."""
        indices = np.clip(values.astype(np.int64) - self.first_value, 0, len(self.colors) - 1)
        return np.asarray(self.colors[indices, channel], dtype=np.uint8)


def from_dataset(dataset: Dataset) -> Palette:
    """The palette of a dataset that has the attributes `PALETTE_KEYWORDS`.

    Raises:
        ImageError: if it is missing or incomplete.
    """
    try:
        with quiet_decoders():
            entries, first_value, _ = (int(value) for value in dataset["RedPaletteColorLookupTableDescriptor"].value)
            entries = entries or _LARGEST_TABLE
            if "RedPaletteColorLookupTableData" in dataset:
                table = np.stack([_channel(dataset, color, entries) for color in _COLORS], axis=1)
            else:
                table = apply_color_lut(np.arange(first_value, first_value + entries), dataset)[:, :3]
    except PARSING_ERRORS:
        raise ImageError(
            "The colour palette of this DICOM image is missing or incomplete; export the image as RGB or grey."
        ) from None
    # 16-bit tables have the colour in the upper byte; some writers put plain 0..255 into 16 bits all the same.
    shown = table >> 8 if table.max() > 255 else table
    return Palette(np.asarray(shown, dtype=np.uint8), first_value)


def _channel(dataset: Dataset, color: str, entries: int) -> NDArray[np.uint16]:
    """One column of a plain table, uint16 (entries,).

    pydicom 3.0 expands segmented tables. Plain ones are read here, because it reads big-endian tables in the wrong
    order, refuses tables with an odd number of 8-bit entries, and cannot index more than 256 of those.

    Raises:
        ValueError: if it has too few bytes.
    """
    data = bytes(dataset[f"{color}PaletteColorLookupTableData"].value)
    if len(data) >= 2 * entries:
        is_little_endian = dataset.original_encoding[1]
        return np.frombuffer(data, dtype="<u2" if is_little_endian else ">u2", count=entries).astype(np.uint16)
    return np.frombuffer(data, dtype=np.uint8, count=entries).astype(np.uint16)
