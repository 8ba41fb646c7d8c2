import math

import pytest

from fetal_hc.errors import ModelError
from hc18.measurement.interval_model import EXPECTED_ERROR_LIMITS_MM, FEATURES, IntervalModel, find_features
from hc18.measurement.outline import Quality
from tests.measured_errors import features_of

GOOD = features_of(180.0, 1.0, 0.1, 0.05)
MODEL = IntervalModel(math.log(2.0), {"log_hc": 1.0, "entropy": 0.5}, 2.5, 0.9, 3.0, 160)


def test_expected_error_of_the_reference_head_is_the_intercept():
    assert MODEL.expected_error_mm(GOOD) == pytest.approx(2.0)


def test_interval_is_the_expected_error_times_the_factor_on_both_sides():
    found = MODEL.assess(180.0, GOOD)
    assert (found.low_mm, found.high_mm, found.coverage) == (pytest.approx(175.0), pytest.approx(185.0), 0.9)
    assert not MODEL.needs_review(found)


def test_larger_head_has_a_larger_expected_error_and_is_reviewed():
    found = MODEL.assess(300.0, features_of(300.0, 1.0, 0.1))
    assert found.expected_error_mm == pytest.approx(2.0 * 300.0 / 180.0)
    assert MODEL.needs_review(found)


@pytest.mark.parametrize("name", FEATURES)
def test_every_feature_grows_with_worse_evidence(name: str):
    assert features_of(300.0, 6.0, 3.0, 0.3, 0.9)[name] > GOOD[name]


@pytest.mark.parametrize("entropy", [0.0, 1e9])
def test_expected_error_stays_within_its_limits(entropy: float):
    steep = IntervalModel(0.0, {"entropy": 10.0}, 2.0, 0.9, 3.0, 160)
    found = steep.assess(180.0, features_of(180.0, mask_entropy=entropy))
    assert found.expected_error_mm in EXPECTED_ERROR_LIMITS_MM
    assert 0.0 <= found.low_mm < found.high_mm < math.inf


def test_section_gives_the_same_model_back():
    assert IntervalModel.from_section(MODEL.to_section(), "m.zip") == MODEL


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coverage": None}, r"intervals\.coverage is missing"),
        ({"colour": 1}, r"intervals\.colour is unknown"),
        ({"weights": {"horoscope": 1.0}}, "unknown features .'horoscope'."),
        ({"interval_factor": math.nan}, "not finite"),
        ({"weights": 3}, "no attribute 'items'"),
        ({"coverage": 1.5}, r"coverage is 1\.5"),
    ],
)
def test_section_that_does_not_fit_names_file_and_field(changes: dict[str, object], message: str):
    section = {name: value for name, value in {**MODEL.to_section(), **changes}.items() if value is not None}
    with pytest.raises(ModelError, match=rf"m\.zip: model\.json.*(\n.*)?{message}"):
        IntervalModel.from_section(section, "m.zip")


def test_features_need_the_figures_that_they_follow_from():
    lacking = Quality(1.0, None, 0.05)
    assert find_features(180.0, lacking) is None
    assert find_features(180.0, lacking, MODEL.weights) == {name: GOOD[name] for name in MODEL.weights}
