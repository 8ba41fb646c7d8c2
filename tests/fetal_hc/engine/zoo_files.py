"""Writers of weight files with the structure of those people download, from any network's weights."""

from __future__ import annotations

import io
import pickle
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

BRANCHES = {"shortcut": "branch1", "conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c"}
PREFIX = "backbone.bottom_up."


class _Python2Pickler(pickle._Pickler):
    """Writes text and bytes as Python 2 wrote its `str`."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def save_string(self, value: str | bytes) -> None:
        data = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(value)

    dispatch[str] = save_string
    dispatch[bytes] = save_string


def python2_pickle(value: Any) -> bytes:
    """The pickle that Python 2 and its NumPy write of dictionaries, lists, text, numbers and arrays."""
    stream = io.BytesIO()
    _Python2Pickler(stream, protocol=2).dump(value)
    return stream.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def to_arrays(weights: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """The weights as NumPy arrays under the same names."""
    return {name: tensor.numpy() for name, tensor in weights.items()}


def write_zoo_file(path: Path, weights: Mapping[str, Tensor]) -> None:
    """A file of Detectron2's model zoo: full names, and old entries that are not weights."""
    model = {
        "pixel_mean": np.zeros((3, 1, 1), np.float32),
        "pixel_std": np.ones((3, 1, 1), np.float32),
        **to_arrays(weights),
        "proposal_generator.anchor_generator.cell_anchors.0": np.zeros((3, 4), np.float32),
    }
    path.write_bytes(pickle.dumps({"model": model, "__author__": "Detectron2 Model Zoo"}, protocol=4))


def write_converted_torchvision_file(path: Path, weights: Mapping[str, Tensor]) -> None:
    """A ResNet as Detectron2's conversion script leaves torchvision's: names without prefix, matched by ending."""
    backbone = {name.removeprefix(PREFIX): array for name, array in to_arrays(weights).items() if PREFIX in name}
    backbone["stem.fc.weight"], backbone["stem.fc.bias"] = np.zeros((1000, 8), np.float32), np.zeros(1000, np.float32)
    content = {"model": backbone, "__author__": "torchvision", "matching_heuristics": True}
    path.write_bytes(pickle.dumps(content, protocol=4))


def write_msra_file(path: Path, weights: Mapping[str, Tensor], *, in_blobs: bool = False) -> None:
    """An ImageNet ResNet of MSRA: Python 2, Caffe2's names, norms without statistics, a classifier, momenta."""
    blobs = {"pred_w": np.zeros((1000, 8), np.float32), "pred_b": np.zeros(1000, np.float32)}
    for name, array in to_arrays(weights).items():
        if name.startswith(PREFIX) and (blob := caffe2_name(name.removeprefix(PREFIX))):
            blobs[blob] = array
            blobs[f"{blob}_momentum"] = np.zeros_like(array)
    path.write_bytes(python2_pickle({"blobs": blobs, "cfg": "NUM_GPUS: 8"} if in_blobs else blobs))


def caffe2_name(name: str) -> str | None:
    """`res2.0.conv1.norm.weight` -> `res2_0_branch2a_bn_s`; None for what Caffe2 folds away."""
    found = re.fullmatch(r"(stem|res\d)\.(?:(\d+)\.)?(conv\d|shortcut)\.(norm\.)?(\w+)", name)
    assert found is not None, name
    stage, block, layer, norm, value = found.groups()
    if value.startswith(("running", "num_batches")):
        return None
    base = f"{stage}_{block}_{BRANCHES[layer]}" if block else "conv1"
    if norm:
        return f"{'' if block else 'res_'}{base}_bn_{'s' if value == 'weight' else 'b'}"
    return f"{base}_w"
