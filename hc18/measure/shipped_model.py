"""The models shipped with the project and the checksum files beside them."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from fetal_hc.errors import ModelError

MODEL_VARIABLE = "FETAL_HC_MODEL"
MODELS_FOLDER = Path(__file__).resolve().parents[1] / "shipped"
CHECKSUM_SUFFIX = ".sha256"


def bundled_model_path(name: str = "hc18", folder: Path = MODELS_FOLDER) -> Path:
    """Path of a shipped model whose content agrees with its checksum.

    The environment variable FETAL_HC_MODEL, if set, names another file to use instead.

    Args:
        name: the model's file name without `.onnx`.
        folder: where models are shipped.

    Raises:
        ModelError: if the file or its checksum is missing, or they disagree.
    """
    override = os.environ.get(MODEL_VARIABLE)
    if override:
        path = Path(override)
        if not path.is_file():
            raise ModelError(f"{path}: does not exist, but {MODEL_VARIABLE} names it; correct or unset the variable")
        check_checksum(path)
        return path
    path = folder / f"{name}.onnx"
    if not path.is_file():
        raise ModelError(
            f"{path}: the shipped model is missing; restore it from the repository or choose a model "
            f"with --model or {MODEL_VARIABLE}"
        )
    check_checksum(path, required=True)
    return path


def check_checksum(model_path: Path, *, required: bool = False) -> None:
    """Returns if `model_path` agrees with the SHA-256 in the file beside it, `<file>.sha256`.

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
