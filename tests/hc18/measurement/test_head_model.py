"""A model of heads: all stages of its bundle, or one clear error that names what does not fit."""

from pathlib import Path
from typing import Any

import pytest

from fetal_hc.errors import ModelError
from fetal_hc.model.bundle import INTERVALS, REFINER, ModelBundle
from hc18.measurement.head_model import MEASUREMENT, HeadModel, bundled_model_path, load_model
from hc18.measurement.polar_band import BAND_GEOMETRY
from hc18.measurement.refiner import REFINER_SECTION
from tests.synthetic_model import head_spec, write_bright_object_model


@pytest.fixture(scope="module")
def shipped() -> ModelBundle:
    """The shipped model."""
    return ModelBundle.read(bundled_model_path())


def message(bundle: ModelBundle) -> str:
    """What is said of a bundle that does not fit."""
    with pytest.raises(ModelError) as caught:
        HeadModel(bundle, "m.zip")
    assert "m.zip" in str(caught.value)
    return str(caught.value)


def test_shipped_model_has_all_stages_and_a_version_of_its_own() -> None:
    model = load_model()
    assert model.refiner is not None
    assert model.intervals is not None
    assert (model.name, model.version, model.min_score) == ("hc18", "1.1.0", 0.35)


def test_exported_file_alone_measures_without_refiner_and_intervals(tmp_path: Path) -> None:
    model = load_model(write_bright_object_model(tmp_path / "mine.onnx"))
    assert (model.name, model.version, model.refiner, model.intervals) == ("mine", "unversioned", None, None)


def test_model_that_finds_something_else_is_refused(tmp_path: Path) -> None:
    path = write_bright_object_model(tmp_path / "m.onnx", head_spec(class_names=("face",)))
    with pytest.raises(ModelError, match=r"m\.onnx: finds face; expected a model that finds head"):
        load_model(path)


@pytest.mark.parametrize("name", list(BAND_GEOMETRY))
def test_refiner_of_another_band_is_refused_by_the_name_of_the_number(shipped: ModelBundle, name: str) -> None:
    section = {**REFINER_SECTION, "band": {**BAND_GEOMETRY, name: BAND_GEOMETRY[name] * 2}}
    assert f"refiner.band.{name} is" in message(shipped.replace(sections={REFINER: section}))


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (None, "refiner.n_bands is None"),
        ({"n_bands": 0, "band": BAND_GEOMETRY}, "refiner.n_bands is 0"),
        ({"n_bands": 2}, "refiner.band is None"),
        ({"n_bands": 2, "band": {}}, "refiner.band.n_angles is missing"),
        ({"n_bands": 2, "band": {**BAND_GEOMETRY, "turns": 1}}, "refiner.band.turns is unknown"),
    ],
)
def test_refiner_without_its_section_is_refused(shipped: ModelBundle, section: Any, expected: str) -> None:
    assert expected in message(shipped.replace(sections={REFINER: section}))


def test_refiner_of_another_kind_is_refused(shipped: ModelBundle) -> None:
    assert "an outline refiner has" in message(shipped.replace(networks={REFINER: shipped.networks["detector"]}))


@pytest.mark.parametrize("section", [{}, {"min_score": 1.2}, {"min_score": "a"}, {"min_score": 0.3, "other": 1}])
def test_wrong_default_of_the_measurement_is_named(shipped: ModelBundle, section: dict[str, Any]) -> None:
    assert "model.json: measurement is" in message(shipped.replace(sections={MEASUREMENT: section}))


def test_own_smallest_score_counts(shipped: ModelBundle) -> None:
    assert HeadModel(shipped.replace(sections={MEASUREMENT: {"min_score": 0.6}}), "m.zip").min_score == 0.6


def test_intervals_with_a_missing_number_are_named(shipped: ModelBundle) -> None:
    section = {name: value for name, value in shipped.sections[INTERVALS].items() if name != "coverage"}
    assert "intervals.coverage is missing" in message(shipped.replace(sections={INTERVALS: section}))
