import math
from dataclasses import replace

import numpy as np
import pytest

from fetal_hc.errors import DatasetError
from hc18.uncertainty.calibration import (
    LabelledMeasurement,
    conformal_quantile,
    extend_to_unfamiliar,
    fit_interval_model,
    fit_shifted_intervals,
)
from hc18.uncertainty.validation import (
    attainable_sensitivity,
    report_validation,
    risk_coverage,
    validate_intervals,
    validate_shifted_intervals,
)
from tests.measured_errors import errors_of_known_spread, features_of


def test_conformal_quantile_counts_one_more_than_it_has():
    scores = np.arange(1.0, 10.0)  # 9 scores: ceil(10 x 0.9) = 9th
    assert conformal_quantile(scores, 0.9) == 9.0
    assert conformal_quantile(scores, 0.5) == 5.0
    assert conformal_quantile(scores, 0.99) == 9.0


def test_fit_finds_what_the_error_grows_with():
    model = fit_interval_model(errors_of_known_spread(2000))
    assert model.weights["log_hc"] == pytest.approx(1.0, abs=0.15)
    assert model.weights["entropy"] == pytest.approx(1.0, abs=0.15)
    assert model.weights["residual"] == pytest.approx(0.0, abs=0.2)
    # |error| of a normal distribution is 0.798 of its standard deviation on average
    typical = features_of(180.0)
    assert model.expected_error_mm(typical) == pytest.approx(0.798 * 1.8, rel=0.1)


def test_weights_are_never_negative():
    rng = np.random.default_rng(1)
    measured = [
        LabelledMeasurement(
            str(i), str(i), 200.0, features_of(200.0, float(r), 0.1), 200.0 + rng.normal(0, 3 / (1 + r))
        )
        for i, r in enumerate(rng.uniform(0, 5, 400))
    ]
    assert fit_interval_model(measured).weights["residual"] == 0.0


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_coverage_on_other_examinations_is_what_was_asked_for(coverage: float):
    report = report_validation(validate_intervals(errors_of_known_spread(1200), coverage=coverage))
    covered = {name: share for name, (_, share, _) in report.groups.items()}
    assert covered["all"] == pytest.approx(coverage, abs=0.025)
    assert all(abs(share - coverage) < 0.06 for share in covered.values())


def test_few_wild_errors_of_small_heads_do_not_widen_the_intervals_of_the_others():
    wild = [
        replace(item, reference_hc_mm=item.hc_mm + 20.0) if index % 16 == 0 and item.hc_mm < 140 else item
        for index, item in enumerate(errors_of_known_spread(2000))
    ]
    plain, stirred = fit_interval_model(errors_of_known_spread(2000)), fit_interval_model(wild)
    found = (model.assess(300.0, features_of(300.0)) for model in (plain, stirred))
    width_mm, stirred_mm = (item.high_mm - item.low_mm for item in found)
    assert stirred_mm == pytest.approx(width_mm, rel=0.1)


def test_width_follows_the_spread():
    validated = validate_intervals(errors_of_known_spread(600))
    widths = np.array([item.interval_mm[1] - item.interval_mm[0] for item in validated])
    sd_mm = np.array([0.01 * item.measured.hc_mm * np.exp(item.measured.features["entropy"]) for item in validated])
    assert np.corrcoef(np.log(widths), np.log(sd_mm))[0, 1] > 0.98


def test_review_marks_keep_to_their_budget_and_catch_more_than_chance():
    report = report_validation(validate_intervals(errors_of_known_spread(1200)))
    assert report.false_review == pytest.approx(0.12, abs=0.03)
    assert report.sensitivity > 0.5
    assert report.adf_kept_mm < report.adf_all_mm


def test_marks_catch_what_known_spreads_allow():
    report = report_validation(validate_intervals(errors_of_known_spread(3000)))
    assert report.sensitivity == pytest.approx(report.attainable, abs=0.06)
    assert attainable_sensitivity(np.full(1000, 2.0), budget=0.12) == pytest.approx(0.12, abs=0.002)
    assert attainable_sensitivity(np.repeat([500.0, 0.5], [100, 900]), budget=0.12) == pytest.approx(1.0, abs=0.01)


