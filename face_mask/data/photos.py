"""Looking at photos quickly: size after the orientation tag, and a fingerprint that near-duplicates share."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, JpegImagePlugin
from tqdm import tqdm

from fetal_hc.errors import ImageError, Problem
from fetal_hc.io.images import MAX_PIXELS, read_image

_WORKERS = 16  # most of the time goes by waiting for files, above all on network folders
_JPEG_MAGIC = b"\xff\xd8\xff"
_HASH_WH = (9, 8)  # 8 differences per row in 8 rows
_TURNED_ORIENTATIONS = frozenset({5, 6, 7, 8})
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def probe_photo(path: str | os.PathLike[str]) -> tuple[tuple[int, int], int]:
    """Height and width of a photo in px, after its orientation tag, and its difference hash of 64 bits.

    The whole file is decoded, JPEG at an eighth of its size, so that truncated files are found.

    Raises:
        ImageError: as `fetal_hc.io.images.read_image`.

    References: difference hash, N. Krawetz, Kind of like that, hackerfactor.com (2013).
    """
    image_hw, grey = _probe_jpeg(Path(path)) or _probe_any(Path(path))
    small = cv2.resize(grey, _HASH_WH, interpolation=cv2.INTER_AREA).astype(np.int16)
    bits = np.packbits(small[:, 1:] > small[:, :-1])
    return image_hw, int.from_bytes(bits.tobytes(), "big")


def by_stem(paths: Iterable[Path], root: Path) -> tuple[dict[str, Path], list[Problem]]:
    """Files by their name without suffix; a stem that occurs twice is a problem, its first file is kept."""
    found: dict[str, Path] = {}
    problems = []
    for path in paths:
        first = found.setdefault(path.stem, path)
        if first != path:
            name, outcome = relative_name(path, root), "expected one file per name; left out"
            problems.append(
                Problem.in_file("duplicate_name", name, f"has the name of {relative_name(first, root)}", outcome)
            )
    return found, problems


def map_files(
    work: Callable[[_Item], _Result], items: Sequence[_Item], description: str, *, progress: bool
) -> list[_Result]:
    """`work` of every item, in order, on a few threads; a progress bar if wanted and the output is a terminal."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        results = pool.map(work, items)
        return list(tqdm(results, description, len(items), unit="file", disable=None if progress else True))


def unreadable_image(name: str, error: ImageError) -> Problem:
    """The problem of a photo or mask that cannot be read."""
    return Problem.in_file("unreadable_image", name, str(error), "left out")


def relative_name(path: Path, root: Path) -> str:
    """A path as seen from the dataset's folder, in POSIX form."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _probe_jpeg(path: Path) -> tuple[tuple[int, int], NDArray[np.uint8]] | None:
    """Size and reduced grey pixels of a JPEG; None for what needs, or fails in, the complete reader."""
    try:
        data = path.read_bytes()
        if not data.startswith(_JPEG_MAGIC):
            return None
        with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
            width, height = image.size
            turned = image.getexif().get(ExifTags.Base.Orientation) in _TURNED_ORIENTATIONS
            if turned or width * height > MAX_PIXELS:
                return None
            image.draft("L", _HASH_WH)
            return (height, width), np.asarray(image.convert("L"))
    except (OSError, SyntaxError, ValueError, LookupError, TypeError, EOFError):
        return None


def _probe_any(path: Path) -> tuple[tuple[int, int], NDArray[np.uint8]]:
    """Size and grey pixels of any image.

    Raises:
        ImageError: as `fetal_hc.io.images.read_image`.
    """
    image = read_image(path)
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    return (image.shape[0], image.shape[1]), grey
