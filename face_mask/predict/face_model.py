"""An exported model of any of the four kinds behind one call: photo -> faces. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face_mask.data.classes import WITHOUT_MASK
from fetal_hc.errors import ConfigError, ModelError
from fetal_hc.io.masks import mask_to_rle, paste_soft_mask, warp_to_image
from fetal_hc.io.records import InstancePrediction
from fetal_hc.model.bundle import DETECTOR, ModelBundle
from fetal_hc.model.checksum import check_checksum, file_sha256
from fetal_hc.model.model_spec import CLASSES, INPUT_NAME, INSTANCES, OUTPUTS, PIXELS, ModelSpec
from fetal_hc.model.predictor import OnnxPredictor, read_session_spec
from fetal_hc.model.preprocess import place_in_square, to_network_input
from fetal_hc.model.sessions import RUNTIME_ERRORS, one_line, open_session

MODEL_VARIABLE = "FACE_MASK_MODEL"
SHIPPED_MODEL = Path(__file__).resolve().parents[1] / "shipped" / "faces.zip"
DEFAULT_MIN_SCORE = 0.5
MASK_THRESHOLD = 0.5  # probability from which a pixel belongs to a mask
SAME_FACE_IOU = 0.5  # boxes of two classes that overlap at least so much show one face

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face, or what a model says about a whole photo.

    Attributes:
        class_name: how the face wears its mask; the name of the objects for a model that finds pixels alone.
        score: confidence in [0, 1]; for a model that finds pixels alone, their mean probability.
        box_xyxy: x0, y0, x1, y1 in px of the photo, corner convention; None where the model finds no boxes.
        mask_rle: COCO run lengths of the mask's pixels; None where the model finds none, or the face wears none.
        mask_area_px: number of these pixels.
    """

    class_name: str
    score: float
    box_xyxy: Box | None = None
    mask_rle: Mapping[str, Any] | None = None
    mask_area_px: int = 0


class FaceModel:
    """A classifier, two-head detector, segmenter or Mask R-CNN, on the CPU. Threads may share it.

    Attributes:
        name: what the model is called in results.
        sha256: of its file.
        spec: what the model says about itself.
    """

    def __init__(self, path: Path, num_threads: int = 1) -> None:
        """Loads a bundle or an ONNX file of `face-mask export`.

        Args:
            path: the file.
            num_threads: threads for the network, at least 1.

        Raises:
            ModelError: if the file is missing, damaged or of another kind.
        """
        bundle = ModelBundle.read(path)
        self.name, self.sha256, self.spec = bundle.name, file_sha256(path), bundle.spec
        self._source = str(path)
        self._find = (
            _Instances(bundle, num_threads, self._source)
            if bundle.spec.task == INSTANCES
            else _WholeImage(bundle, num_threads, self._source)
        )

    def predict(self, image_rgb: NDArray[np.uint8], min_score: float = DEFAULT_MIN_SCORE) -> list[Face]:
        """The faces in a photo, best score first.

        A classifier and a two-head detector always say something, so `min_score` does not apply to them.

        Args:
            image_rgb: uint8 (h, w, 3), RGB.
            min_score: smallest score of a face that counts, in [0, 1].

        Raises:
            ModelError: if the network fails on this photo.
        """
        return self._find(image_rgb, min_score)


def face_model_path(path: Path | None = None) -> Path:
    """The model to use: the one that is named, else the one in FACE_MASK_MODEL, else the shipped one.

    Raises:
        ModelError: if it is missing, or disagrees with the checksum in the file next to it.
    """
    named = path or (Path(os.environ[MODEL_VARIABLE]) if os.environ.get(MODEL_VARIABLE) else None)
    chosen = named or SHIPPED_MODEL
    if not chosen.is_file():
        raise ModelError(f"{chosen}: does not exist; expected an exported face-mask model; give one with --model")
    check_checksum(chosen, required=named is None)
    return chosen


def check_min_score(min_score: float) -> None:
    """Returns if a smallest score can be used.

    Raises:
        ConfigError: if it is not in [0, 1].
    """
    if not 0.0 <= min_score <= 1.0:
        raise ConfigError(f"smallest score is {min_score}; expected a number from 0 to 1, such as {DEFAULT_MIN_SCORE}")


