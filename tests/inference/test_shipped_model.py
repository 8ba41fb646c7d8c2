"""The model in `models/`: intact, small, right on heads it never saw, silent where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hc18.dataset import read_training_set
from hc18.measurement import HeadMeasurement, Status, measure_head
from hc18.phantom import DistractorKind, render_distractor, render_phantom, sample_spec
from hc18.splits import grouped_stratified_folds
from inference.bundled import bundled_model_path
from inference.predictor import OnnxPredictor
from segdata.images import read_image


@pytest.fixture(scope="module")
def predictor() -> OnnxPredictor:
    return OnnxPredictor(bundled_model_path())


def measure(predictor: OnnxPredictor, image_rgb: np.ndarray, pixel_size_mm: float) -> HeadMeasurement:
    return measure_head(predictor.predict(image_rgb), image_rgb.shape[:2], (pixel_size_mm, pixel_size_mm))


def as_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def test_file_is_small_and_names_its_class(predictor: OnnxPredictor) -> None:
    assert bundled_model_path().stat().st_size <= 32_000_000
    assert predictor.spec.class_names == ("head",)


def test_phantoms_are_measured_within_four_percent(predictor: OnnxPredictor) -> None:
    rng = np.random.default_rng(5)
    for _ in range(6):
        phantom = render_phantom(sample_spec(rng, cut_share=0.0, caliper_share=0.0))
        measured = measure(predictor, as_rgb(phantom.image), phantom.pixel_size_mm)
        assert measured.status is Status.OK
        assert measured.hc_mm == pytest.approx(phantom.hc_mm, rel=0.04)


@pytest.mark.parametrize("kind", ["blank", "grey", "noise", "blobs"])
def test_images_without_a_head_have_no_measurement(predictor: OnnxPredictor, kind: DistractorKind) -> None:
    for seed in (501, 502):
        image = as_rgb(render_distractor(kind, (540, 800), seed))
        assert measure(predictor, image, 0.1).status is Status.NO_HEAD


def test_unseen_real_heads_are_found_and_their_mean_error_is_small(
    predictor: OnnxPredictor, real_hc18_root: Path
) -> None:
    cases = read_training_set(real_hc18_root)
    folds = grouped_stratified_folds(cases, 5, 0)
    unseen = [case for case in cases if folds[case.filename] == 0][::5]
    errors = []
    for case in unseen:
        image = read_image(real_hc18_root / "training_set" / case.filename)
        measured = measure(predictor, image, case.pixel_size_mm)
        assert measured.hc_mm is not None, case.filename
        errors.append(abs(measured.hc_mm - case.hc_mm))
    assert len(errors) == 32
    assert np.mean(errors) <= 2.5
