import math

import pytest

from fetal_hc.errors import ModelError
from hc18.measure.interval_model import EXPECTED_ERROR_LIMITS_MM, FEATURES, IntervalModel, QualityFeatures
from hc18.measure.outline import Quality

GOOD = QualityFeatures(hc_mm=180.0, residual_percent=1.0, disagreement_percent=0.1, mask_entropy=0.05)
MODEL = IntervalModel(math.log(2.0), {"log_hc": 1.0, "entropy": 0.5}, 2.5, 0.9, 3.0, 160)


def test_expected_error_of_the_reference_head_is_the_intercept():
    assert MODEL.expected_error_mm(GOOD) == pytest.approx(2.0)


def test_interval_is_the_expected_error_times_the_factor_on_both_sides():
    found = MODEL.assess(GOOD)
    assert (found.low_mm, found.high_mm, found.coverage) == (pytest.approx(175.0), pytest.approx(185.0), 0.9)
    assert not MODEL.needs_review(found)


def test_larger_head_has_a_larger_expected_error_and_is_reviewed():
    large = QualityFeatures(300.0, 1.0, 0.1, 0.05)
    found = MODEL.assess(large)
    assert found.expected_error_mm == pytest.approx(2.0 * 300.0 / 180.0)
    assert MODEL.needs_review(found)


@pytest.mark.parametrize("name", FEATURES)
def test_every_feature_grows_with_worse_evidence(name: str):
    bad = QualityFeatures(hc_mm=300.0, residual_percent=6.0, disagreement_percent=3.0, mask_entropy=0.3)
    assert FEATURES[name](bad) > FEATURES[name](GOOD)


@pytest.mark.parametrize("entropy", [0.0, 1e9])
def test_expected_error_stays_within_its_limits(entropy: float):
    steep = IntervalModel(0.0, {"entropy": 10.0}, 2.0, 0.9, 3.0, 160)
    found = steep.assess(QualityFeatures(180.0, 1.0, 0.1, entropy))
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


def test_features_need_millimetres_and_comparable_fits():
    assert QualityFeatures.from_quality(180.0, Quality(1.0, 0.1, 0.05)) == GOOD
    assert QualityFeatures.from_quality(None, Quality(1.0, 0.1, 0.05)) is None
    assert QualityFeatures.from_quality(180.0, Quality(1.0, None, 0.05)) is None
