"""Finding image files in a folder, and reading images of any common kind as 8-bit RGB."""

from __future__ import annotations

import io
import os
import stat
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, ImageFile, ImageOps, JpegImagePlugin, PngImagePlugin, TiffImagePlugin
from PIL.Image import Image

from fetal_hc.errors import DatasetError, ImageError

MAX_PIXELS = 100_000_000
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})
DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
IsDicom = Callable[[str], bool]

# The readers themselves instead of `PIL.Image.open`: the first bytes choose, and no process-wide pixel limit applies.
_READERS: tuple[tuple[bytes, Callable[[io.BytesIO], ImageFile.ImageFile]], ...] = (
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (b"II*\x00", TiffImagePlugin.TiffImageFile),
    (b"MM\x00*", TiffImagePlugin.TiffImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
)
_DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    struct.error,
    zlib.error,
    NotImplementedError,
)


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
        ImageError: if the file is missing, no image by its first bytes, truncated, corrupt or too large.
    """
    name = name if isinstance(path_or_bytes, bytes) else str(path_or_bytes)
    data = path_or_bytes if isinstance(path_or_bytes, bytes) else _read_bytes(Path(path_or_bytes))
    reader = next((reader for magic, reader in _READERS if data.startswith(magic)), None)
    if reader is None:
        raise ImageError(
            f"{name}: starts with {data[:8]!r} and is no PNG, JPEG, TIFF or BMP, whatever its name says; "
            "expected an image; export it anew in one of these formats"
        )
    try:
        with reader(io.BytesIO(data)) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise ImageError(
                    f"{name}: has {width} x {height} pixels; expected at most {max_pixels:,} in all; "
                    "crop it, scale it down or raise the limit"
                )
            return _to_rgb(image)
    except _DECODING_ERRORS as error:
        raise ImageError(
            f"{name}: cannot be decoded ({error}); expected a complete image; copy or export the file anew"
        ) from error


def _read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        ImageError: if there is none or it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(
            f"{path}: cannot be read ({error.strerror or error}); expected an image file; check the path "
            "and its permissions"
        ) from error


def _to_rgb(image: ImageFile.ImageFile) -> NDArray[np.uint8]:
    """Decoded pixels of any mode as uint8 (H, W, 3)."""
    upright: Image = image
    if not isinstance(image, PngImagePlugin.PngImageFile):
        upright = ImageOps.exif_transpose(image)
    if upright.mode == "L":
        return np.asarray(cv2.cvtColor(np.asarray(upright), cv2.COLOR_GRAY2RGB), dtype=np.uint8)
    if upright.mode.startswith(("I", "F")):
        return _stretched(np.asarray(upright))
    if upright.mode == "P":
        upright = upright.convert("RGBA")
    return np.array(upright.convert("RGB"))


def _stretched(grey: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Grey values (H, W) of more than 8 bits, mapped from minimum..maximum to 0..255, as uint8 (H, W, 3).

    Raises:
        ValueError: if a value is not finite.
    """
    values = grey.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("it has grey values that are not finite")
    low, high = float(values.min()), float(values.max())
    scaled = np.rint((values - low) * (255.0 / (high - low) if high > low else 0.0)).astype(np.uint8)
    return np.repeat(scaled[:, :, None], 3, axis=2)
