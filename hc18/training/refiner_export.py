"""Exports a trained outline refiner to one ONNX file, which is kept only if it agrees with the eager network.

Graph: `bands` float32 (B, N_CHANNELS, N_RADII, N_ANGLES) of `hc18.measurement.polar_band.band_input` -> `radii` and
`weights`, both (B, N_ANGLES).
"""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fetal_hc.engine.architecture import ExportOptions, ExportReport
from fetal_hc.engine.checkpoints.checkpoint import load_weights, read_checkpoint
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.export.graph import OPSET, strip_traces
from fetal_hc.engine.export.onnx_export import on_cpu, require_agreement
from fetal_hc.io.atomic import write_bytes_atomic
from fetal_hc.model.sessions import open_session
from hc18.measurement.polar_band import band_input, sample_band
from hc18.measurement.refiner import INPUT_NAME, OUTPUT_NAMES, check_refiner_signature
from hc18.phantoms.phantom import Phantom, render_phantom
from hc18.phantoms.spec import sample_spec
from hc18.training.outline_refiner import OutlineRefiner

# Sizes (height, width) of the synthetic heads that an export is checked on, px.
CHECK_IMAGES_HW = ((540, 800), (540, 738), (799, 563), (400, 400))
# Largest difference between eager network and exported graph that is accepted, in relative radii and weights.
TOLERANCES = {"radii": 1e-4, "weights": 1e-3}


class _Graph(nn.Module):
    """The network as a function of a batch of bands."""

    def __init__(self, model: OutlineRefiner) -> None:
        super().__init__()
        self.model = model

    def forward(self, bands: Tensor) -> tuple[Tensor, Tensor]:
        logits, weights = self.model.read_band(bands)
        return self.model.mean_radii(logits), weights


def export_refiner(cfg: CfgNode, weights: Path, output: Path, options: ExportOptions) -> ExportReport:
    """Writes the ONNX file of a trained refiner; no file is left unless it agrees with the eager network.

    Args:
        cfg: the configuration the network was trained with.
        weights: checkpoint (.pth).
        output: file to write (.onnx), replaced atomically.
        options: not used; a refiner has no classes, is small, and is compared on bands of synthetic heads.

    Raises:
        ModelError: if the weights do not fit.
        ExportMismatch: if the exported graph does not agree with the eager network.
    """
    model = OutlineRefiner(on_cpu(cfg))
    load_weights(model, read_checkpoint(weights)["model"], weights)
    graph = _Graph(model.eval()).eval()
    bands = _check_bands()
    payload = _trace(graph, bands).SerializeToString()
    differences = _compare(graph, payload, bands)
    require_agreement(differences, TOLERANCES)
    write_bytes_atomic(output, payload)
    return ExportReport(output, len(payload), hashlib.sha256(payload).hexdigest(), differences, len(bands), "bands")


def render_check_images() -> list[NDArray[np.uint8]]:
    """Synthetic heads in several sizes and aspect ratios and one blank image, to check exported detectors on."""
    return [*(phantom.image for phantom in _render_phantoms()), np.zeros(CHECK_IMAGES_HW[0], dtype=np.uint8)]


def _render_phantoms() -> list[Phantom]:
    seeds = enumerate(CHECK_IMAGES_HW)
    return [render_phantom(sample_spec(np.random.default_rng(seed), image_hw=image_hw)) for seed, image_hw in seeds]


def _check_bands() -> NDArray[np.float32]:
    """Bands (B, N_CHANNELS, N_RADII, N_ANGLES) of synthetic heads, and of their mirror images."""
    bands = []
    for phantom in _render_phantoms():
        band = sample_band(phantom.image, phantom.ellipse)
        bands += [band_input(band), band_input(band.mirrored())]
    return np.stack(bands)


def _trace(graph: nn.Module, bands: NDArray[np.float32]) -> onnx.ModelProto:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside torch's own exporter
        program = torch.onnx.export(
            graph,
            (torch.from_numpy(bands),),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT_NAME],
            output_names=list(OUTPUT_NAMES),
            dynamic_shapes={INPUT_NAME: {0: torch.export.Dim("batch", min=1, max=1024)}},
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    strip_traces(proto)
    return proto


def _compare(graph: nn.Module, payload: bytes, bands: NDArray[np.float32]) -> dict[str, float]:
    """Largest absolute differences between the eager network and the graph."""
    session = open_session(payload, "exported refiner", 1)
    check_refiner_signature(session, "exported refiner")
    exported = session.run(list(OUTPUT_NAMES), {INPUT_NAME: bands})
    with torch.no_grad():
        eager = [tensor.numpy() for tensor in graph(torch.from_numpy(bands))]
    pairs = zip(OUTPUT_NAMES, eager, exported, strict=True)
    return {name: float(np.abs(one - other).max()) for name, one, other in pairs}
