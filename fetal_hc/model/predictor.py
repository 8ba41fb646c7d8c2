"""An exported model behind ONNX Runtime: image -> instances in the coordinates of the original image."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from fetal_hc.errors import ModelError
from fetal_hc.io.records import InstancePrediction
from fetal_hc.model.model_spec import INPUT_NAME, OUTPUT_NAMES, ModelSpec, check_signature
from fetal_hc.model.preprocess import to_network_input
from fetal_hc.model.sessions import RUNTIME_ERRORS, one_line, open_session
from hc18.measure.refiner import OutlineRefiner


class OnnxPredictor:
    """Finds instances in images with an exported model, on the CPU.

    Attributes:
        spec: what the model says about itself.
        refiner: looks again at the outline of a head; None if the model carries none.
    """

    def __init__(self, model_path: str | os.PathLike[str], num_threads: int = 1) -> None:
        """Loads the model.

        Args:
            model_path: ONNX file written by tools/export_model.py.
            num_threads: threads for the network, at least 1.

        Raises:
            ModelError: if the file is missing, corrupt, not ONNX, or of another task.
        """
        self._path = Path(model_path)
        self._session = _open_file(self._path, num_threads)
        self.spec = _session_spec(self._session, self._path)
        payload = self.spec.refiner
        self.refiner = None if payload is None else OutlineRefiner(payload, str(self._path), num_threads)

    def predict(self, image_rgb: NDArray[np.uint8]) -> list[InstancePrediction]:
        """Instances in an image, in the network's order (best score first).

        Args:
            image_rgb: uint8 (h, w, 3), RGB.

        Raises:
            ModelError: if the network fails on this image or returns something else than instances.
        """
        planes = to_network_input(image_rgb, self.spec.input_spec)
        try:
            boxes, scores, labels, masks = self._session.run(list(OUTPUT_NAMES), {INPUT_NAME: planes})
        except RUNTIME_ERRORS as error:
            raise ModelError(
                f"{self._path}: fails on an input of shape {planes.shape} ({one_line(error)}); export "
                "the model again with tools/export_model.py"
            ) from error
        self._check_outputs(boxes, scores, labels, masks)
        boxes = boxes_to_image(boxes, (planes.shape[1], planes.shape[2]), (image_rgb.shape[0], image_rgb.shape[1]))
        kept = np.flatnonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
        masks = masks.astype(np.float32, copy=False)
        return [InstancePrediction(boxes[i], float(scores[i]), int(labels[i]), masks[i, 0]) for i in kept]

    def _check_outputs(
        self, boxes: NDArray[Any], scores: NDArray[Any], labels: NDArray[Any], masks: NDArray[Any]
    ) -> None:
        """Raises ModelError unless the four outputs have the shapes of the format and hold finite numbers."""
        n = len(boxes)
        shapes = [boxes.shape, scores.shape, labels.shape, masks.shape]
        if shapes[:3] != [(n, 4), (n,), (n,)] or masks.ndim != 4 or masks.shape[:2] != (n, 1):
            raise ModelError(
                f"{self._path}: returned boxes, scores, labels, masks of shapes {shapes}; expected "
                "(N, 4), (N,), (N,), (N, 1, M, M); choose a model for instance segmentation"
            )
        if not all(np.isfinite(values).all() for values in (boxes, scores, masks)):
            raise ModelError(
                f"{self._path}: returned numbers that are not finite; the training of this model failed "
                "or its numeric type is too small; choose another model"
            )


def boxes_to_image(
    boxes_xyxy: NDArray[np.float32], network_hw: tuple[int, int], image_hw: tuple[int, int]
) -> NDArray[np.float32]:
    """Boxes scaled from network-input px to original-image px and clipped to the image.

    Args:
        boxes_xyxy: float32 (N, 4), corner convention, in px of the resized image.
        network_hw: H, W of the network input.
        image_hw: h, w of the original image.

    Returns:
        float32 (N, 4), x in [0, w], y in [0, h].

    References: Detectron2, `detector_postprocess`.
    """
    scale_x, scale_y = image_hw[1] / network_hw[1], image_hw[0] / network_hw[0]
    limits = np.array([image_hw[1], image_hw[0]] * 2, dtype=np.float32)
    scaled = boxes_xyxy.astype(np.float32) * np.array([scale_x, scale_y] * 2, dtype=np.float32)
    return np.clip(scaled, np.float32(0.0), limits)


def _session_spec(session: onnxruntime.InferenceSession, path: Path) -> ModelSpec:
    """The description in a loaded model, after its inputs and outputs were checked.

    Raises:
        ModelError: if it is of another origin or task.
    """
    spec = ModelSpec.from_metadata(session.get_modelmeta().custom_metadata_map, str(path))
    inputs, outputs = ([item.name for item in items] for items in (session.get_inputs(), session.get_outputs()))
    check_signature(inputs, outputs, str(path))
    return spec


def _open_file(path: Path, num_threads: int) -> onnxruntime.InferenceSession:
    """The session of a model file.

    Raises:
        ModelError: if `path` is no readable ONNX file.
    """
    if not path.is_file():
        raise ModelError(f"{path}: does not exist or is a folder; expected an ONNX file; check the path")
    return open_session(str(path), str(path), num_threads)
