"""The files of a folder or a pattern, by their names in the results."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from fetal_hc.errors import DatasetError
from fetal_hc.io.images import DICOM_SUFFIXES, IMAGE_SUFFIXES

_WILDCARDS = re.compile(r"[*?[]")
_ANY_DEPTH = "**"


def find_files(images: str) -> dict[str, str]:
    """Path of every file by its name in the results: its path below the folder or the fixed part of the pattern.

    Links that lead nowhere, pipes and devices count as files: reading them tells what is wrong. So do folders that are
    named like an image. Links that lead back to a folder above them are not followed.

    Args:
        images: a folder, whose subfolders do not count; one file; or a pattern with `*`, `?` or `[...]`, and `**` for
            folders of any depth.

    Raises:
        DatasetError: if there is nothing to read.
    """
    is_file = Path(images).is_file()
    if not Path(images).is_dir() and (is_file or _WILDCARDS.search(images)):
        fixed = Path(images).parent if is_file else _fixed_part(images)
        found = iter([images]) if is_file else _matches(fixed, Path(images).relative_to(fixed).parts)
        files = {Path(path).relative_to(fixed).as_posix(): path for path in found}
        if not files:
            raise DatasetError(f"{images}: matches no file; expected images; check the pattern (quoted in the shell?)")
        return files
    try:
        with os.scandir(images) as entries:
            return {entry.name: entry.path for entry in entries if _counts_as_file(entry)}
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{images}: cannot be read ({getattr(error, 'strerror', None) or error}); expected a folder of images, a "
            "pattern or a manifest; check the path"
        ) from error


def _fixed_part(pattern: str) -> Path:
    """The folder above the first part of a pattern that has a wildcard."""
    parts = Path(pattern).parts
    n_fixed = next(index for index, part in enumerate(parts) if _WILDCARDS.search(part))
    return Path(*parts[:n_fixed])


def _matches(folder: Path, parts: tuple[str, ...]) -> Iterator[str]:
    """The files below a folder whose path matches the parts of a pattern; hidden names need a pattern with a dot."""
    waiting: list[tuple[str, tuple[str, ...], tuple[tuple[int, int], ...]]] = [
        (str(folder), parts, (_identity(str(folder)),))
    ]
    while waiting:
        path, (head, *rest), above = waiting.pop()
        if head == _ANY_DEPTH and rest:
            waiting.append((path, tuple(rest), above))
        pattern = "*" if head == _ANY_DEPTH else head
        for entry in _entries(path):
            if not fnmatchcase(entry.name, pattern) or (entry.name[0] == "." and pattern[0] != "."):
                continue
            if not rest and _counts_as_file(entry):
                yield entry.path
            below = (head, *rest) if head == _ANY_DEPTH else tuple(rest)
            if below and _is_folder(entry) and (identity := _identity(entry.path)) not in above:
                waiting.append((entry.path, below, (*above, identity)))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What a folder has, by name; nothing if it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _counts_as_file(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is not a folder, or one that is named like an image."""
    suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122  # called for millions
    return suffix in IMAGE_SUFFIXES or suffix in DICOM_SUFFIXES or not _is_folder(entry)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _identity(folder: str) -> tuple[int, int]:
    """What a folder is, whatever leads to it."""
    try:
        status = os.stat(folder)  # noqa: PTH116  # called for many
    except OSError:
        return -1, -1
    return status.st_dev, status.st_ino
