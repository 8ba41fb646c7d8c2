"""Exports classifiers, two-head detectors and segmenters: one file each, kept only if it agrees with the eager network.

Graph: `image` float32 (3, S, S), resized by the caller, values 0..255 in INPUT.FORMAT channel order -> the outputs of
the model's task in `fetal_hc.model.model_spec`. Normalisation is inside.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from face_mask.models.image_classifier import ImageClassifier
from face_mask.models.segmenter import SemanticSegmenter
from face_mask.models.two_head import TwoHeadDetector
from face_mask.training.square_mapper import square_fit
from fetal_hc.engine.architecture import ExportOptions, ExportReport
from fetal_hc.engine.checkpoints.checkpoint import load_weights, read_checkpoint
from fetal_hc.engine.config import CfgNode, dump_config
from fetal_hc.engine.export.graph import trace
from fetal_hc.engine.export.onnx_export import on_cpu, require_agreement, store_as_half
from fetal_hc.errors import ConfigError
from fetal_hc.model.bundle import DETECTOR, UNVERSIONED, ModelBundle
from fetal_hc.model.checksum import file_sha256
from fetal_hc.model.model_spec import CLASSES, INPUT_NAME, OUTPUTS, PIXELS, SINGLE_BOX, ModelSpec
from fetal_hc.model.preprocess import InputSpec, to_network_input
from fetal_hc.model.sessions import open_session

WholeImageModel = ImageClassifier | TwoHeadDetector | SemanticSegmenter
MODELS: dict[str, type[WholeImageModel]] = {
    CLASSES: ImageClassifier,
    SINGLE_BOX: TwoHeadDetector,
    PIXELS: SemanticSegmenter,
}
# Largest difference between eager network and exported graph that is accepted; boxes in px of the input.
TOLERANCES = {"probabilities": 1e-4, "box": 1e-2, "mask": 1e-3}


class _Graph(nn.Module):
    """The network as a function of one image tensor."""

    def __init__(self, model: WholeImageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(output[0] for output in self.model.predict_inputs([{"image": image}]))


def export_classifier(cfg: CfgNode, weights: Path, output: Path, options: ExportOptions) -> ExportReport:
    """Writes the exported `ImageClassifier` of a checkpoint, see `_export`."""
    return _export(CLASSES, cfg, weights, output, options)


def export_two_heads(cfg: CfgNode, weights: Path, output: Path, options: ExportOptions) -> ExportReport:
    """Writes the exported `TwoHeadDetector` of a checkpoint, see `_export`."""
    return _export(SINGLE_BOX, cfg, weights, output, options)


def export_segmenter(cfg: CfgNode, weights: Path, output: Path, options: ExportOptions) -> ExportReport:
    """Writes the exported `SemanticSegmenter` of a checkpoint, see `_export`."""
    return _export(PIXELS, cfg, weights, output, options)


def _export(task: str, cfg: CfgNode, weights: Path, output: Path, options: ExportOptions) -> ExportReport:
    """Writes an exported network; no file is left unless it agrees with the eager network.

    Args:
        task: of the model.
        cfg: the configuration the network was trained with.
        weights: checkpoint (.pth).
        output: file to write, replaced atomically: an ONNX file where its name ends in .onnx, else a bundle.
        options: class names, size of the weights, images to compare on.

    Raises:
        ConfigError: names and classes differ in number, or there is no image to compare on.
        ModelError: the weights do not fit.
        ExportMismatch: the exported graph does not agree with the eager network.
    """
    n_classes = 1 if task == PIXELS else int(cfg.MODEL.NUM_CLASSES)
    if len(options.class_names) != n_classes:
        raise ConfigError(
            f"{len(options.class_names)} class names ({', '.join(options.class_names)}) for a model of {n_classes} "
            "classes; give --class-names, one per class in label order"
        )
    if not options.check_images:
        raise ConfigError("an export needs at least one image to compare the exported with the eager network on")
    model = MODELS[task](without_cache(on_cpu(cfg)))
    load_weights(model, read_checkpoint(weights)["model"], weights)
    graph = _Graph(model.eval()).eval()
    size = int(cfg.INPUT.SQUARE.SIZE)
    spec = InputSpec(cfg.INPUT.FORMAT, size, size, square_fit(cfg.INPUT))
    inputs = [to_network_input(_to_rgb(image), spec) for image in options.check_images]
    names = OUTPUTS[task]
    proto = trace(graph, torch.from_numpy(inputs[0]), names=(INPUT_NAME, names), dynamic_sides={})
    differences = _compare(graph, proto.SerializeToString(), inputs, names)
    require_agreement(differences, TOLERANCES)
    if options.half:
        store_as_half(proto)
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    model_spec = ModelSpec(spec, options.class_names, dump_config(cfg), sha256, task)
    onnx.helper.set_model_props(proto, model_spec.to_metadata())
    ModelBundle(output.stem, UNVERSIONED, model_spec, {DETECTOR: proto.SerializeToString()}).write(output)
    size_bytes = output.stat().st_size
    return ExportReport(output, size_bytes, file_sha256(output), differences, len(inputs), "images")


def without_cache(cfg: CfgNode) -> CfgNode:
    """The same configuration for a model that remembers no features of its inputs."""
    if "IMAGE_BACKBONE" not in cfg.MODEL:
        return cfg
    changed = cfg.clone()
    changed.MODEL.IMAGE_BACKBONE.CACHE_FEATURES = False
    return changed.freeze()


def _to_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image


def _compare(
    graph: nn.Module, payload: bytes, inputs: list[NDArray[np.float32]], names: tuple[str, ...]
) -> dict[str, float]:
    """Largest absolute differences between the eager network and the graph, by output."""
    session = open_session(payload, "exported model", 1)
    differences = dict.fromkeys(names, 0.0)
    for image in inputs:
        with torch.no_grad():
            eager = [tensor.numpy() for tensor in graph(torch.from_numpy(image))]
        exported = session.run(list(names), {INPUT_NAME: image})
        for name, wanted, found in zip(names, eager, exported, strict=True):
            # np.fmax would hide NaN, which equals nothing
            differences[name] = float(np.maximum(differences[name], np.abs(wanted - found).max()))
    return differences