class _Instances:
    """Faces of a Mask R-CNN."""

    def __init__(self, bundle: ModelBundle, num_threads: int, source: str) -> None:
        self._predictor = OnnxPredictor(bundle, num_threads, source)

    def __call__(self, image_rgb: NDArray[np.uint8], min_score: float) -> list[Face]:
        image_hw = (image_rgb.shape[0], image_rgb.shape[1])
        found = [item for item in self._predictor.predict(image_rgb) if item.score >= min_score]
        return [self._to_face(item, image_hw) for item in without_repetitions(found)]

    def _to_face(self, item: InstancePrediction, image_hw: tuple[int, int]) -> Face:
        name = self._predictor.spec.class_names[item.label]
        x0, y0, x1, y1 = (float(value) for value in item.box_xyxy)
        if name == WITHOUT_MASK:
            return Face(name, item.score, (x0, y0, x1, y1))
        mask = paste_soft_mask(item.soft_mask, item.box_xyxy, image_hw) >= MASK_THRESHOLD
        return Face(name, item.score, (x0, y0, x1, y1), mask_to_rle(mask), int(mask.sum()))


class _WholeImage:
    """What the other three kinds say about a photo."""

    def __init__(self, bundle: ModelBundle, num_threads: int, source: str) -> None:
        self._source = source
        self._session = open_session(bundle.networks[DETECTOR], source, num_threads)
        self._spec: ModelSpec = read_session_spec(self._session, source)
        if self._spec != bundle.spec:
            raise ModelError(f"{source}: model.json and the network describe different models; restore the file")

    def __call__(self, image_rgb: NDArray[np.uint8], min_score: float) -> list[Face]:
        image_hw = (image_rgb.shape[0], image_rgb.shape[1])
        planes = to_network_input(image_rgb, self._spec.input_spec)
        try:
            outputs = self._session.run(list(OUTPUTS[self._spec.task]), {INPUT_NAME: planes})
        except RUNTIME_ERRORS as error:
            raise ModelError(
                f"{self._source}: fails on an input of shape {planes.shape} ({one_line(error)}); export it again"
            ) from error
        if not all(np.isfinite(values).all() for values in outputs):
            raise ModelError(f"{self._source}: returned numbers that are not finite; choose another model")
        if self._spec.task == PIXELS:
            return self._masked(outputs[0], image_hw, min_score)
        probabilities = outputs[0]
        best = int(probabilities.argmax())
        box = None if self._spec.task == CLASSES else self._to_box(outputs[1], image_hw)
        return [Face(self._spec.class_names[best], float(probabilities[best]), box)]

    def _to_box(self, box: NDArray[np.float32], image_hw: tuple[int, int]) -> Box | None:
        """A box of the network input in px of the photo; None if nothing of it lies in the photo."""
        spec = self._spec.input_spec
        corners = place_in_square(image_hw, spec.max_size, spec.fit).to_image(box.reshape(2, 2), image_hw)
        x0, y0, x1, y1 = (float(value) for value in corners.ravel())
        return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None

    def _masked(self, probability: NDArray[np.float32], image_hw: tuple[int, int], min_score: float) -> list[Face]:
        """The pixels of all masks as one object; nothing if no pixel reaches the threshold."""
        spec = self._spec.input_spec
        to_input = place_in_square(image_hw, spec.max_size, spec.fit).affine(image_hw)
        moved = warp_to_image(probability, to_input, image_hw)
        mask = moved >= MASK_THRESHOLD
        if not mask.any() or float(moved[mask].mean()) < min_score:
            return []
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        return [Face(self._spec.class_names[0], float(moved[mask].mean()), box, mask_to_rle(mask), int(mask.sum()))]


def without_repetitions(found: Sequence[InstancePrediction]) -> list[InstancePrediction]:
    """Detections without those that show the face of a better one in another class; best score first."""
    kept: list[InstancePrediction] = []
    for item in sorted(found, key=lambda item: -item.score):
        if all(_iou(item.box_xyxy, other.box_xyxy) < SAME_FACE_IOU for other in kept):
            kept.append(item)
    return kept


def _iou(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Intersection over union of two boxes with an area."""
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    intersection = float(np.prod(np.maximum(sides, 0.0)))
    areas = [float(np.prod(box[2:] - box[:2])) for box in (first, second)]
    return intersection / (sum(areas) - intersection)
