"""What an exported model says about itself: the metadata of its ONNX file.

The file has one input `image` (float32 (3, H, W), resized, values 0..255) and the outputs `boxes` (N, 4) in px of the
resized image, `scores` (N,), `labels` (N,) and soft `masks` (N, 1, M, M); size, channel order and classes stand in
`metadata_props` under `fetal_hc.*`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass

from fetal_hc.errors import ModelError, raise_problems
from fetal_hc.model.preprocess import InputSpec
from hc18.measure.interval_model import IntervalModel

FORMAT_VERSION = "1"
TASK = "instance_segmentation"
INPUT_NAME = "image"
OUTPUT_NAMES = ("boxes", "scores", "labels", "masks")

_PREFIX = "fetal_hc."
_FORMAT = _PREFIX + "format"
_TASK = _PREFIX + "task"
_INPUT_FORMAT = _PREFIX + "input_format"
_MIN_SIZE = _PREFIX + "min_size_test"
_MAX_SIZE = _PREFIX + "max_size_test"
_CLASS_NAMES = _PREFIX + "class_names"
_CONFIG = _PREFIX + "config"
_WEIGHTS = _PREFIX + "weights_sha256"
TRUST_KEY = _PREFIX + "trust"  # absent from models whose errors were never measured
REFINER_KEY = _PREFIX + "outline_refiner"  # a second ONNX file as base64 text; absent from models without one
_REMEDY = "export the model again with tools/export_model.py"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Self-description of an exported model.

    Attributes:
        input_spec: size and channel order the network expects.
        class_names: name of each 0-based class.
        config: the training configuration as YAML text.
        weights_sha256: hex digest of the checkpoint the model was exported from.
        trust: calibrated expected error and interval of its measurements; None if it was never calibrated.
        refiner: ONNX file of the network that looks again at the outline; None without one.
    """

    input_spec: InputSpec
    class_names: tuple[str, ...]
    config: str
    weights_sha256: str
    trust: IntervalModel | None = None
    refiner: bytes | None = None

    def to_metadata(self) -> dict[str, str]:
        """The key-value pairs to store in an ONNX file."""
        trust = {} if self.trust is None else {TRUST_KEY: self.trust.to_json()}
        refiner = {} if self.refiner is None else {REFINER_KEY: encode_refiner(self.refiner)}
        return {
            _FORMAT: FORMAT_VERSION,
            _TASK: TASK,
            _INPUT_FORMAT: self.input_spec.channel_order,
            _MIN_SIZE: str(self.input_spec.min_size),
            _MAX_SIZE: str(self.input_spec.max_size),
            _CLASS_NAMES: json.dumps(list(self.class_names)),
            _CONFIG: self.config,
            _WEIGHTS: self.weights_sha256,
            **trust,
            **refiner,
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], source: str) -> ModelSpec:
        """The description stored in an ONNX file.

        Args:
            metadata: key-value pairs of the file; keys of others are ignored.
            source: name of the file, for messages.

        Raises:
            ModelError: if the file is not of this project, of another task or format version, or its metadata are
                incomplete or invalid (all problems listed).
        """
        _check_kind(metadata, source)
        missing = [
            key for key in (_INPUT_FORMAT, _MIN_SIZE, _MAX_SIZE, _CLASS_NAMES, _CONFIG, _WEIGHTS) if key not in metadata
        ]
        if missing:
            raise_problems(ModelError, [f"'{key}' is missing; {_REMEDY}" for key in missing], f"{source}: metadata")
        try:
            input_spec = InputSpec(
                channel_order=metadata[_INPUT_FORMAT],  # type: ignore[arg-type]  # checked by InputSpec
                min_size=int(metadata[_MIN_SIZE]),
                max_size=int(metadata[_MAX_SIZE]),
            )
            class_names = _parse_class_names(metadata[_CLASS_NAMES])
        except ValueError as error:
            raise ModelError(f"{source}: invalid metadata: {error}; {_REMEDY}") from error
        trust = IntervalModel.from_json(metadata[TRUST_KEY]) if TRUST_KEY in metadata else None
        refiner = _decode_refiner(metadata[REFINER_KEY], source) if REFINER_KEY in metadata else None
        return cls(input_spec, class_names, metadata[_CONFIG], metadata[_WEIGHTS], trust, refiner)


def check_signature(input_names: list[str], output_names: list[str], source: str) -> None:
    """Returns if a network has the input and the outputs of the format.

    Raises:
        ModelError: naming what was found and what was expected.
    """
    if input_names != [INPUT_NAME] or not set(OUTPUT_NAMES) <= set(output_names):
        raise ModelError(
            f"{source}: has inputs {input_names} and outputs {output_names}; expected input ['{INPUT_NAME}'] and "
            f"outputs {list(OUTPUT_NAMES)}; {_REMEDY}"
        )


def _check_kind(metadata: Mapping[str, str], source: str) -> None:
    """Raises ModelError unless the metadata announce the format and the task this module reads."""
    if _FORMAT not in metadata:
        raise ModelError(
            f"{source}: is an ONNX file of another origin (no '{_FORMAT}' in its metadata); expected a model exported "
            "by tools/export_model.py"
        )
    if metadata[_FORMAT] != FORMAT_VERSION:
        raise ModelError(
            f"{source}: has model format '{metadata[_FORMAT]}'; expected '{FORMAT_VERSION}'; {_REMEDY} of this version"
        )
    if metadata.get(_TASK) != TASK:
        raise ModelError(
            f"{source}: is a model for task '{metadata.get(_TASK, '')}'; expected '{TASK}'; choose a model trained "
            "for that task"
        )


def _parse_class_names(text: str) -> tuple[str, ...]:
    """Class names from their JSON list.

    Raises:
        ValueError: if the text is not a list of at least one name.
    """
    names = json.loads(text)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"class names are {text}; expected a JSON list of names")
    return tuple(names)


def encode_refiner(payload: bytes) -> str:
    """A binary file as text, to stand in the metadata of another one."""
    return base64.b64encode(payload).decode("ascii")


def _decode_refiner(text: str, source: str) -> bytes:
    """The file that `encode_refiner` was given.

    Raises:
        ModelError: if the text is damaged.
    """
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ModelError(f"{source}: its outline refiner is damaged ({error}); restore the file") from error
