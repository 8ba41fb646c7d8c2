"""The size of a compressed picture, read from its own header without decoding it.

References: ISO/IEC 10918-1 B.2 (JPEG markers), ISO/IEC 14495-1 C.2 (JPEG-LS), ISO/IEC 15444-1 A.5.1 (JPEG 2000 SIZ).
"""

from __future__ import annotations

import struct

_JPEG_START = b"\xff\xd8"
_JPEG_2000_START = b"\xff\x4f\xff\x51"
_JP2_BOX = b"\x00\x00\x00\x0cjP  "
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})


def coded_image_hw(codestream: bytes) -> tuple[int, int] | None:
    """Height and width in px that a JPEG, JPEG-LS or JPEG 2000 codestream declares; None if it declares none."""
    try:
        if codestream.startswith(_JPEG_START):
            return _jpeg_hw(codestream)
        start = codestream.find(_JPEG_2000_START) if codestream.startswith(_JP2_BOX) else 0
        if start >= 0 and codestream[start : start + 4] == _JPEG_2000_START:
            right, bottom, left, top = struct.unpack_from(">4I", codestream, start + 8)
            return bottom - top, right - left
    except (struct.error, IndexError):
        return None
    return None


def _jpeg_hw(codestream: bytes) -> tuple[int, int] | None:
    """Height and width of the first frame header; None if the data begin before one.

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
