"""Frames of a DICOM image as 8-bit RGB, one at a time.

References: DICOM PS3.3 C.7.6.3 (Image Pixel), C.11.2 (windows); PS3.5 section 8 and annex A (encodings).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder

from hc18 import dicom_grey, dicom_palette
from hc18.dicom_codestream import coded_image_hw
from hc18.dicom_grey import GREY_KEYWORDS, GreyScale
from hc18.dicom_header import PARSING_ERRORS, number_of, quiet_pydicom
from hc18.dicom_palette import PALETTE_KEYWORDS, Palette
from segdata.errors import ImageError

# One decoder each, so that the same file gives the same pixels whatever else is installed.
_DECODERS = {
    uid.JPEGBaseline8Bit: "pillow",
    uid.JPEGExtended12Bit: "pillow",
    uid.JPEG2000Lossless: "pillow",
    uid.JPEG2000: "pillow",
    uid.JPEGLossless: "gdcm",
    uid.JPEGLosslessSV1: "gdcm",
    uid.JPEGLSLossless: "gdcm",
    uid.JPEGLSNearLossless: "gdcm",
    uid.RLELossless: "pydicom",
}
_UNCOMPRESSED = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
)
_SAMPLES = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}
_DEPTHS = (8, 16)

PIXEL_KEYWORDS = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "PixelData",
    *GREY_KEYWORDS,
    *PALETTE_KEYWORDS,
)


@dataclass(frozen=True, slots=True)
class FramePixels:
    """The encoded frames of one DICOM object and how to decode and show them.

    Attributes:
        transfer_syntax: how the frames are encoded.
        image_hw: height and width of every frame in px.
        n_frames: number of frames, at least 1.
    """

    transfer_syntax: uid.UID
    image_hw: tuple[int, int]
    n_frames: int
    _encoded: bytes = field(repr=False)
    _options: dict[str, Any] = field(repr=False)
    _palette: Palette | None = field(repr=False)
    _grey: GreyScale | None = field(repr=False)

    def frame_rgb(self, index: int) -> NDArray[np.uint8]:
        """One frame as uint8 (H, W, 3) RGB; the others are not decoded.

        Args:
            index: 0-based.

        Raises:
            ImageError: if there is no such frame or it cannot be decoded.
        """
        if not 0 <= index < self.n_frames:
            raise ImageError(f"There is no frame {index + 1}; the file has {self.n_frames}.")
        values, photometric = self._decoded(index)
        if self._palette is not None:
            return self._palette.to_rgb(values)
        if self._grey is not None:
            return np.repeat(self._grey.to_8_bit(values)[:, :, None], 3, axis=2)
        if photometric != "RGB" or values.shape[2:] != (3,):
            raise ImageError(
                "The colours of this DICOM image are stored in a form that cannot be shown; export as RGB."
            )
        excess_bits = int(self._options["bits_stored"]) - 8
        return np.asarray(np.right_shift(values, max(excess_bits, 0)), dtype=np.uint8)

    def _decoded(self, index: int) -> tuple[NDArray[np.integer[Any]], str]:
        """Values of a frame, (H, W) or (H, W, 3), and their photometric interpretation.

        Raises:
            ImageError: if the frame is missing, damaged or coded in another size than the header says.
        """
        try:
            with quiet_pydicom():
                self._check_coded_size(index)
                values, properties = get_decoder(self.transfer_syntax).as_array(
                    self._encoded,
                    index=index,
                    decoding_plugin=_DECODERS.get(self.transfer_syntax, ""),
                    **self._options,
                )
        except PARSING_ERRORS:
            raise ImageError(
                f"Frame {index + 1} of {self.n_frames} cannot be decoded ({self.transfer_syntax.name}); the file is "
                "damaged, incomplete or coded in an unusual way. Copy it anew or export it uncompressed."
            ) from None
        if values.shape[:2] != self.image_hw:
            raise ImageError(f"Frame {index + 1} has another size than the file says; export the file anew.")
        return values, str(properties["photometric_interpretation"])

    def _check_coded_size(self, index: int) -> None:
        """Refuses a compressed frame of another size than the header's, before memory is reserved for it.

        Raises:
            ImageError: with both sizes.
        """
        if self.transfer_syntax in _UNCOMPRESSED:
            return
        coded = get_frame(
            self._encoded,
            index,
            number_of_frames=self.n_frames,
            extended_offsets=self._options.get("extended_offsets"),
        )
        coded_hw = coded_image_hw(coded)
        if coded_hw is not None and coded_hw != self.image_hw:
            raise ImageError(
                f"Frame {index + 1} is compressed as {coded_hw[1]} x {coded_hw[0]} pixels, but the file says "
                f"{self.image_hw[1]} x {self.image_hw[0]}; export the file anew."
            )


def from_dataset(dataset: Dataset, max_pixels: int) -> FramePixels:
    """The frames of a dataset that holds the attributes `PIXEL_KEYWORDS`; nothing is decoded yet.

    Args:
        dataset: as `dicom_header.read_attributes` gives it.
        max_pixels: larger frames are refused.

    Raises:
        ImageError: if there are no pixels, too many, too few bytes of them, or a kind that cannot be shown.
    """
    encoded = dataset["PixelData"].value if "PixelData" in dataset else None
    if not isinstance(encoded, bytes) or not encoded:
        raise ImageError("The DICOM file holds no picture, or was cut off before it; export an image with its pixels.")
    options = _options(dataset)
    _check_size(options, max_pixels)
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax in _UNCOMPRESSED:
        _check_length(options, len(encoded))
    elif syntax not in _DECODERS:
        raise ImageError(
            f"The picture is compressed in a way that cannot be read here ({_syntax_name(syntax)}); "
            "export it uncompressed, as JPEG, JPEG 2000 or RLE."
        )
    photometric = options["photometric_interpretation"]
    is_grey = photometric.startswith("MONOCHROME")
    return FramePixels(
        transfer_syntax=syntax,
        image_hw=(options["rows"], options["columns"]),
        n_frames=options["number_of_frames"],
        _encoded=encoded,
        _options=options,
        _palette=dicom_palette.from_dataset(dataset) if photometric == "PALETTE COLOR" else None,
        _grey=dicom_grey.from_dataset(
            dataset, photometric, options["bits_stored"], bool(options["pixel_representation"])
        )
        if is_grey
        else None,
    )


def _options(dataset: Dataset) -> dict[str, Any]:
    """What the decoders need to know, by the names pydicom gives it, checked.

    Raises:
        ImageError: if an attribute is missing, contradicts another or names a kind of image that is not supported.
    """
    photometric = str(dataset.get("PhotometricInterpretation") or "")
    samples = _SAMPLES.get(photometric)
    rows, columns = _count(dataset, "Rows"), _count(dataset, "Columns")
    bits = _count(dataset, "BitsAllocated")
    stored = _count(dataset, "BitsStored") or bits
    if not (rows and columns) or bits not in _DEPTHS or stored > bits or _count(dataset, "SamplesPerPixel") != samples:
        raise ImageError(
            "The DICOM file does not describe its picture in a way that can be read (size, bits or colours); "
            "export it anew as grey or RGB with 8 bits."
        )
    options: dict[str, Any] = {
        "rows": rows,
        "columns": columns,
        "samples_per_pixel": samples,
        "photometric_interpretation": photometric,
        "planar_configuration": _count(dataset, "PlanarConfiguration"),
        "number_of_frames": max(_count(dataset, "NumberOfFrames"), 1),
        "bits_allocated": bits,
        "bits_stored": stored,
        "pixel_representation": _count(dataset, "PixelRepresentation"),
        "pixel_keyword": "PixelData",
        "pixel_vr": dataset["PixelData"].VR,
    }
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        options["extended_offsets"] = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    return options


def _check_size(options: dict[str, Any], max_pixels: int) -> None:
    """Refuses frames that are too large.

    Raises:
        ImageError: with the size.
    """
    rows, columns = options["rows"], options["columns"]
    if rows * columns > max_pixels:
        raise ImageError(
            f"The picture has {columns} x {rows} pixels; expected at most {max_pixels:,} in all. Scale it down."
        )


def _check_length(options: dict[str, Any], n_bytes: int) -> None:
    """Refuses uncompressed pixel data that end early.

    Raises:
        ImageError: with the number of bytes there are and should be.
    """
    per_frame = options["rows"] * options["columns"] * options["samples_per_pixel"] * options["bits_allocated"] // 8
    if options["photometric_interpretation"] == "YBR_FULL_422":
        per_frame = per_frame // 3 * 2
    needed = per_frame * options["number_of_frames"]
    if n_bytes < needed:
        raise ImageError(
            f"The DICOM file is incomplete: its picture needs {needed:,} bytes and {n_bytes:,} are there. Copy it anew."
        )


def _count(dataset: Dataset, keyword: str) -> int:
    """A whole number >= 0; 0 if the attribute is missing or no such number."""
    value = number_of(dataset, keyword)
    return int(value) if math.isfinite(value) and value >= 0.0 else 0


def _syntax_name(syntax: uid.UID) -> str:
    """The name of a transfer syntax of the standard; of any other only that it is private."""
    return syntax.name if syntax in uid.AllTransferSyntaxes else "a private transfer syntax"
