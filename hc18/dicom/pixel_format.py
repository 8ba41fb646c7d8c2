"""The storage format of the pixels of a DICOM image, and whether it can be read at all.

References: DICOM PS3.3 C.7.6.3 (Image Pixel Module); PS3.5 section 8 and annex A (encodings).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import parse_basic_offsets, parse_fragments

from fetal_hc.errors import ImageError
from fetal_hc.io.images import check_pixel_count
from fetal_hc.io.quiet import quiet_decoders
from hc18.dicom.header import PARSING_ERRORS, count_of

FORMAT_KEYWORDS = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "PixelData",
)
# One decoder each, so that the same file gives the same pixels whatever else is installed.
DECODERS = {
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


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """The storage format of every frame of one DICOM object.

    Attributes:
        transfer_syntax: how the frames are encoded.
        image_hw: height and width in px.
        n_frames: at least 1.
        photometric: photometric interpretation: what the values mean.
        n_samples: values per pixel, 1 or 3.
        is_by_plane: uncompressed colours are stored plane after plane, not pixel after pixel.
        bits_allocated: 8 or 16.
        bits_stored: bits in use, at most `bits_allocated`.
        n_low_bits: unused bits below them; 0 unless an older file stores its values in the upper bits.
        is_signed: values are signed.
        value_type: value representation of the pixel data, OB or OW.
        frame_offsets: extended offset table and its lengths, if the file has them.
    """

    transfer_syntax: uid.UID
    image_hw: tuple[int, int]
    n_frames: int
    photometric: str
    n_samples: int
    is_by_plane: bool
    bits_allocated: int
    bits_stored: int
    n_low_bits: int
    is_signed: bool
    value_type: str
    frame_offsets: tuple[bytes, bytes] | None

    @property
    def is_compressed(self) -> bool:
        """Whether the pixel data come in encoded pieces."""
        return self.transfer_syntax not in _UNCOMPRESSED

    def decoding_options(self) -> dict[str, Any]:
        """The format by the names that pydicom's decoders give it."""
        offsets = {} if self.frame_offsets is None else {"extended_offsets": self.frame_offsets}
        return {
            "rows": self.image_hw[0],
            "columns": self.image_hw[1],
            "number_of_frames": self.n_frames,
            "photometric_interpretation": self.photometric,
            "samples_per_pixel": self.n_samples,
            "planar_configuration": int(self.is_by_plane),
            "bits_allocated": self.bits_allocated,
            "bits_stored": self.bits_stored + self.n_low_bits,
            "pixel_representation": int(self.is_signed),
            "pixel_keyword": "PixelData",
            "pixel_vr": self.value_type,
            **offsets,
        }

    def stored_values(self) -> NDArray[np.int64]:
        """All values that a pixel can have, rising."""
        n_values = 1 << self.bits_stored
        return np.arange(n_values, dtype=np.int64) - (n_values // 2 if self.is_signed else 0)


def from_dataset(dataset: Dataset, max_pixels: int) -> tuple[PixelFormat, bytes]:
    """Format and encoded pixel data of a dataset that holds the attributes `FORMAT_KEYWORDS`.

    Args:
        dataset: as `dicom_header.read_attributes` gives it.
        max_pixels: larger frames are refused.

    Raises:
        ImageError: if there are no pixels, too many, too few bytes of them, or a kind that cannot be shown.
    """
    encoded = dataset["PixelData"].value if "PixelData" in dataset else None
    if not isinstance(encoded, bytes) or not encoded:
        raise ImageError("The DICOM file holds no picture, or was cut off before it; export an image with its pixels.")
    pixel_format = _described(dataset)
    rows, columns = pixel_format.image_hw
    check_pixel_count((columns, rows), max_pixels, "The picture")
    if not pixel_format.is_compressed:
        _check_length(pixel_format, len(encoded))
    elif pixel_format.transfer_syntax in DECODERS:
        _check_pieces(pixel_format, encoded)
    else:
        syntax = pixel_format.transfer_syntax
        name = syntax.name if syntax in uid.AllTransferSyntaxes else "a private transfer syntax"
        raise ImageError(
            f"The picture is compressed in a way that cannot be read here ({name}); "
            "export it uncompressed or as JPEG, JPEG 2000 or RLE."
        )
    return pixel_format, encoded


def _described(dataset: Dataset) -> PixelFormat:
    """The format as the file describes it.

    Raises:
        ImageError: if an attribute is missing, contradicts another or names a kind of image that is not supported.
    """
    photometric = str(dataset.get("PhotometricInterpretation") or "")
    n_samples = _SAMPLES.get(photometric, 0)
    rows, columns = count_of(dataset, "Rows"), count_of(dataset, "Columns")
    bits = count_of(dataset, "BitsAllocated")
    stored = count_of(dataset, "BitsStored") or bits
    is_known = n_samples > 0 and count_of(dataset, "SamplesPerPixel") == n_samples
    if not (rows and columns and is_known and bits in _DEPTHS and stored <= bits):
        raise ImageError(
            "The DICOM file does not describe its picture in a way that can be read (size, bits or colours); "
            "export it again as grey or RGB with 8 bits."
        )
    has_offsets = "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset
    return PixelFormat(
        transfer_syntax=dataset.file_meta.TransferSyntaxUID,
        image_hw=(rows, columns),
        n_frames=max(count_of(dataset, "NumberOfFrames"), 1),
        photometric=photometric,
        n_samples=n_samples,
        is_by_plane=count_of(dataset, "PlanarConfiguration") == 1,
        bits_allocated=bits,
        bits_stored=stored,
        n_low_bits=_low_bits(dataset, stored, bits),
        is_signed=count_of(dataset, "PixelRepresentation") == 1,
        value_type=dataset["PixelData"].VR,
        frame_offsets=(dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths) if has_offsets else None,
    )


def _low_bits(dataset: Dataset, stored: int, allocated: int) -> int:
    """Number of unused bits below the stored ones, by High Bit; 0 where that contradicts the other attributes.

    JPEG pictures state their own number of bits, so High Bit counts for uncompressed and run-length encoded ones.
    """
    if dataset.file_meta.TransferSyntaxUID not in (*_UNCOMPRESSED, uid.RLELossless):
        return 0
    excess = count_of(dataset, "HighBit") + 1 - stored
    return excess if 0 < excess <= allocated - stored else 0


def _check_length(pixel_format: PixelFormat, n_bytes: int) -> None:
    """Refuses uncompressed pixel data that end early.

    Raises:
        ImageError: with the number of bytes needed and there.
    """
    rows, columns = pixel_format.image_hw
    per_frame = rows * columns * pixel_format.n_samples * pixel_format.bits_allocated // 8
    if pixel_format.photometric == "YBR_FULL_422":
        per_frame = per_frame // 3 * 2
    needed = per_frame * pixel_format.n_frames
    if n_bytes < needed:
        raise ImageError(
            f"The DICOM file is incomplete: its picture needs {needed:,} bytes and {n_bytes:,} are there. "
            "Copy it again."
        )


def _check_pieces(pixel_format: PixelFormat, encoded: bytes) -> None:
    """Refuses compressed pixel data that have fewer pieces than frames.

    Raises:
        ImageError: with both numbers.
    """
    stream = io.BytesIO(encoded)
    try:
        with quiet_decoders():
            parse_basic_offsets(stream)
            n_pieces, _ = parse_fragments(stream)
    except PARSING_ERRORS:
        raise ImageError("The compressed picture of the DICOM file is damaged; copy or export it again.") from None
    if n_pieces < pixel_format.n_frames:
        raise ImageError(
            f"The DICOM file is incomplete: it announces {pixel_format.n_frames:,} frames and holds {n_pieces:,} "
            "pieces of picture. Copy it again."
        )
