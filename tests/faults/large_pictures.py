"""Small files that unfold into large pictures."""

import io
import struct
import zlib

import numpy as np
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.synthetic_dicom import to_bytes, ultrasound

_GREY, _RGBA = 0, 6  # colour types of PNG


def flat_png(width: int, height: int, bits: int = 8, n_channels: int = 1) -> bytes:
    """A PNG of a ramp along x; 1 channel is grey, 4 are red, green, blue and opacity."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    n_bytes = width * n_channels * bits // 8
    row = b"\0" + (bytes(range(256)) * (n_bytes // 256 + 1))[:n_bytes]
    deflater = zlib.compressobj(1)
    data = b"".join([*(deflater.compress(row) for _ in range(height)), deflater.flush()])
    header = struct.pack(">IIBBBBB", width, height, bits, _GREY if n_channels == 1 else _RGBA, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def deflated_dicom(n_bytes: int) -> bytes:
    """A deflated DICOM file whose single frame has that many bytes of zeros."""
    dataset = ultrasound()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    whole = to_bytes(dataset)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    start = whole.index(b"1.2.840.10008.1.2.1.99") + 22
    attributes = inflater.decompress(whole[start:]).removesuffix(dataset.PixelData)[:-4]
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)

    def piece(data: bytes) -> bytes:
        """Deflated so that it can be repeated: nothing in it refers to what came before."""
        return deflater.compress(data) + deflater.flush(zlib.Z_FULL_FLUSH)

    zeros = piece(bytes(1 << 20))
    return b"".join([whole[:start], piece(attributes + struct.pack("<I", n_bytes)), zeros * (n_bytes >> 20), b"\3\0"])


def deep_dicom(side: int) -> bytes:
    """A DICOM file with a square frame of 16-bit grey."""
    frame = np.tile(np.arange(side, dtype=np.uint16), (side, 1))
    return to_bytes(ultrasound(frame, BitsStored=12, HighBit=11))


def tiff(side: int, mode: str) -> bytes:
    """A square TIFF with pixels of one of Pillow's modes."""
    stream = io.BytesIO()
    Image.new(mode, (side, side)).save(stream, "TIFF", compression="tiff_adobe_deflate")
    return stream.getvalue()
