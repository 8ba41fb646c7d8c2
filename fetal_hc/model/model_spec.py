"""What the network of a model expects and finds, as its ONNX file and the manifest of its bundle state it.

The network has one input `image`: float32 (3, H, W), resized, values 0..255. Its outputs depend on its task, and are in
px of the resized image:

- `instance_segmentation`: `boxes` (N, 4), `scores` (N,), `labels` (N,) and soft `masks` (N, 1, M, M);
- `classification`: `probabilities` (K,) of the classes of the whole image;
- `single_box`: `probabilities` (K,), and the `box` (4,) of the one object in the image;
- `semantic_segmentation`: `mask` (H, W), the probability that each pixel belongs to an object.

Task, size, channel order and classes are in the `metadata_props` of the ONNX file under `fetal_hc.*`, and in the
section `detector` of a bundle's `model.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fetal_hc.errors import ModelError, raise_problems
from fetal_hc.io.documents import parse_json
from fetal_hc.model.preprocess import SHORTER_SIDE, InputSpec

FORMAT_VERSION = "1"
INSTANCES, CLASSES, SINGLE_BOX, PIXELS = (
    "instance_segmentation",
    "classification",
    "single_box",
    "semantic_segmentation",
)
INPUT_NAME = "image"
OUTPUT_NAMES = ("boxes", "scores", "labels", "masks")  # of instance segmentation
OUTPUTS: Mapping[str, tuple[str, ...]] = {
    INSTANCES: OUTPUT_NAMES,
    CLASSES: ("probabilities",),
    SINGLE_BOX: ("probabilities", "box"),
    PIXELS: ("mask",),
}

_PREFIX = "fetal_hc."
_FORMAT = _PREFIX + "format"
_TASK = _PREFIX + "task"
_INPUT_FORMAT = _PREFIX + "input_format"
_MIN_SIZE = _PREFIX + "min_size_test"
_MAX_SIZE = _PREFIX + "max_size_test"
_FIT = _PREFIX + "fit"  # only where it is not the default, as older files lack it
_CLASS_NAMES = _PREFIX + "class_names"
_CONFIG = _PREFIX + "config"
_WEIGHTS = _PREFIX + "weights_sha256"
_REMEDY = "export the model again with fetal-hc export"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a network expects and finds.

    Attributes:
        input_spec: size and channel order the network expects.
        class_names: name of each 0-based class.
        config: the training configuration as YAML text.
        weights_sha256: hex digest of the checkpoint the model was exported from.
        task: a key of `OUTPUTS`.
    """

    input_spec: InputSpec
    class_names: tuple[str, ...]
    config: str
    weights_sha256: str
    task: str = INSTANCES

    def to_metadata(self) -> dict[str, str]:
        """The key-value pairs to store in an ONNX file."""
        return {
            _FORMAT: FORMAT_VERSION,
            _TASK: self.task,
            _INPUT_FORMAT: self.input_spec.channel_order,
            _MIN_SIZE: str(self.input_spec.min_size),
            _MAX_SIZE: str(self.input_spec.max_size),
            _CLASS_NAMES: json.dumps(list(self.class_names)),
            _CONFIG: self.config,
            _WEIGHTS: self.weights_sha256,
            **({} if self.input_spec.fit == SHORTER_SIDE else {_FIT: self.input_spec.fit}),
        }

    def to_section(self) -> dict[str, Any]:
        """The section `detector` of a manifest; the configuration is a file of its own in the bundle."""
        return {
            "task": self.task,
            "class_names": list(self.class_names),
            "channel_order": self.input_spec.channel_order,
            "min_size_px": self.input_spec.min_size,
            "max_size_px": self.input_spec.max_size,
            "weights_sha256": self.weights_sha256,
            **({} if self.input_spec.fit == SHORTER_SIDE else {"fit": self.input_spec.fit}),
        }

    @classmethod
    def from_section(cls, section: Mapping[str, Any], config: str) -> ModelSpec:
        """The description that `to_section` gave.

        Raises:
            ValueError: naming the field that is missing or wrong, or listing all that are missing.
        """
        missing = [name for name in _SECTION_TYPES if name not in section]
        if missing:
            raise ValueError(f"detector lacks {', '.join(missing)}")
        for name, kind in _SECTION_TYPES.items():
            if type(section[name]) is not kind:
                raise ValueError(f"detector.{name} is {section[name]!r}; expected {kind.__name__}")
        if section["task"] not in OUTPUTS:
            raise ValueError(f"detector.task is '{section['task']}'; expected one of {', '.join(OUTPUTS)}")
        class_names = _parse_class_names(json.dumps(section["class_names"]))
        fit = section.get("fit", SHORTER_SIDE)
        input_spec = InputSpec(section["channel_order"], section["min_size_px"], section["max_size_px"], fit)
        return cls(input_spec, class_names, config, section["weights_sha256"], section["task"])

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
                fit=metadata.get(_FIT, SHORTER_SIDE),  # type: ignore[arg-type]  # likewise
            )
            class_names = _parse_class_names(metadata[_CLASS_NAMES])
        except ValueError as error:
            raise ModelError(f"{source}: invalid metadata: {error}; {_REMEDY}") from error
        return cls(input_spec, class_names, metadata[_CONFIG], metadata[_WEIGHTS], metadata[_TASK])

    def require_task(self, task: str, source: str) -> None:
        """Returns if the model is one for a task.

        Raises:
            ModelError: if it is another.
        """
        if self.task != task:
            raise ModelError(
                f"{source}: is a model for task '{self.task}'; expected '{task}'; choose a model trained for that task"
            )


_SECTION_TYPES = {
    "task": str,
    "class_names": list,
    "channel_order": str,
    "min_size_px": int,
    "max_size_px": int,
    "weights_sha256": str,
}


def check_signature(input_names: list[str], output_names: list[str], source: str, task: str = INSTANCES) -> None:
    """Returns if a network has the input and the outputs of its task.

    Raises:
        ModelError: naming what was found and what was expected.
    """
    if input_names != [INPUT_NAME] or not set(OUTPUTS[task]) <= set(output_names):
        raise ModelError(
            f"{source}: has inputs {input_names} and outputs {output_names}; expected input ['{INPUT_NAME}'] and "
            f"outputs {list(OUTPUTS[task])}; {_REMEDY}"
        )


def _check_kind(metadata: Mapping[str, str], source: str) -> None:
    """Raises ModelError unless the metadata announce a format and a task that this module reads."""
    if _FORMAT not in metadata:
        raise ModelError(
            f"{source}: is an ONNX file of another origin (no '{_FORMAT}' in its metadata); expected a model exported "
            "by fetal-hc export"
        )
    if metadata[_FORMAT] != FORMAT_VERSION:
        raise ModelError(
            f"{source}: has model format '{metadata[_FORMAT]}'; expected '{FORMAT_VERSION}'; {_REMEDY} of this version"
        )
    if metadata.get(_TASK) not in OUTPUTS:
        raise ModelError(
            f"{source}: is a model for task '{metadata.get(_TASK, '')}'; expected one of {', '.join(OUTPUTS)}; choose "
            "a model trained for one of them"
        )


def _parse_class_names(text: str) -> tuple[str, ...]:
    """Class names from their JSON list.

    Raises:
        ValueError: if the text is not a list of at least one name.
    """
    names = parse_json(text)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"class names are {text}; expected a JSON list of names")
    return tuple(names)
