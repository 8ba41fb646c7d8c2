"""Reads exported networks."""

from __future__ import annotations

from pathlib import Path

import onnx

from fetal_hc.errors import ModelError


def read_onnx(path: str | Path) -> onnx.ModelProto:
    """The graph in a file.

    Raises:
        ModelError: if the file is missing or not ONNX.
    """
    try:
        return onnx.load(str(path))
    except Exception as error:  # protobuf raises classes of its own that differ between versions
        raise ModelError(f"{path}: cannot be read as ONNX ({error}); export it with tools/export_model.py") from error
