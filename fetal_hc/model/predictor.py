"""An exported model behind ONNX Runtime: image -> instances in the coordinates of the original image."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from fetal_hc.errors import ModelError
from fetal_hc.io.records import InstancePrediction
from fetal_hc.model.bundle import DETECTOR, ModelBundle
from fetal_hc.model.model_spec import INPUT_NAME, INSTANCES, OUTPUT_NAMES, ModelSpec, check_signature
from fetal_hc.model.preprocess import to_network_input
from fetal_hc.model.sessions import RUNTIME_ERRORS, one_line, open_session


class OnnxPredictor:
    """Finds instances in images with an exported model, on the CPU.

    Attributes:
        spec: what the model says about itself.
    """

    def __init__(self, model: str | os.PathLike[str] | ModelBundle, num_threads: int = 1, source: str = "") -> None:
        """Loads the model.

        Args:
            model: a bundle, its file, or an ONNX file of fetal-hc export.
            num_threads: threads for the network, at least 1.
            source: name of the file of a bundle that is given as such, for messages.

        Raises:
            ModelError: if the file is missing, corrupt, of another format, or of another task.
        """
        bundle = model if isinstance(model, ModelBundle) else ModelBundle.read(os.fspath(model))
        self._source = source or (bundle.name if isinstance(model, ModelBundle) else os.fspath(model))
        bundle.spec.require_task(INSTANCES, self._source)
        self._session = open_session(bundle.networks[DETECTOR], self._source, num_threads)
        self.spec = read_session_spec(self._session, self._source)
        if self.spec != bundle.spec:
            raise ModelError(
                f"{self._source}: model.json describes the detector as {bundle.spec.to_section()}, the network itself "
                f"says {self.spec.to_section()}, or their configurations differ; restore the file"
            )

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
                f"{self._source}: fails on an input of shape {planes.shape} ({one_line(error)}); export "
                "the model again with fetal-hc export"
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
                f"{self._source}: returned boxes, scores, labels, masks of shapes {shapes}; expected "
                "(N, 4), (N,), (N,), (N, 1, M, M); choose a model for instance segmentation"
            )
        if not all(np.isfinite(values).all() for values in (boxes, scores, masks)):
            raise ModelError(
                f"{self._source}: returned numbers that are not finite; the training of this model failed "
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


def read_session_spec(session: onnxruntime.InferenceSession, source: str) -> ModelSpec:
    """The description in a loaded model, after its inputs and outputs were checked.

    Raises:
        ModelError: if it is of another origin, or lacks an output of its task.
    """
    spec = ModelSpec.from_metadata(session.get_modelmeta().custom_metadata_map, source)
    inputs, outputs = ([item.name for item in items] for items in (session.get_inputs(), session.get_outputs()))
    check_signature(inputs, outputs, source, spec.task)
    return spec
