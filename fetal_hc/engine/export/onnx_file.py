"""Reads exported networks and the bundles that they are parts of."""

from __future__ import annotations

from pathlib import Path

import onnx

from fetal_hc.errors import ModelError
from fetal_hc.model.bundle import DETECTOR, SINGLE_FILE_KEYS, ModelBundle


def read_onnx(path: str | Path) -> onnx.ModelProto:
    """The graph in an ONNX file.

    Raises:
        ModelError: if the file is missing or not ONNX.
    """
    try:
        return onnx.load(str(path))
    except Exception as error:  # protobuf raises classes of its own that differ between versions
        raise ModelError(f"{path}: cannot be read as ONNX ({error}); export it with tools/export_model.py") from error


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
