"""Weights of a model that tools/export_model.py wrote, so that a training can start from a shipped .onnx file.

Exported graphs keep the names of the weights behind "model.". Half-size files store NAME_half. In 8-bit files
NAME_quantized stands with a scale and a zero point per output channel: value = (quantized - zero point) * scale, as in
ONNX's DequantizeLinear.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from fetal_hc.engine.export.onnx_file import read_onnx
from fetal_hc.errors import ModelError

_PREFIX = "model."
_STORED_AS = re.compile(r"_(quantized|half)$")
# No weights: scales and zero points, copies of a bias that serves several layers, mean and deviation, anchors.
_NOT_WEIGHTS = re.compile(r"_(scale|zero_point)$|\.bias\d+(_quantized)?$|^pixel_(mean|std)$|anchor_generator\.")


def read_exported_weights(path: str | Path) -> dict[str, NDArray[np.float32]]:
    """Names in the training model -> values, rounded as the file holds them. No names if it is some other network.

    Raises:
        ModelError: if the file is not ONNX, or a quantized weight lacks its scale.
    """
    stored = {
        tensor.name.removeprefix(_PREFIX): numpy_helper.to_array(tensor)
        for tensor in read_onnx(path).graph.initializer
        if tensor.name.startswith(_PREFIX)
    }
    return {
        _STORED_AS.sub("", name): _dequantized(path, name, stored) if name.endswith("_quantized") else _float(value)
        for name, value in stored.items()
        if not _NOT_WEIGHTS.search(name)
    }


def _float(value: NDArray[Any]) -> NDArray[np.float32]:
    return np.array(value, dtype=np.float32)  # a copy: what onnx returns is read-only


def _dequantized(path: str | Path, name: str, stored: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    # A weight's scale is named after the weight, a bias's after the quantized bias.
    for owner in (_STORED_AS.sub("", name), name):
        if f"{owner}_scale" in stored and f"{owner}_zero_point" in stored:
            per_channel = (-1,) + (1,) * (stored[name].ndim - 1)
            scale, zero_point = (stored[owner + part].reshape(per_channel) for part in ("_scale", "_zero_point"))
            return _float((stored[name].astype(np.float64) - zero_point) * scale)
    raise ModelError(f"{path}: {name} has no scale; export and quantize the model again")
