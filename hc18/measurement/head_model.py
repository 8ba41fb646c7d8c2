"""A model that measures heads: the detector, the refiner and the interval model of one bundle, ready to run."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fetal_hc.errors import ModelError
from fetal_hc.io.records import InstancePrediction
from fetal_hc.model.bundle import INTERVALS, REFINER, ModelBundle
from fetal_hc.model.checksum import check_checksum
from fetal_hc.model.predictor import OnnxPredictor
from hc18.measurement.image_checks import IMAGE_CHECKS, ImageChecks
from hc18.measurement.interval_model import IntervalModel
from hc18.measurement.outline import MIN_SCORE
from hc18.measurement.refiner import REFINER_SECTION, OutlineRefiner

MODEL_VARIABLE = "FETAL_HC_MODEL"
MODELS_FOLDER = Path(__file__).resolve().parents[1] / "shipped"
HEAD_CLASSES = ("head",)
MEASUREMENT = "measurement"  # section of a bundle: defaults of the measurement that belong to its networks

REFINEMENT_SHARE = "refinement_share"  # in that section


class HeadModel:
    """The stages of a measurement, on the CPU. Nothing changes after loading; threads may share it.

    Attributes:
        name: what the model is called in records.
        version: its own version, as its bundle states it.
        spec: what the detector expects and finds.
        detector: the detection stage.
        refiner: the refinement stage; None in a model without one.
        checks: of the plane and of the origin of an image; None in a model without them.
        intervals: predicts expected error and interval; None in a model that was never calibrated.
        min_score: smallest confidence of a detection that counts as a head, 0 to 1, unless a caller names another.
        refinement_share: where between the ellipses of detection (0) and refinement stage (1) the result lies.
    """

    def __init__(self, bundle: ModelBundle, source: str, num_threads: int = 1) -> None:
        """Loads the networks of a bundle.

        Args:
            bundle: content of a model file.
            source: name of the file, for messages.
            num_threads: threads for each network, at least 1.

        Raises:
            ModelError: if the model finds something else than heads or does not fit this release; the message names
                the field of its manifest.
        """
        self.name, self.version, self.spec = bundle.name, bundle.version, bundle.spec
        if self.spec.class_names != HEAD_CLASSES:
            raise ModelError(
                f"{source}: finds {', '.join(self.spec.class_names)}; expected a model that finds "
                f"{', '.join(HEAD_CLASSES)}; choose a model trained on HC18"
            )
        intervals = bundle.sections.get(INTERVALS)
        self.intervals = None if intervals is None else IntervalModel.from_section(intervals, source)
        checks = bundle.sections.get(IMAGE_CHECKS)
        self.checks = None if checks is None else ImageChecks.from_section(checks, source)
        self.min_score, self.refinement_share = _measurement_settings(bundle, source)
        self.detector = OnnxPredictor(bundle, num_threads, source)
        self.refiner = _open_refiner(bundle, source, num_threads)

    def predict(self, image_rgb: NDArray[np.uint8]) -> list[InstancePrediction]:
        """What the detection stage finds in an image, see `OnnxPredictor.predict`."""
        return self.detector.predict(image_rgb)


def load_model(path: str | os.PathLike[str] | None = None, num_threads: int = 1) -> HeadModel:
    """A model for measuring heads, from its file.

    Args:
        path: a bundle or an exported ONNX file; the shipped model, or the one FETAL_HC_MODEL names, if None.
        num_threads: threads for each network, at least 1.

    Raises:
        ModelError: if the file is missing, damaged, finds something else than heads, or does not fit this release.
    """
    file = bundled_model_path() if path is None else Path(path)
    return HeadModel(ModelBundle.read(file), str(file), num_threads)


def _open_refiner(bundle: ModelBundle, source: str, num_threads: int) -> OutlineRefiner | None:
    if REFINER not in bundle.networks:
        return None
    section = bundle.sections.get(REFINER, REFINER_SECTION if bundle.is_single_file else {})
    return OutlineRefiner(bundle.networks[REFINER], source, num_threads, section)


def _measurement_settings(bundle: ModelBundle, source: str) -> tuple[float, float]:
    """Smallest score and share of the refinement stage, as the bundle states them.

    Raises:
        ModelError: if a setting is missing, unknown or outside its range.
    """
    section = bundle.sections.get(MEASUREMENT, {"min_score": MIN_SCORE})
    values = {REFINEMENT_SHARE: 1.0, **section}
    is_valid = all(isinstance(value, int | float) and 0.0 <= value <= 1.0 for value in values.values())
    if set(values) != {"min_score", REFINEMENT_SHARE} or not is_valid:
        raise ModelError(
            f"{source}: model.json: {MEASUREMENT} is {dict(section)}; expected only min_score and, where it is not 1, "
            f"{REFINEMENT_SHARE}, both 0 to 1"
        )
    return float(values["min_score"]), float(values[REFINEMENT_SHARE])


def bundled_model_path(name: str = "hc18", folder: Path = MODELS_FOLDER) -> Path:
    """Path of a shipped model whose content agrees with its checksum.

    The environment variable FETAL_HC_MODEL, if set, names another file to use instead.

    Args:
        name: the model's file name without `.zip`.
        folder: where models are shipped.

    Raises:
        ModelError: if the file or its checksum is missing, or they disagree.
    """
    override = os.environ.get(MODEL_VARIABLE)
    if override:
        path = Path(override)
        if not path.is_file():
            raise ModelError(f"{path}: does not exist, but {MODEL_VARIABLE} names it; correct or unset the variable")
        check_checksum(path)
        return path
    path = folder / f"{name}.zip"
    if not path.is_file():
        raise ModelError(
            f"{path}: the shipped model is missing; restore it from the repository or choose a model "
            f"with --model or {MODEL_VARIABLE}"
        )
    check_checksum(path, required=True)
    return path
