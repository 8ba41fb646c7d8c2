"""One ONNX file from a configuration and a checkpoint, checked against the eager network before it is kept.

Graph: `image` float32 (3, H, W), resized by the caller, values 0..255 in INPUT.FORMAT channel order, any H and W ->
`boxes` (N, 4) xyxy in pixels of that input, `scores` (N,), `labels` (N,) int64, `masks` (N, 1, M, M) in [0, 1].
Normalisation and padding are inside. Everything a predictor must know stands in the file's metadata.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from fetal_hc.engine.architecture import ExportOptions, ExportReport
from fetal_hc.engine.checkpoints.checkpoint import load_weights, read_checkpoint
from fetal_hc.engine.config import CfgNode, dump_config
from fetal_hc.engine.export.graph import MaskHeadForIntegers, trace
from fetal_hc.engine.modeling.rcnn import GeneralizedRCNN
from fetal_hc.errors import ConfigError, ExportMismatch
from fetal_hc.model.bundle import DETECTOR, UNVERSIONED, ModelBundle
from fetal_hc.model.checksum import file_sha256
from fetal_hc.model.model_spec import INPUT_NAME, OUTPUT_NAMES, ModelSpec
from fetal_hc.model.preprocess import InputSpec, to_network_input

logger = logging.getLogger(__name__)

# Largest difference between eager network and exported graph that is accepted.
TOLERANCES = {"boxes": 1e-2, "scores": 1e-4, "masks": 1e-3}
# Tensors with fewer values than this stay float32 in a half-size file: they cost nothing.
HALF_MIN_VALUES = 1024


class _Graph(nn.Module):
    """The network as a function of one image tensor."""

    def __init__(self, model: GeneralizedRCNN) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        found = self.model.detect_network_input(image)
        assert found.masks is not None
        return found.boxes, found.scores, found.classes, found.masks[:, None]


def export_model(cfg: CfgNode, weights: Path, output: Path, options: ExportOptions) -> ExportReport:
    """Writes the ONNX file of a trained Mask R-CNN; no file is left unless it agrees with the eager network.

    Args:
        cfg: the configuration the network was trained with.
        weights: checkpoint (.pth).
        output: file to write, replaced atomically: an ONNX file where its name ends in .onnx, else a bundle.
        options: class names, size of the weights, images to compare on.

    Raises:
        ConfigError: the model has no masks, or names and classes differ in number.
        ExportMismatch: the exported graph does not agree with the eager network.
    """
    if not cfg.MODEL.MASK_ON:
        raise ConfigError("MODEL.MASK_ON is False: only models with masks are exported, since the fit needs soft masks")
    if len(options.class_names) != cfg.MODEL.ROI_HEADS.NUM_CLASSES:
        raise ConfigError(
            f"{len(options.class_names)} class names for MODEL.ROI_HEADS.NUM_CLASSES {cfg.MODEL.ROI_HEADS.NUM_CLASSES}"
        )
    if not options.check_images:
        raise ConfigError("an export needs at least one image to compare the exported with the eager network on")
    model = GeneralizedRCNN(on_cpu(cfg))
    load_weights(model, read_checkpoint(weights)["model"], weights)
    model.eval()
    images = [_to_input(image, input_spec(cfg)) for image in options.check_images]
    proto = _trace(_Graph(_for_integers(model)).eval(), images[0])
    differences, n_detections = compare(_Graph(model).eval(), proto.SerializeToString(), images)
    require_agreement(differences, TOLERANCES)
    if options.half:
        store_as_half(proto)
    weights_sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    spec = ModelSpec(input_spec(cfg), options.class_names, dump_config(cfg), weights_sha256)
    onnx.helper.set_model_props(proto, spec.to_metadata())
    ModelBundle(output.stem, UNVERSIONED, spec, {DETECTOR: proto.SerializeToString()}).write(output)
    return ExportReport(output, output.stat().st_size, file_sha256(output), differences, n_detections, "detections")


def _for_integers(model: GeneralizedRCNN) -> GeneralizedRCNN:
    """A copy of the network whose mask head can be computed in integers."""
    copy = deepcopy(model)
    copy.roi_heads.mask_head = MaskHeadForIntegers(model.roi_heads.mask_head)  # type: ignore[arg-type,assignment]
    return copy.eval()


def input_spec(cfg: CfgNode) -> InputSpec:
    """Size and channel order of the network input in evaluation."""
    return InputSpec(cfg.INPUT.FORMAT, cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)


def _to_input(image: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """Network input (3, H, W) of a grey or RGB image."""
    return to_network_input(np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image, spec)


def compare(graph: nn.Module, payload: bytes, images: Sequence[NDArray[np.float32]]) -> tuple[dict[str, float], int]:
    """Largest absolute differences between the eager network and the graph, and the number of detections compared.

    A detection is matched with the nearest box of its class, not by rank: two scores equal to the last bit may swap
    places in another runtime, and a class-agnostic model gives several classes the same box. A detection that has no
    partner counts as an infinite difference.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: what the runtime cannot fold does not concern the user
    session = onnxruntime.InferenceSession(payload, options, providers=["CPUExecutionProvider"])
    differences = dict.fromkeys(TOLERANCES, 0.0)
    n_detections = 0
    for image in images:
        with torch.no_grad():
            eager = [tensor.numpy() for tensor in graph(torch.from_numpy(image))]
        exported = session.run(list(OUTPUT_NAMES), {INPUT_NAME: image})
        if not np.array_equal(np.sort(eager[2]), np.sort(exported[2])):
            logger.warning("eager network found objects of classes %s, exported graph %s", eager[2], exported[2])
            return dict.fromkeys(TOLERANCES, float("inf")), n_detections
        n_detections += len(eager[0])
        if len(eager[0]) == 0:
            continue
        distance = np.abs(eager[0][:, None] - exported[0][None]).max(axis=2)
        partner = np.where(eager[2][:, None] == exported[2][None], distance, np.inf).argmin(axis=1)
        for name, index in (("boxes", 0), ("scores", 1), ("masks", 3)):
            worst = float(np.abs(eager[index] - exported[index][partner]).max())
            if not worst <= differences[name]:  # also where it is not a number
                differences[name] = worst
    return differences, n_detections


