"""SHA-256 of model files, and the checksum file that may lie next to a model."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from fetal_hc.errors import ModelError

CHECKSUM_SUFFIX = ".sha256"


def check_checksum(model_path: Path, *, required: bool = False) -> None:
    """Returns if `model_path` agrees with the SHA-256 in the file next to it, `<file>.sha256`.

    Args:
        model_path: an existing model file.
        required: whether a missing checksum file is an error.

    Raises:
        ModelError: if the digests differ, or the checksum file is unreadable, or missing though required.
    """
    checksum_path = model_path.with_name(model_path.name + CHECKSUM_SUFFIX)
    if not checksum_path.exists() and not required:
        return
    try:
        found = re.match(r"[0-9a-fA-F]{64}\b", checksum_path.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{checksum_path}: cannot be read ({error}); expected the SHA-256 of {model_path.name}; "
            "restore it from the repository"
        ) from error
    if found is None:
        raise ModelError(
            f"{checksum_path}: does not start with 64 hex digits; expected the SHA-256 of "
            f"{model_path.name}; restore it from the repository"
        )
    expected, actual = found.group().lower(), file_sha256(model_path)
    if actual != expected:
        raise ModelError(
            f"{model_path}: its SHA-256 is {actual}, but {checksum_path.name} says {expected}; the file "
            "is damaged or was exchanged; restore both from the repository"
        )


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file.

    Raises:
        ModelError: if the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); expected a model file") from error
