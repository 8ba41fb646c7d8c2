"""Recognises DICOM files by their first bytes, without the library that reads them and takes long to load."""

from __future__ import annotations

import os
import struct
from pathlib import Path

_PREAMBLE = 128
_PREFIX = b"DICM"
_FIRST_GROUPS = (0x0002, 0x0008)  # of files written without a preamble
_LAST_FIRST_ELEMENT = 0x0020
_LONGEST_FIRST_VALUE = 1 << 12
# DICOM PS3.5, section 6.2.
VALUE_REPRESENTATIONS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)


def is_dicom(first_bytes_or_path: bytes | str | os.PathLike[str]) -> bool:
    """Whether a file is DICOM by its first bytes, also one written without the preamble; its name does not count.

    Args:
        first_bytes_or_path: the file or its first 132 bytes or more. A file that cannot be read is none.
    """
    if isinstance(first_bytes_or_path, bytes):
        start = first_bytes_or_path
    else:
        try:
            with Path(first_bytes_or_path).open("rb") as stream:
                start = stream.read(_PREAMBLE + len(_PREFIX))
        except (OSError, ValueError):  # ValueError: a name with a zero byte
            return False
    return start[_PREAMBLE : _PREAMBLE + len(_PREFIX)] == _PREFIX or _starts_with_element(start)


def _starts_with_element(start: bytes) -> bool:
    """Whether the bytes begin with a data element of a first group, in any of the three encodings."""
    if len(start) < 8:
        return False
    for order in "<>":
        group, element = struct.unpack_from(f"{order}HH", start)
        if group in _FIRST_GROUPS and element <= _LAST_FIRST_ELEMENT:
            (length,) = struct.unpack_from("<I", start, 4)
            return start[4:6] in VALUE_REPRESENTATIONS or (order == "<" and length < _LONGEST_FIRST_VALUE)
    return False
