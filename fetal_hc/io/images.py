"""Finding image files in a folder, and reading images of any common kind as 8-bit RGB in bounded memory."""

from __future__ import annotations

import io
import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, ImageFile, ImageOps, JpegImagePlugin, PngImagePlugin, TiffImagePlugin
from PIL.Image import Image

from fetal_hc.errors import DatasetError, ImageError
from fetal_hc.io.quiet import quiet_decoders

MAX_PIXELS = 25_000_000  # an ultrasound frame has fewer than 2 million; whatever is read then fits into 1 GB
MAX_FILE_BYTES = 1 << 28  # an uncompressed picture of the largest size and 16 bits per channel
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})
DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
IsDicom = Callable[[str], bool]

_CHUNK = 1 << 20  # pixels that are converted at a time


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """A kind of picture file, recognised by its first bytes.

    Attributes:
        name: as people call it.
        magic: the first bytes.
        reader: Pillow's class for it. It is used instead of `PIL.Image.open`, whose limit of pixels holds for the
            whole process.
    """

    name: str
    magic: bytes
    reader: Callable[[io.BytesIO], ImageFile.ImageFile]


PICTURE_FORMATS = (
    PictureFormat("PNG", b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    PictureFormat("JPEG", b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    PictureFormat("TIFF", b"II*\x00", TiffImagePlugin.TiffImageFile),
    PictureFormat("TIFF", b"MM\x00*", TiffImagePlugin.TiffImageFile),
    PictureFormat("BMP", b"BM", BmpImagePlugin.BmpImageFile),
)
_DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    struct.error,
    zlib.error,
)


class TooManyPixels(ImageError):
    """An image that is larger than any ultrasound picture and was not decoded."""


def picture_format(data: bytes) -> PictureFormat | None:
    """The kind of a picture file by its first bytes; None if it is none that can be read here."""
    return next((known for known in PICTURE_FORMATS if data.startswith(known.magic)), None)


def find_images(folder: str | os.PathLike[str], *, is_dicom: IsDicom | None = None) -> list[Path]:
    """The image files directly in a folder, by name; hidden files and subfolders do not count.

    Args:
        folder: the folder.
        is_dicom: tells from a path whether the file is DICOM; None leaves DICOM files out.

    Raises:
        DatasetError: if the folder cannot be listed.
    """
    try:
        paths = sorted(Path(folder).iterdir())
    except OSError as error:
        raise DatasetError(
            f"{os.fspath(folder)}: cannot be listed ({error.strerror or error}); expected a folder of images; check "
            "the path"
        ) from error
    return [path for path in paths if is_image_file(str(path), is_dicom=is_dicom)]


def is_image_file(path: str, *, is_dicom: IsDicom | None = None) -> bool:
    """Whether a file is an image by its name, or by its first bytes if it has no suffix or a number for one.

    Broken links, pipes and devices that are named like an image count as images: reading them tells what is wrong.

    Args:
        path: the file.
        is_dicom: tells from a path whether the file is DICOM; None takes no DICOM file for an image.
    """
    name, suffix = os.path.basename(path), os.path.splitext(path)[1].lower()  # noqa: PTH119, PTH122  # called for millions
    if name.startswith("."):
        return False
    if suffix in IMAGE_SUFFIXES or (is_dicom is not None and suffix in DICOM_SUFFIXES):
        return not _has_kind(path, stat.S_ISDIR)
    has_no_suffix = not suffix or suffix[1:].isdecimal()
    return is_dicom is not None and has_no_suffix and _has_kind(path, stat.S_ISREG) and is_dicom(path)


def _has_kind(path: str, is_kind: Callable[[int], bool]) -> bool:
    """Whether a path leads to an entry of a kind; a link that leads nowhere has none."""
    try:
        return is_kind(os.stat(path).st_mode)  # noqa: PTH116  # called for millions
    except (OSError, ValueError):
        return False


def read_image(
    path_or_bytes: str | os.PathLike[str] | bytes, *, max_pixels: int = MAX_PIXELS, name: str = "image data"
) -> NDArray[np.uint8]:
    """The pixels of a PNG, JPEG, TIFF or BMP as uint8 (H, W, 3) RGB.

    Grey is repeated, palettes are resolved, transparency is dropped, JPEG and TIFF orientation tags are applied. Grey
    of more than 8 bits is mapped linearly from its own minimum..maximum to 0..255. Of several pages the first is read.

    Args:
        path_or_bytes: the file, or its content.
        max_pixels: larger images are refused before they are decoded.
        name: what to call content in messages.

    Raises:
        ImageError: if the file is missing, not an image by its first bytes, truncated, corrupt or too large;
            `TooManyPixels` if it has more than `max_pixels`.
    """
    name = name if isinstance(path_or_bytes, bytes) else str(path_or_bytes)
    data = path_or_bytes if isinstance(path_or_bytes, bytes) else _read_bytes(Path(path_or_bytes))
    known = picture_format(data)
    if known is None:
        raise ImageError(
            f"{name}: starts with {data[:8]!r} and is not a PNG, JPEG, TIFF or BMP, whatever its name says; "
            "expected an image; export it again in one of these formats"
        )
    try:
        with quiet_decoders(), known.reader(io.BytesIO(data)) as image:
            check_pixel_count(image.size, max_pixels, name)
            return _to_rgb(image)
    except MemoryError as error:
        raise ImageError(f"{name}: does not fit into memory; use fewer --workers, or export the file again") from error
    except _DECODING_ERRORS as error:
        raise ImageError(
            f"{name}: cannot be decoded ({error}); expected a complete image; copy or export the file again"
        ) from error


def check_pixel_count(size_wh: tuple[int, int], max_pixels: int, name: str) -> None:
    """Refuses a picture that is larger than any ultrasound frame.

    Args:
        size_wh: width and height in px.
        max_pixels: how many are allowed.
        name: what to call the picture in the message.

    Raises:
        TooManyPixels: if there are more.
    """
    width, height = size_wh
    if width * height > max_pixels:
        raise TooManyPixels(
            f"{name}: has {width} x {height} pixels; expected at most {max_pixels:,} in all; crop it or scale it down"
        )


def in_chunks(values: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
    """One-dimensional parts of an array of any shape, so that what is computed from them stays small."""
    flat = values.reshape(-1)
    for start in range(0, len(flat), _CHUNK):
        yield flat[start : start + _CHUNK]


def map_in_chunks(
    values: NDArray[np.generic], convert: Callable[[NDArray[np.generic]], NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """`convert` of all values, one part of `in_chunks` at a time.

    Args:
        values: any shape.
        convert: gives an 8-bit value for each value of a part.

    Returns:
        uint8 of the shape of `values`.
    """
    converted = np.empty(values.size, dtype=np.uint8)
    for number, part in enumerate(in_chunks(values)):
        converted[number * _CHUNK : (number + 1) * _CHUNK] = convert(part)
    return converted.reshape(values.shape)


def grey_to_rgb(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey (H, W) as uint8 (H, W, 3) with three equal channels."""
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), dtype=np.uint8)


def _read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        ImageError: if there is none, it cannot be read or has more than `MAX_FILE_BYTES`.
    """
    try:
        n_bytes = path.stat().st_size
        if n_bytes <= MAX_FILE_BYTES:
            return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise ImageError(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); expected an image file; check the "
            "path and its permissions"
        ) from error
    raise ImageError(
        f"{path}: has {n_bytes:,} bytes; expected at most {MAX_FILE_BYTES:,}; export the picture by itself"
    )


def _to_rgb(image: ImageFile.ImageFile) -> NDArray[np.uint8]:
    """Decoded pixels of any mode as uint8 (H, W, 3)."""
    upright: Image = image
    if not isinstance(image, PngImagePlugin.PngImageFile):
        upright = ImageOps.exif_transpose(image)
    if upright.mode == "L":
        return grey_to_rgb(np.asarray(upright))
    if upright.mode.startswith(("I", "F")):
        return grey_to_rgb(_stretched(np.asarray(upright)))
    if upright.mode == "P":
        upright = upright.convert("RGBA")
    return np.array(upright if upright.mode == "RGB" else upright.convert("RGB"))


def _stretched(grey: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Grey values (H, W) of more than 8 bits, mapped from minimum..maximum to 0..255, as uint8 of the same shape.

    Raises:
        ValueError: if a value is not finite.
    """
    low, high = float(grey.min()), float(grey.max())
    if not np.isfinite([low, high]).all():  # both are NaN if any value is
        raise ValueError("it has grey values that are not finite")
    factor = 255.0 / (high - low) if high > low else 0.0
    return map_in_chunks(grey, lambda part: np.rint((part.astype(np.float64) - low) * factor).astype(np.uint8))
