"""A network as a lean ONNX graph: traced once, paddings merged into convolutions, constants computed in advance.

The tracer records one run of the network. torch's newer exporter instead reasons about every size as a formula of the
height and width of the image, which takes minutes for a network whose strided convolutions nest these formulas.
"""

from __future__ import annotations

import io
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from fetal_hc.engine.modeling.mask_head import MaskHead

OPSET = 18


def trace(
    graph: nn.Module, inputs: Tensor, *, names: tuple[str, Sequence[str]], dynamic_sides: dict[int, str]
) -> onnx.ModelProto:
    """The graph of a network, as it runs on one example.

    Args:
        graph: a network in evaluation mode with one input.
        inputs: the example.
        names: of the input and the outputs.
        dynamic_sides: names of the dimensions of the input that may differ from the example's.
    """
    stream = io.BytesIO()
    input_name, output_names = names
    with warnings.catch_warnings():
        # torch prefers its newer exporter, and warns of every number that becomes a constant.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            (inputs,),
            stream,  # type: ignore[arg-type]  # it takes streams too
            dynamo=False,
            opset_version=OPSET,
            input_names=[input_name],
            output_names=list(output_names),
            dynamic_axes={input_name: dynamic_sides},
        )
    proto = _precompute(onnx.load_from_string(stream.getvalue()))
    merge_paddings(proto)
    strip_traces(proto)
    return proto


def _precompute(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph after ONNX Runtime has computed what does not depend on the input and dropped what has no effect.

    Only transformations within the standard operators are made, so that the file is not tied to one processor.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: what the runtime cannot fold does not concern the user
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "graph.onnx")
        onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        lean = onnx.load(options.optimized_model_filepath)
    used = {node.domain for node in lean.graph.node}
    standard = [item for item in lean.opset_import if item.domain in used]
    del lean.opset_import[:]
    lean.opset_import.extend(standard)
    return lean


def merge_paddings(proto: onnx.ModelProto) -> None:
    """Lets convolutions pad their inputs themselves where a constant padding of zeros comes just before."""
    graph = proto.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    paddings = {node.output[0]: node for node in graph.node if node.op_type == "Pad"}
    for node in graph.node:
        padding = paddings.get(node.input[0]) if node.op_type == "Conv" else None
        added = None if padding is None else _spatial_padding(padding, constants)
        if padding is None or added is None:
            continue
        (own,) = (attribute for attribute in node.attribute if attribute.name == "pads")
        merged = [int(before + more) for before, more in zip(own.ints, added, strict=True)]
        own.CopyFrom(onnx.helper.make_attribute("pads", merged))
        node.input[0] = padding.input[0]
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(value.name for value in graph.output)
    kept = [node for node in graph.node if node.op_type != "Pad" or uses[node.output[0]]]
    del graph.node[:]
    graph.node.extend(kept)
    _drop_unused_constants(graph)


def _spatial_padding(padding: onnx.NodeProto, constants: dict[str, NDArray[np.generic]]) -> list[int] | None:
    """Pixels that a node adds at the top, left, bottom and right of feature maps; None if it does anything else."""
    amounts = constants.get(padding.input[1])
    mode = next((attribute.s for attribute in padding.attribute if attribute.name == "mode"), b"constant")
    fill = constants.get(padding.input[2], np.ones(1)) if len(padding.input) > 2 and padding.input[2] else np.zeros(1)
    if amounts is None or amounts.shape != (8,) or mode != b"constant" or np.any(fill):
        return None
    before, after = amounts[:4], amounts[4:]
    is_spatial = not (before[:2].any() or after[:2].any())
    return [*map(int, before[2:]), *map(int, after[2:])] if is_spatial else None


def _drop_unused_constants(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def strip_traces(proto: onnx.ModelProto) -> None:
    """Remove the exporter's stack traces: they name folders of the exporting machine."""
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    del proto.graph.metadata_props[:]
    proto.graph.doc_string = ""


class MaskHeadForIntegers(nn.Module):
    """A mask head with the same results, without the transposed convolution that runtimes only compute in float32.

    A transposed convolution of 2x2 with stride 2 gives each of the four cells that one cell becomes its own 1x1
    convolution. So does the predictor after it, and only its few channels are put in their places.
    """

    def __init__(self, head: MaskHead) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(*(m for name, m in head.named_children() if name.startswith("mask_fcn")))
        deconv, predictor = head.deconv, head.predictor
        n_in, n_mid, n_out = deconv.in_channels, deconv.out_channels, predictor.out_channels
        self.enlarge = nn.Conv2d(n_in, 4 * n_mid, 1)
        self.predict = nn.Conv2d(4 * n_mid, 4 * n_out, 1)
        with torch.no_grad():
            self.enlarge.weight.copy_(deconv.weight.permute(2, 3, 1, 0).reshape(4 * n_mid, n_in, 1, 1))
            self.predict.weight.zero_()
            self.enlarge.bias.copy_(deconv.bias.repeat(4))  # type: ignore[union-attr]  # both have one
            for cell in range(4):  # of the output's 2x2 cells; channels of one output stand side by side
                self.predict.weight[cell::4, cell * n_mid : (cell + 1) * n_mid] = predictor.weight
                self.predict.bias[cell::4] = predictor.bias  # type: ignore[assignment,index]

    def forward(self, x: Tensor) -> Tensor:
        cells = self.predict(torch.relu(self.enlarge(self.convolutions(x))))
        return torch.pixel_shuffle(cells, 2)
