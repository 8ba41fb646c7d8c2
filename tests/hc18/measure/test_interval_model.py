import math
from dataclasses import replace

import pytest

from fetal_hc.errors import ModelError
from hc18.measure.interval_model import EXPECTED_ERROR_LIMITS_MM, FEATURES, IntervalModel, QualityFeatures, add_interval
from hc18.measure.measurement import Flag, HeadMeasurement, Status

GOOD = QualityFeatures(hc_mm=180.0, residual_percent=1.0, disagreement_percent=0.1, mask_entropy=0.05)
MODEL = IntervalModel(math.log(2.0), {"log_hc": 1.0, "entropy": 0.5}, 2.5, 0.9, 3.0, 160)


def test_expected_error_of_the_reference_head_is_the_intercept():
    assert MODEL.expected_error_mm(GOOD) == pytest.approx(2.0)


def test_interval_is_the_expected_error_times_the_factor_on_both_sides():
    found = MODEL.assess(GOOD)
    assert found.interval_mm == pytest.approx((175.0, 185.0))
    assert not found.needs_review


def test_larger_head_has_a_larger_expected_error_and_is_reviewed():
    large = QualityFeatures(300.0, 1.0, 0.1, 0.05)
    found = MODEL.assess(large)
    assert found.expected_error_mm == pytest.approx(2.0 * 300.0 / 180.0)
    assert found.needs_review


@pytest.mark.parametrize("name", FEATURES)
def test_every_feature_grows_with_worse_evidence(name: str):
    bad = QualityFeatures(hc_mm=300.0, residual_percent=6.0, disagreement_percent=3.0, mask_entropy=0.3)
    assert FEATURES[name](bad) > FEATURES[name](GOOD)


@pytest.mark.parametrize("entropy", [0.0, 1e9])
def test_expected_error_stays_within_its_limits(entropy: float):
    steep = IntervalModel(0.0, {"entropy": 10.0}, 2.0, 0.9, 3.0, 160)
    found = steep.assess(QualityFeatures(180.0, 1.0, 0.1, entropy))
    assert found.expected_error_mm in EXPECTED_ERROR_LIMITS_MM
    assert 0.0 <= found.interval_mm[0] < found.interval_mm[1] < math.inf


def test_json_gives_the_same_model_back():
    assert IntervalModel.from_json(MODEL.to_json()) == MODEL


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", MODEL.to_json().replace("log_hc", "horoscope"), MODEL.to_json().replace("2.5", "NaN")],
)
def test_other_text_is_refused(text: str):
    with pytest.raises(ModelError, match="trust model"):
        IntervalModel.from_json(text)


MEASURED = HeadMeasurement(
    Status.OK,
    hc_mm=180.0,
    score=0.99,
    residual_percent=1.0,
    disagreement_percent=0.1,
    mask_entropy=0.05,
    flags=(Flag.TOUCHES_BORDER,),
)


def test_measurement_gets_interval_and_expected_error():
    found = add_interval(MEASURED, MODEL)
    assert found.hc_interval_mm == pytest.approx((175.0, 185.0))
    assert found.expected_error_mm == pytest.approx(2.0)
    assert found.flags == (Flag.TOUCHES_BORDER,)


def test_large_expected_error_is_flagged_once():
    doubtful = add_interval(replace(MEASURED, mask_entropy=0.5), MODEL)
    assert doubtful.flags == (Flag.TOUCHES_BORDER, Flag.UNCERTAIN)
    assert add_interval(doubtful, MODEL).flags == doubtful.flags


def test_unchecked_fit_is_flagged_without_an_interval():
    found = add_interval(replace(MEASURED, disagreement_percent=None), MODEL)
    assert found.hc_interval_mm is None
    assert Flag.UNCERTAIN in found.flags


def test_without_model_or_millimetres_nothing_changes():
    no_mm = HeadMeasurement(Status.NO_PIXEL_SIZE, hc_px=500.0)
    assert add_interval(MEASURED, None) is MEASURED
    assert add_interval(no_mm, MODEL) is no_mm
