"""Reads exported models, bundles or .onnx files: as a graph, as a bundle to change, and as weights to train from.

Exported graphs keep the names of the weights behind "model.". Half-size files store NAME_half. 8-bit files
store NAME_quantized with a scale and a zero point per output channel: value = (quantized - zero point) * scale, as in
ONNX's DequantizeLinear.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from fetal_hc.errors import ModelError
from fetal_hc.model.bundle import DETECTOR, SINGLE_FILE_KEYS, ModelBundle, is_zip_file

_PREFIX = "model."
_STORED_AS = re.compile(r"_(quantized|half)$")
# No weights: scales and zero points, copies of a bias that serves several layers, mean and deviation, anchors.
_NOT_WEIGHTS = re.compile(r"_(scale|zero_point)$|\.bias\d+(_quantized)?$|^pixel_(mean|std)$|anchor_generator\.")


def read_onnx(path: str | Path) -> onnx.ModelProto:
    """The graph in an ONNX file.

    Raises:
        ModelError: if the file is missing or not ONNX.
    """
    try:
        return onnx.load(str(path))
    except Exception as error:  # protobuf raises classes of its own that differ between versions
        raise ModelError(f"{path}: cannot be read as ONNX ({error}); export it with fetal-hc export") from error


def read_bundle(path: str | Path) -> ModelBundle:
    """A model to be changed and written again, see `ModelBundle.read`.

    The detector of an older single ONNX file is freed of the other parts that its metadata held.

    Raises:
        ModelError: if it is missing, damaged or something else.
    """
    bundle = ModelBundle.read(path)
    detector = onnx.load_model_from_string(bundle.networks[DETECTOR])
    metadata = {item.key: item.value for item in detector.metadata_props}
    if not any(key in metadata for key in SINGLE_FILE_KEYS):
        return bundle
    own = {key: value for key, value in metadata.items() if key not in SINGLE_FILE_KEYS}
    onnx.helper.set_model_props(detector, own)
    return bundle.replace(networks={DETECTOR: detector.SerializeToString()}, sections=bundle.sections)


def read_exported_weights(path: str | Path) -> dict[str, NDArray[np.float32]]:
    """Names in the training model -> values, rounded as the file holds them. No names for any other network.

    Raises:
        ModelError: if the file is damaged, neither a bundle nor ONNX, a quantized weight lacks its scale, or the export
            merged layers, so that the weights of the training model are no longer in the file.
    """
    graph = _read_detector(Path(path)).graph
    stored = {
        tensor.name.removeprefix(_PREFIX): numpy_helper.to_array(tensor)
        for tensor in graph.initializer
        if tensor.name.startswith(_PREFIX)
    }
    if stored and any(node.op_type == "Conv" and not node.input[1].startswith(_PREFIX) for node in graph.node):
        raise ModelError(
            f"{path}: its normalisation layers are merged into the convolutions, so it holds no weights to train from; "
            "name the checkpoint (.pth) that it was exported from"
        )
    return {
        _STORED_AS.sub("", name): _dequantized(path, name, stored) if name.endswith("_quantized") else _float(value)
        for name, value in stored.items()
        if not _NOT_WEIGHTS.search(name)
    }


def _read_detector(path: Path) -> onnx.ModelProto:
    """The network in an .onnx file, whoever wrote it, or the detector of a bundle."""
    if is_zip_file(path):
        return onnx.load_model_from_string(ModelBundle.read(path).networks[DETECTOR])
    return read_onnx(path)


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
