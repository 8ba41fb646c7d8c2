"""Reading DICOM files without the patient: only the attributes that describe pixels are parsed and kept."""

from __future__ import annotations

import io
import math
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset, read_preamble
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import VR

from fetal_hc.errors import ImageError
from fetal_hc.io.images import MAX_FILE_BYTES
from fetal_hc.io.quiet import quiet_decoders
from hc18.dicom.signature import is_dicom

# What pydicom raises on damaged files; its texts may quote a value of the file, so none of them is passed on.
PARSING_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    MemoryError,
    NameError,
    OSError,
    RuntimeError,
    TypeError,
    UserWarning,
    ValueError,
    struct.error,
    zlib.error,
)

_META_GROUP = 0x0002
_INFLATED_PIECE = 1 << 20  # bytes


def read_bytes(path_or_bytes: str | os.PathLike[str] | bytes) -> bytes:
    """The content of a DICOM file.

    Raises:
        ImageError: if it cannot be read, is empty, larger than `MAX_FILE_BYTES` or no DICOM. No message names the path.
    """
    if isinstance(path_or_bytes, bytes):
        data = path_or_bytes
    else:
        try:
            path = Path(path_or_bytes)
            if path.stat().st_size > MAX_FILE_BYTES:
                raise ImageError(_too_large())
            data = path.read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
            reason = getattr(error, "strerror", None) or "input error"
            raise ImageError(f"The file cannot be read ({reason}); check that it exists and may be opened.") from None
    if len(data) > MAX_FILE_BYTES:
        raise ImageError(_too_large())
    if not data:
        raise ImageError("The file is empty; copy or export it again.")
    if not is_dicom(data):
        raise ImageError("The file is not a DICOM file, whatever its name says; export it again as DICOM, PNG or JPEG.")
    return data


def read_attributes(data: bytes, keywords: Sequence[str]) -> Dataset:
    """The named attributes of a DICOM file, also inside sequences; nothing else is in the returned dataset.

    Args:
        data: content of the file.
        keywords: DICOM keywords. An attribute that cannot be read counts as absent. `.file_meta` always has
            TransferSyntaxUID and MediaStorageSOPClassUID.

    Raises:
        ImageError: if the file cannot be parsed.
    """
    try:
        with quiet_decoders():
            _check_inflated_size(data)
            read = pydicom.dcmread(io.BytesIO(data), force=True, specific_tags=list(keywords))
            kept = _readable(read, keywords)
            kept.set_original_encoding(*read.original_encoding)
            kept.file_meta = FileMetaDataset()
            kept.file_meta.TransferSyntaxUID = _transfer_syntax(read)
            kept.file_meta.MediaStorageSOPClassUID = read.file_meta.get("MediaStorageSOPClassUID", UID(""))
    except PARSING_ERRORS:
        raise ImageError("The DICOM file is damaged or incomplete; copy or export it again.") from None
    return kept


def number_of(dataset: Dataset, keyword: str) -> float:
    """The single number of an attribute; NaN if it is missing, empty, multiple or no number."""
    try:
        return float(dataset.get(keyword))
    except (TypeError, ValueError, OverflowError):
        return math.nan


def count_of(dataset: Dataset, keyword: str) -> int:
    """The single number of an attribute if it is whole and not negative, otherwise 0."""
    value = number_of(dataset, keyword)
    return int(value) if math.isfinite(value) and value >= 0.0 and value.is_integer() else 0


def _readable(read: Dataset, keywords: Sequence[str]) -> Dataset:
    """A copy with those of the named attributes, at every level, whose values follow their type."""
    kept = Dataset()
    for keyword in keywords:
        if keyword not in read:
            continue
        try:
            element = read[keyword]
        except PARSING_ERRORS:
            continue
        if element.VR == VR.SQ:
            items = [_readable(item, keywords) for item in element.value or ()]
            element = DataElement(element.tag, VR.SQ, items)
        kept.add(element)
    return kept


def _transfer_syntax(read: pydicom.FileDataset) -> UID:
    """The transfer syntax of the file, or the one that its encoding implies where the file does not say."""
    named = read.file_meta.get("TransferSyntaxUID")
    if named:
        return UID(named)
    is_implicit, is_little_endian = read.original_encoding
    if is_implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if is_little_endian else ExplicitVRBigEndian


def _check_inflated_size(data: bytes) -> None:
    """Refuses a deflated file that would fill the memory.

    Raises:
        ImageError: if it inflates to more than `MAX_FILE_BYTES`.
    """
    stream = io.BytesIO(data)
    read_preamble(stream, force=True)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag >> 16 != _META_GROUP)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    inflater, n_bytes, waiting = zlib.decompressobj(-zlib.MAX_WBITS), 0, b""
    while not inflater.eof and (waiting or (waiting := stream.read(_INFLATED_PIECE))):
        n_bytes += len(inflater.decompress(waiting, _INFLATED_PIECE))
        waiting = inflater.unconsumed_tail
        if n_bytes > MAX_FILE_BYTES:
            raise ImageError(_too_large())


def _too_large() -> str:
    return f"The file holds more than {MAX_FILE_BYTES >> 20} MiB; export single frames or a shorter sequence."