def test_a_case_is_judged_without_its_examination():
    measured = errors_of_known_spread(200)
    outlier = measured[0]
    wild = replace(outlier, reference_hc_mm=outlier.reference_hc_mm + 500.0)
    usual, changed = (validate_intervals([first, *measured[1:]])[:2] for first in (outlier, wild))
    assert usual[0].interval_mm == changed[0].interval_mm
    assert usual[1].interval_mm == changed[1].interval_mm  # same examination


def test_risk_coverage_starts_with_the_safest_and_ends_with_all():
    validated = validate_intervals(errors_of_known_spread(400))
    curve = risk_coverage(validated)
    assert curve[-1] == pytest.approx([1.0, np.mean([item.measured.error_mm for item in validated])])
    assert curve[len(curve) // 2, 1] < curve[-1, 1]


def test_no_large_error_leaves_the_sensitivity_open():
    measured = [
        LabelledMeasurement(str(i), str(i), hc_mm, features_of(hc_mm, 1.0, 0.1), hc_mm + i % 3)
        for i, hc_mm in enumerate(np.arange(100.0, 106.0, 0.1).tolist())
    ]
    assert math.isnan(report_validation(validate_intervals(measured)).sensitivity)


def test_too_few_images_are_refused():
    with pytest.raises(DatasetError, match="at least 40"):
        fit_interval_model(errors_of_known_spread(12))


def of_two_hospitals(n_home: int, n_away: int) -> tuple[list[LabelledMeasurement], list[LabelledMeasurement]]:
    """Errors of known spread, three times as large away; one image in twenty is taken for the other kind."""
    home, away = errors_of_known_spread(n_home), errors_of_known_spread(n_away, seed=5)
    rng = np.random.default_rng(3)

    def moved(item: LabelledMeasurement, kind: int, factor: float) -> LabelledMeasurement:
        seen = kind if rng.random() > 1.0 / 20.0 else 1 - kind
        features = {**item.features, "unfamiliarity": 0.1 + 0.8 * seen}
        error = factor * (item.reference_hc_mm - item.hc_mm)
        return replace(item, features=features, reference_hc_mm=item.hc_mm + error, group=f"{kind}{item.group}")

    return [moved(item, 0, 1.0) for item in home], [moved(item, 1, 3.0) for item in away]


def test_intervals_hold_at_home_and_away_although_some_images_are_taken_for_the_other_kind():
    home, away = of_two_hospitals(900, 400)
    validated = validate_shifted_intervals(home, away, 0.5)
    own, far = validated[: len(home)], validated[len(home) :]
    assert np.mean([item.is_covered for item in own]) == pytest.approx(0.9, abs=0.02)
    assert np.mean([item.is_covered for item in far]) == pytest.approx(0.9, abs=0.03)
    plain = validate_intervals(home)
    width = np.mean([item.interval_mm[1] - item.interval_mm[0] for item in own])
    assert width < 1.25 * np.mean([item.interval_mm[1] - item.interval_mm[0] for item in plain])


def test_extension_leaves_familiar_intervals_and_covers_the_others():
    home, away = of_two_hospitals(900, 400)
    plain = fit_interval_model(home)
    extended = extend_to_unfamiliar(plain, away, 0.5)
    familiar = features_of(200.0)
    assert extended.assess(200.0, familiar) == plain.assess(200.0, familiar)
    inside = [
        abs(item.reference_hc_mm - item.hc_mm)
        <= extended.factor(item.features) * extended.expected_error_mm(item.features)
        for item in away
    ]
    assert np.mean(inside) == pytest.approx(0.9, abs=0.01)


def test_two_factors_come_back_from_the_section():
    model = fit_shifted_intervals(*of_two_hospitals(300, 100), 0.5)
    assert model.unfamiliar_factor is not None
    assert type(model).from_section(model.to_section(), "m.zip") == model
    assert "unfamiliar_factor" not in fit_interval_model(errors_of_known_spread(100)).to_section()
