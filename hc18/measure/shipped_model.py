"""The models shipped with the project and the checksum files next to them."""

from __future__ import annotations

import os
from pathlib import Path

from fetal_hc.errors import ModelError
from fetal_hc.model.checksum import check_checksum

MODEL_VARIABLE = "FETAL_HC_MODEL"
MODELS_FOLDER = Path(__file__).resolve().parents[1] / "shipped"


def bundled_model_path(name: str = "hc18", folder: Path = MODELS_FOLDER) -> Path:
    """Path of a shipped model whose content agrees with its checksum.

    The environment variable FETAL_HC_MODEL, if set, names another file to use instead.

    Args:
        name: the model's file name without `.zip`.
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
    path = folder / f"{name}.zip"
    if not path.is_file():
        raise ModelError(
            f"{path}: the shipped model is missing; restore it from the repository or choose a model "
            f"with --model or {MODEL_VARIABLE}"
        )
    check_checksum(path, required=True)
    return path
