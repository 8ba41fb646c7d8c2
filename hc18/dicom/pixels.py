"""Frames of a DICOM image as 8-bit RGB, decoded one at a time.

References: ISO/IEC 10918-1 B.2 (JPEG markers), ISO/IEC 14495-1 C.2 (JPEG-LS).
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder

from fetal_hc.errors import ImageError
from fetal_hc.io.images import grey_to_rgb
from fetal_hc.io.quiet import quiet_decoders
from hc18.dicom import grey as dicom_grey
from hc18.dicom import palette as dicom_palette
from hc18.dicom import pixel_format as dicom_pixel_format
from hc18.dicom.grey import GREY_KEYWORDS, GreyScale
from hc18.dicom.header import PARSING_ERRORS
from hc18.dicom.palette import PALETTE_KEYWORDS, Palette
from hc18.dicom.pixel_format import DECODERS, FORMAT_KEYWORDS, PixelFormat

PIXEL_KEYWORDS = (*FORMAT_KEYWORDS, *GREY_KEYWORDS, *PALETTE_KEYWORDS)

_JPEG_START = b"\xff\xd8"
_JPEG_2000_STARTS = (b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ")
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})


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
            return grey_to_rgb(self._grey.to_8_bit(values))
        if photometric != "RGB" or values.shape[2:] != (3,):
            raise ImageError(
                "The colours of this DICOM image are stored in a form that cannot be shown; export as RGB."
            )
        excess_bits = max(self.pixel_format.bits_stored - 8, 0)
        return np.asarray(np.right_shift(values, excess_bits) if excess_bits else values, dtype=np.uint8)

    def _decoded(self, index: int) -> tuple[NDArray[np.integer[Any]], str]:
        """Values of a frame, (H, W) or (H, W, 3), and their photometric interpretation; YBR has become RGB.

        Raises:
            ImageError: if the frame is missing, damaged or coded in another size than the header says.
        """
        syntax, n_frames = self.pixel_format.transfer_syntax, self.pixel_format.n_frames
        try:
            with quiet_decoders():
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
                "or coded in an unusual way. Copy it again or export it uncompressed."
            ) from None
        if self.pixel_format.n_low_bits:
            values = np.right_shift(values, self.pixel_format.n_low_bits)
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
                f"{columns} x {rows}; export the file again."
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


def coded_image_hw(codestream: bytes) -> tuple[int, int] | None:
    """Height and width in px that a JPEG, JPEG-LS or JPEG 2000 picture announces; None if it announces none."""
    try:
        if codestream.startswith(_JPEG_2000_STARTS):
            with Jpeg2KImageFile(io.BytesIO(codestream)) as picture:
                return picture.height, picture.width
        return _jpeg_hw(codestream) if codestream.startswith(_JPEG_START) else None
    except (*PARSING_ERRORS, SyntaxError):
        return None


def _jpeg_hw(codestream: bytes) -> tuple[int, int] | None:
    """Height and width in the first frame header; None if the data begin before one.

    Pillow reads neither JPEG-LS nor the lossless JPEG of more than 8 bits; the markers of all of them are the same.

    Raises:
        IndexError: if the markers end early.
        struct.error: if a marker is cut off.
    """
    offset = len(_JPEG_START)
    while codestream[offset] == 0xFF:
        marker = codestream[offset + 1]
        if marker == 0xFF:  # fill byte
            offset += 1
            continue
        if marker in _FRAME_HEADERS:
            height, width = struct.unpack_from(">2H", codestream, offset + 5)
            return height, width
        (length,) = (0,) if marker in _WITHOUT_LENGTH else struct.unpack_from(">H", codestream, offset + 2)
        offset += 2 + length
    return None
