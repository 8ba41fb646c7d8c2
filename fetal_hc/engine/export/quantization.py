"""Turns the convolutions of an exported network into 8-bit integer arithmetic: half the time on a CPU."""

from __future__ import annotations

import logging
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import onnxruntime.quantization
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from fetal_hc.engine.checkpoints.exported_model import read_bundle
from fetal_hc.errors import ModelError
from fetal_hc.io.images import read_image
from fetal_hc.model.bundle import DETECTOR
from fetal_hc.model.model_spec import INPUT_NAME
from fetal_hc.model.preprocess import to_network_input

MIN_IMAGES = 8
# What keeps feature maps in 8 bits, and what reads them to pool regions.
_MAP_OPERATORS = frozenset({"Conv", "Add", "Clip", "Concat", "MaxPool", "Relu", "Resize", "Slice"})
_MAP_READERS = frozenset({"RoiAlign"})
_QUANTIZER = Path(onnxruntime.quantization.__file__).parent


class _Inputs(CalibrationDataReader):
    """Feeds the inputs of a network to the calibration."""

    def __init__(self, inputs: Iterable[dict[str, Any]]) -> None:
        self._inputs = iter(inputs)

    def get_next(self) -> dict[str, Any] | None:
        return next(self._inputs, None)


def quantize_model(source: Path, target: Path, images: Sequence[Path]) -> None:
    """Writes a model whose detector computes feature maps in 8 bits; boxes, scores and what gives them stay float32.

    Weights are scaled per channel and kept to 7 bits: with 8, processors without VNNI instructions overflow.
    Activations are scaled by their range on the images. A calibration of the source is left out, because it does not
    hold for the new network.

    Args:
        source: bundle or ONNX file of fetal-hc export.
        target: file to write, see `ModelBundle.write`.
        images: at least `MIN_IMAGES` typical ones, from the training set.

    Raises:
        ModelError: if the source is something else or there are too few images.
        DatasetError: if an image cannot be read.
    """
    if len(images) < MIN_IMAGES:
        raise ModelError(f"{len(images)} images; the ranges of the activations need at least {MIN_IMAGES}")
    bundle = read_bundle(source)
    spec = bundle.spec.input_spec
    inputs = ({INPUT_NAME: to_network_input(read_image(file), spec)} for file in images)
    payload = quantize_network(bundle.networks[DETECTOR], inputs, source)
    bundle.replace(networks={DETECTOR: payload}).write(target)


def quantize_network(payload: bytes, inputs: Iterable[dict[str, Any]], source: Path) -> bytes:
    """A network with 8-bit feature maps, see `quantize_model`.

    Args:
        payload: ONNX file with weights in float32.
        inputs: arrays by name of the input, typical ones.
        source: the file it comes from, for messages.

    Raises:
        ModelError: if its convolutions have no weights in float32.
    """
    with tempfile.TemporaryDirectory() as folder, _without_remarks():
        given, prepared, quantized = (Path(folder) / f"{name}.onnx" for name in ("given", "prepared", "quantized"))
        given.write_bytes(payload)
        quant_pre_process(str(given), str(prepared), skip_symbolic_shape=True)
        _check_weights(prepared, source)
        quantize_static(
            str(prepared),
            str(quantized),
            _Inputs(inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=sorted(_MAP_OPERATORS),
            nodes_to_quantize=_names_of_maps(prepared),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        proto = onnx.load(quantized)
        metadata = {item.key: item.value for item in onnx.load(given).metadata_props}
    onnx.helper.set_model_props(proto, metadata)
    return proto.SerializeToString()


def _names_of_maps(prepared: Path) -> list[str]:
    """Names of the nodes to compute in 8 bits: their results are feature maps, and they only use feature maps.

    Two kinds of convolutions are left out. Those whose results are numbers for boxes, scores or masks are small, and
    256 steps would limit how precisely an outline can be placed. Depthwise convolutions and all that comes before them
    would change circumferences by 0.3 mm on average (EfficientNet-Lite0), and gain hardly any time.
    """
    graph = onnx.load(prepared).graph
    constants = {tensor.name for tensor in graph.initializer}
    makers: dict[str, onnx.NodeProto] = {}
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        data = [name for name in node.input if name and name not in constants]
        is_map = node.op_type == "Conv" or (node.op_type in _MAP_OPERATORS and all(name in makers for name in data))
        makers.update(dict.fromkeys(node.output, node) if is_map else {})
        for name in data:
            readers[name].append(node)
    before_depthwise: set[str] = set()
    for output, node in reversed(makers.items()):  # readers come before what they read
        if _is_depthwise(node) or output in before_depthwise:
            before_depthwise.update((output, *node.input))
    return [
        node.name
        for output, node in makers.items()
        if output not in before_depthwise
        and any(reader.op_type in _MAP_READERS or makers.keys() & set(reader.output) for reader in readers[output])
    ]


def _is_depthwise(node: onnx.NodeProto) -> bool:
    return node.op_type == "Conv" and any(item.name == "group" and item.i > 1 for item in node.attribute)


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Drops what ONNX Runtime's quantizer logs about single nodes; it logs to the root logger, as others do."""

    def is_of_others(record: logging.LogRecord) -> bool:
        return _QUANTIZER not in Path(record.pathname).parents

    root = logging.getLogger()
    root.addFilter(is_of_others)
    try:
        yield
    finally:
        root.removeFilter(is_of_others)


def _check_weights(prepared: Path, source: Path) -> None:
    """Makes sure that the convolutions have float weights, which they lose when quantized.

    Raises:
        ModelError: if they have none.
    """
    graph = onnx.load(prepared).graph
    float32 = {item.name for item in graph.initializer if item.data_type == onnx.TensorProto.FLOAT}
    others = [node.name for node in graph.node if node.op_type == "Conv" and node.input[1] not in float32]
    if others:
        raise ModelError(
            f"{source}: {len(others)} convolutions have no float weights; quantize the file that fetal-hc export wrote"
        )
