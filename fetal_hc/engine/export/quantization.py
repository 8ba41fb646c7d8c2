"""Turns the convolutions of an exported network into 8-bit integer arithmetic: half the time on a CPU."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from fetal_hc.engine.export.onnx_file import read_onnx
from fetal_hc.errors import ModelError
from fetal_hc.io.atomic import write_bytes_atomic
from fetal_hc.io.images import read_image
from fetal_hc.model.model_spec import INPUT_NAME, TRUST_KEY, ModelSpec
from fetal_hc.model.preprocess import to_network_input

MIN_IMAGES = 8


class _Images(CalibrationDataReader):
    """Feeds images to the calibration, resized as the network wants them."""

    def __init__(self, files: Sequence[Path], spec: ModelSpec) -> None:
        self._inputs: Iterator[dict[str, Any]] = (
            {INPUT_NAME: to_network_input(read_image(file), spec.input_spec)} for file in files
        )

    def get_next(self) -> dict[str, Any] | None:
        return next(self._inputs, None)


def quantize_model(source: Path, target: Path, images: Sequence[Path]) -> None:
    """Writes the network with 8-bit convolutions; boxes, scores and fully connected layers stay float32.

    Weights are scaled per channel and kept to 7 bits: with 8, processors without VNNI instructions overflow.
    Activations are scaled by their range on the images. What the trust model of the source was calibrated on is gone,
    so it is left out.

    Args:
        source: ONNX file of tools/export_model.py.
        target: ONNX file to write.
        images: at least `MIN_IMAGES` typical ones, from the training set.

    Raises:
        ModelError: if the source is no such file or there are too few images.
        DatasetError: if an image cannot be read.
    """
    if len(images) < MIN_IMAGES:
        raise ModelError(f"{len(images)} images; the ranges of the activations need at least {MIN_IMAGES}")
    metadata = {item.key: item.value for item in read_onnx(source).metadata_props}
    spec = ModelSpec.from_metadata(metadata, str(source))
    logging.getLogger().setLevel(logging.ERROR)  # the quantizer logs remarks on single nodes to the root logger
    with tempfile.TemporaryDirectory() as folder:
        prepared, quantized = Path(folder) / "prepared.onnx", Path(folder) / "quantized.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        _check_weights(prepared, source)
        quantize_static(
            str(prepared),
            str(quantized),
            _Images(images, spec),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        proto = onnx.load(quantized)
    onnx.helper.set_model_props(proto, {key: value for key, value in metadata.items() if key != TRUST_KEY})
    write_bytes_atomic(target, proto.SerializeToString())


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
            f"{source}: {len(others)} convolutions have no float weights; "
            "quantize the file that tools/export_model.py wrote"
        )
