"""The shipped model: intact, small, right on heads, silent where there is none, calibrated as its card says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fetal_hc.io.images import read_image
from hc18.dataset.folder import read_training_set
from hc18.geometry.pixel_size import from_table
from hc18.measurement.flags import Status
from hc18.measurement.head_model import HeadModel, bundled_model_path, load_model
from hc18.measurement.measurement import Measurement
from hc18.measurement.pipeline import measure_frame
from hc18.phantoms.phantom import DistractorKind, render_distractor, render_phantom
from hc18.phantoms.spec import sample_spec
from hc18.uncertainty.labelled_measurements import read_common_features


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return load_model()


def measure(model: HeadModel, image_rgb: np.ndarray, pixel_size_mm: float) -> Measurement:
    return measure_frame(model, image_rgb, [from_table(pixel_size_mm)]).measurement


def as_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def test_file_is_small_and_names_its_class(model: HeadModel) -> None:
    assert bundled_model_path().stat().st_size <= 32_000_000
    assert model.spec.class_names == ("head",)


def test_phantoms_are_measured_within_four_percent(model: HeadModel) -> None:
    rng = np.random.default_rng(5)
    for _ in range(6):
        phantom = render_phantom(sample_spec(rng, cut_share=0.0, caliper_share=0.0))
        measured = measure(model, as_rgb(phantom.image), phantom.pixel_size_mm)
        assert measured.status is Status.OK
        assert measured.hc_mm == pytest.approx(phantom.hc_mm, rel=0.04)


@pytest.mark.parametrize("kind", ["blank", "grey", "noise", "blobs"])
def test_images_without_a_head_have_no_measurement(model: HeadModel, kind: DistractorKind) -> None:
    for seed in (501, 502):
        image = as_rgb(render_distractor(kind, (540, 800), seed))
        assert measure(model, image, 0.1).status is Status.NO_HEAD


def test_real_heads_are_found_and_their_mean_error_is_that_of_training(model: HeadModel, real_hc18_root: Path) -> None:
    """The model knows these images: this shows that file and measurement are intact, not how it does on others."""
    errors = []
    for case in read_training_set(real_hc18_root)[::8]:
        image = read_image(real_hc18_root / "training_set" / case.filename)
        measured = measure(model, image, case.pixel_size_mm)
        assert measured.hc_mm is not None, case.filename
        errors.append(abs(measured.hc_mm - case.hc_mm))
    assert len(errors) == 101
    assert np.mean(errors) <= 2.2


def test_intervals_are_about_as_wide_as_those_of_the_network_before_the_last_stage(
    model: HeadModel, repository_root: Path
) -> None:
    folder = repository_root / "experiments" / "calibration"
    names = ("folds_unlabelled.csv", "reference_run_unlabelled.csv", "model_unlabelled.csv")
    of_folds, of_reference, of_model = read_common_features(*(folder / name for name in names))
    assert len(of_folds) == 5 * len(of_reference) == 5 * len(of_model)
    intervals = model.intervals
    assert intervals is not None
    # The card: 8.0 mm for the network before the last stage.
    widths_mm = [2.0 * intervals.interval_factor * intervals.expected_error_mm(features) for features in of_model]
    assert 6.0 < np.mean(widths_mm) < 10.0
    assert intervals.n_images == 801
