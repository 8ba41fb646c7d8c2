"""Frames of a DICOM image as 8-bit RGB, decoded one at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder

from fetal_hc.errors import ImageError
from hc18.dicom import grey as dicom_grey
from hc18.dicom import palette as dicom_palette
from hc18.dicom import pixel_format as dicom_pixel_format
from hc18.dicom.codestream import coded_image_hw
from hc18.dicom.grey import GREY_KEYWORDS, GreyScale
from hc18.dicom.header import PARSING_ERRORS, quiet_pydicom
from hc18.dicom.palette import PALETTE_KEYWORDS, Palette
from hc18.dicom.pixel_format import DECODERS, FORMAT_KEYWORDS, PixelFormat

PIXEL_KEYWORDS = (*FORMAT_KEYWORDS, *GREY_KEYWORDS, *PALETTE_KEYWORDS)


@dataclass(frozen=True, slots=True)
class FramePixels:
    """The encoded frames of one DICOM object and how to decode and show them."""

    pixel_format: PixelFormat
    _encoded: bytes = field(repr=False)
    _palette: Palette | None = field(repr=False)
    _grey: GreyScale | None = field(repr=False)

    def frame_rgb(self, index: int) -> NDArray[np.uint8]:
        """One frame as uint8 (H, W, 3) RGB; the others are not decoded.

        Args:
            index: 0-based.

        Raises:
            ImageError: if there is no such frame or it cannot be decoded.
        """
        n_frames = self.pixel_format.n_frames
        if not 0 <= index < n_frames:
            raise ImageError(f"There is no frame {index + 1}; the file has {n_frames}.")
        values, photometric = self._decoded(index)
        if self._palette is not None:
            return self._palette.to_rgb(values)
        if self._grey is not None:
            return np.repeat(self._grey.to_8_bit(values)[:, :, None], 3, axis=2)
        if photometric != "RGB" or values.shape[2:] != (3,):
            raise ImageError(
                "The colours of this DICOM image are stored in a form that cannot be shown; export as RGB."
            )
        excess_bits = max(self.pixel_format.bits_stored - 8, 0)
        return np.asarray(np.right_shift(values, excess_bits), dtype=np.uint8)

    def _decoded(self, index: int) -> tuple[NDArray[np.integer[Any]], str]:
        """Values of a frame, (H, W) or (H, W, 3), and their photometric interpretation; YBR has become RGB.

        Raises:
            ImageError: if the frame is missing, damaged or coded in another size than the header says.
        """
        syntax, n_frames = self.pixel_format.transfer_syntax, self.pixel_format.n_frames
        try:
            with quiet_pydicom():
                if self.pixel_format.is_compressed:
                    self._check_coded_size(index)
                values, properties = get_decoder(syntax).as_array(
                    self._encoded,
                    index=index,
                    decoding_plugin=DECODERS.get(syntax, ""),
                    **self.pixel_format.decoding_options(),
                )
        except PARSING_ERRORS:
            raise ImageError(
                f"Frame {index + 1} of {n_frames} cannot be decoded ({syntax.name}); the file is damaged, incomplete "
                "or coded in an unusual way. Copy it anew or export it uncompressed."
            ) from None
        return values, str(properties["photometric_interpretation"])

    def _check_coded_size(self, index: int) -> None:
        """Refuses a compressed frame of another size than the header's, before memory is reserved for it.

        Raises:
            ImageError: with both sizes.
        """
        frame = get_frame(
            self._encoded,
            index,
            number_of_frames=self.pixel_format.n_frames,
            extended_offsets=self.pixel_format.frame_offsets,
        )
        rows, columns = self.pixel_format.image_hw
        coded_hw = coded_image_hw(frame)
        if coded_hw is not None and coded_hw != (rows, columns):
            raise ImageError(
                f"Frame {index + 1} is compressed as {coded_hw[1]} x {coded_hw[0]} pixels, but the file says "
                f"{columns} x {rows}; export the file anew."
            )


def from_dataset(dataset: Dataset, max_pixels: int) -> FramePixels:
    """The frames of a dataset that holds the attributes `PIXEL_KEYWORDS`; nothing is decoded yet.

    Args:
        dataset: as `dicom_header.read_attributes` gives it.
        max_pixels: larger frames are refused.

    Raises:
        ImageError: if there are no pixels, too many, too few bytes of them, or a kind that cannot be shown.
    """
    pixel_format, encoded = dicom_pixel_format.from_dataset(dataset, max_pixels)
    photometric = pixel_format.photometric
    return FramePixels(
        pixel_format=pixel_format,
        _encoded=encoded,
        _palette=dicom_palette.from_dataset(dataset) if photometric == "PALETTE COLOR" else None,
        _grey=dicom_grey.from_dataset(dataset, pixel_format) if photometric.startswith("MONOCHROME") else None,
    )
