"""Tiny ONNX models in the project's format, whose answers are known without training."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fetal_hc.model.model_spec import ModelSpec
from fetal_hc.model.preprocess import ChannelOrder, InputSpec

OPSET = 18
IR_VERSION = 10


def head_spec(
    min_size: int = 216,
    max_size: int = 320,
    channel_order: ChannelOrder = "RGB",
    class_names: tuple[str, ...] = ("head",),
) -> ModelSpec:
    """A model description as the exporter would write it."""
    return ModelSpec(InputSpec(channel_order, min_size, max_size), class_names, "MODEL: {}\n", "0" * 64)


def write_bright_object_model(
    path: Path,
    spec: ModelSpec | None = None,
    *,
    score: float = 0.9,
    mask_size: int = 56,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Writes a model that finds the bright object of a dark image: at most one instance.

    Its box is that of the pixels above 12, its soft mask the brightness / 255 sampled over the box. A white ellipse
    with antialiased edges on black is therefore recovered to sub-pixel accuracy; a black image has no instance.

    Args:
        path: file to write.
        spec: description to store; `head_spec()` by default.
        score: score of the instance.
        mask_size: M, cells per side of the mask grid.
        metadata: replaces the metadata of `spec`, for tests of wrong files.

    Returns:
        `path`.
    """
    nodes = [*_box_nodes(), *_mask_nodes(mask_size), *_selection_nodes()]
    constants = {
        "axis_0": np.array([0], np.int64),
        "axis_1": np.array([1], np.int64),
        "axes_0_1": np.array([0, 1], np.int64),
        "dark": np.array(12.0, np.float32),
        "white": np.array(255.0, np.float32),
        "one": np.array([1], np.int64),
        "first_roi": np.array([0], np.int64),
        "all_scores": np.array([score], np.float32),
        "all_labels": np.array([0], np.int64),
    }
    return _write_model(path, nodes, constants, (spec or head_spec()).to_metadata() if metadata is None else metadata)


def write_constant_model(
    path: Path,
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    labels: NDArray[np.int64],
    masks: NDArray[np.float32],
    spec: ModelSpec | None = None,
) -> Path:
    """Writes a model that returns the same outputs for every image; returns `path`."""
    outputs = {"boxes": boxes, "scores": scores, "labels": labels, "masks": masks}
    constants = {f"{name}_value": np.asarray(value) for name, value in outputs.items()}
    nodes = [helper.make_node("Identity", [f"{name}_value"], [name]) for name in outputs]
    return _write_model(path, nodes, constants, (spec or head_spec()).to_metadata())


def write_whole_image_model(path: Path, outputs: Mapping[str, NDArray[np.float32]], spec: ModelSpec) -> Path:
    """Writes a model of another task than instance segmentation that says the same of every image; returns `path`."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [3, "H", "W"])
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in outputs.items()]
    values = [numpy_helper.from_array(value, f"{name}_value") for name, value in outputs.items()]
    nodes = [helper.make_node("Identity", [f"{name}_value"], [name]) for name in outputs]
    _save(path, helper.make_graph(nodes, "whole_image", [image], infos, values), spec.to_metadata())
    return path


def write_classifier(path: Path, metadata: Mapping[str, str]) -> Path:
    """Writes an ONNX file of another task: image -> one number; returns `path`."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [3, "H", "W"])
    output = helper.make_tensor_value_info("logit", TensorProto.FLOAT, [])
    node = helper.make_node("ReduceMean", ["image"], ["logit"], keepdims=0)
    _save(path, helper.make_graph([node], "classifier", [image], [output]), metadata)
    return path


def _box_nodes() -> list[onnx.NodeProto]:
    """Corner-convention box of the pixels brighter than `dark`, as float (1, 4) `all_boxes`."""
    nodes = [
        helper.make_node("ReduceMean", ["image", "axis_0"], ["grey"], keepdims=0),
        helper.make_node("Greater", ["grey", "dark"], ["is_bright"]),
        helper.make_node("Cast", ["is_bright"], ["bright"], to=TensorProto.FLOAT),
    ]
    for side, axis in (("x", "axis_0"), ("y", "axis_1")):
        nodes += [
            helper.make_node("ReduceMax", ["bright", axis], [f"{side}_profile"], keepdims=0),
            helper.make_node("ArgMax", [f"{side}_profile"], [f"{side}_first"], axis=0),
            helper.make_node("ArgMax", [f"{side}_profile"], [f"{side}_last"], axis=0, select_last_index=1),
            helper.make_node("Add", [f"{side}_last", "one"], [f"{side}_end"]),
        ]
    sides = ["x_first", "y_first", "x_end", "y_end"]
    return [
        *nodes,
        helper.make_node("Concat", sides, ["sides"], axis=0),
        helper.make_node("Cast", ["sides"], ["sides_float"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["sides_float", "axis_0"], ["all_boxes"]),
    ]


def _mask_nodes(mask_size: int) -> list[onnx.NodeProto]:
    """Brightness / 255 sampled over the box, as float (1, 1, M, M) `all_masks`."""
    return [
        helper.make_node("Div", ["grey", "white"], ["coverage"]),
        helper.make_node("Unsqueeze", ["coverage", "axes_0_1"], ["feature"]),
        helper.make_node(
            "RoiAlign",
            ["feature", "all_boxes", "first_roi"],
            ["all_masks"],
            output_height=mask_size,
            output_width=mask_size,
            sampling_ratio=2,
            coordinate_transformation_mode="half_pixel",
        ),
    ]


def _selection_nodes() -> list[onnx.NodeProto]:
    """The four outputs, with one row if any pixel is bright and none otherwise."""
    nodes = [
        helper.make_node("ReduceMax", ["bright"], ["any_bright"], keepdims=0),
        helper.make_node("Unsqueeze", ["any_bright", "axis_0"], ["any_bright_1d"]),
        helper.make_node("Cast", ["any_bright_1d"], ["found"], to=TensorProto.BOOL),
    ]
    names = ("boxes", "scores", "labels", "masks")
    return nodes + [helper.make_node("Compress", [f"all_{name}", "found"], [name], axis=0) for name in names]


def _write_model(
    path: Path, nodes: list[onnx.NodeProto], constants: Mapping[str, NDArray[np.generic]], metadata: Mapping[str, str]
) -> Path:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [3, "H", "W"])
    outputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N"]),
        helper.make_tensor_value_info("labels", TensorProto.INT64, ["N"]),
        helper.make_tensor_value_info("masks", TensorProto.FLOAT, ["N", 1, "M", "M"]),
    ]
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    _save(path, helper.make_graph(nodes, "synthetic", [image], outputs, initializers), metadata)
    return path


def _save(path: Path, graph: onnx.GraphProto, metadata: Mapping[str, str]) -> None:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