def require_agreement(differences: Mapping[str, float], tolerances: Mapping[str, float]) -> None:
    """Returns if an exported graph agrees with the eager network.

    Args:
        differences: largest difference of each output.
        tolerances: what is allowed.

    Raises:
        ExportMismatch: naming the outputs that differ more.
    """
    wrong = [
        f"{name} differ by {value:.3g} (allowed {tolerances[name]:g})"
        for name, value in differences.items()
        if not value <= tolerances[name]
    ]
    if wrong:
        raise ExportMismatch("the exported graph does not agree with the eager network: " + "; ".join(wrong))


def on_cpu(cfg: CfgNode) -> CfgNode:
    """The same configuration for the CPU, in the plain memory layout that the exporter traces."""
    cpu = cfg.clone()
    cpu.MODEL.DEVICE = "cpu"
    cpu.MODEL.CHANNELS_LAST = False
    return cpu.freeze()


def _trace(graph: nn.Module, image: NDArray[np.float32]) -> onnx.ModelProto:
    names = (INPUT_NAME, OUTPUT_NAMES)
    return trace(graph, torch.from_numpy(image), names=names, dynamic_sides={1: "height", 2: "width"})


def store_as_half(proto: onnx.ModelProto) -> None:
    """Replace large float32 constants by float16 ones, each followed by a cast that runtimes fold on loading."""
    casts = []
    for tensor in proto.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or np.prod(tensor.dims) < HALF_MIN_VALUES:
            continue
        name = tensor.name
        values = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(values, f"{name}_half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT))
    for node in reversed(casts):
        proto.graph.node.insert(0, node)
