import math
from dataclasses import replace

import numpy as np
import pytest

from fetal_hc.errors import DatasetError
from hc18.measure.interval_model import QualityFeatures
from hc18.uncertainty.calibration import (
    CalibrationCase,
    conformal_quantile,
    fit_longer_training,
    fit_trust_model,
    match_network,
)
from hc18.uncertainty.validation import (
    attainable_sensitivity,
    check_longer_training,
    check_trust_model,
    report_trust,
    risk_coverage,
)


def cases_with_known_spread(count: int, seed: int = 0) -> list[CalibrationCase]:
    """Heads whose error is normal with a standard deviation of 1 % of HC times the entropy over 0.05."""
    rng = np.random.default_rng(seed)
    cases = []
    for index in range(count):
        hc_mm, entropy = rng.uniform(60, 340), 0.05 * np.exp(rng.normal(0, 0.5))
        evidence = QualityFeatures(hc_mm, rng.uniform(0.5, 2), rng.uniform(0, 0.4), entropy)
        reference = hc_mm + rng.normal(0, 0.01 * hc_mm * entropy / 0.05)
        cases.append(CalibrationCase(f"{index:03d}_HC.png", f"{index // 2:03d}", evidence, reference))
    return cases


def test_conformal_quantile_counts_one_more_than_it_has():
    scores = np.arange(1.0, 10.0)  # 9 scores: ceil(10 x 0.9) = 9th
    assert conformal_quantile(scores, 0.9) == 9.0
    assert conformal_quantile(scores, 0.5) == 5.0
    assert conformal_quantile(scores, 0.99) == 9.0


def test_fit_finds_what_the_error_grows_with():
    model = fit_trust_model(cases_with_known_spread(2000))
    assert model.weights["log_hc"] == pytest.approx(1.0, abs=0.15)
    assert model.weights["entropy"] == pytest.approx(1.0, abs=0.15)
    assert model.weights["residual"] == pytest.approx(0.0, abs=0.2)
    # |error| of a normal distribution is 0.798 of its standard deviation on average
    typical = QualityFeatures(180.0, 1.2, 0.2, 0.05)
    assert model.expected_error_mm(typical) == pytest.approx(0.798 * 1.8, rel=0.1)


def test_weights_are_never_negative():
    rng = np.random.default_rng(1)
    cases = [
        CalibrationCase(str(i), str(i), QualityFeatures(200.0, float(r), 0.1, 0.05), 200.0 + rng.normal(0, 3 / (1 + r)))
        for i, r in enumerate(rng.uniform(0, 5, 400))
    ]
    assert fit_trust_model(cases).weights["residual"] == 0.0


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_coverage_on_other_examinations_is_what_was_asked_for(coverage: float):
    report = report_trust(check_trust_model(cases_with_known_spread(1200), coverage=coverage))
    covered = {name: share for name, (_, share, _) in report.groups.items()}
    assert covered["all"] == pytest.approx(coverage, abs=0.025)
    assert all(abs(share - coverage) < 0.06 for share in covered.values())


def test_few_wild_errors_of_small_heads_do_not_widen_the_intervals_of_the_others():
    wild = [
        replace(case, reference_hc_mm=case.evidence.hc_mm + 20.0)
        if index % 16 == 0 and case.evidence.hc_mm < 140
        else case
        for index, case in enumerate(cases_with_known_spread(2000))
    ]
    plain, stirred = fit_trust_model(cases_with_known_spread(2000)), fit_trust_model(wild)
    large = QualityFeatures(300.0, 1.2, 0.2, 0.05)
    width_mm, stirred_mm = (item.high_mm - item.low_mm for item in (plain.assess(large), stirred.assess(large)))
    assert stirred_mm == pytest.approx(width_mm, rel=0.1)


def test_width_follows_the_spread():
    checked = check_trust_model(cases_with_known_spread(600))
    widths = np.array([item.interval_mm[1] - item.interval_mm[0] for item in checked])
    sd_mm = np.array([0.01 * item.case.evidence.hc_mm * item.case.evidence.mask_entropy / 0.05 for item in checked])
    assert np.corrcoef(np.log(widths), np.log(sd_mm))[0, 1] > 0.98


def test_review_marks_keep_to_their_budget_and_catch_more_than_chance():
    report = report_trust(check_trust_model(cases_with_known_spread(1200)))
    assert report.false_review == pytest.approx(0.12, abs=0.03)
    assert report.sensitivity > 0.5
    assert report.adf_kept_mm < report.adf_all_mm


def test_marks_catch_what_known_spreads_allow():
    report = report_trust(check_trust_model(cases_with_known_spread(3000)))
    assert report.sensitivity == pytest.approx(report.attainable, abs=0.06)
    assert attainable_sensitivity(np.full(1000, 2.0), budget=0.12) == pytest.approx(0.12, abs=0.002)
    assert attainable_sensitivity(np.repeat([500.0, 0.5], [100, 900]), budget=0.12) == pytest.approx(1.0, abs=0.01)


def test_a_case_is_judged_without_its_examination():
    cases = cases_with_known_spread(200)
    outlier = cases[0]
    wild = CalibrationCase(outlier.filename, outlier.group, outlier.evidence, outlier.reference_hc_mm + 500.0)
    usual, changed = (check_trust_model([first, *cases[1:]])[:2] for first in (outlier, wild))
    assert usual[0].interval_mm == changed[0].interval_mm
    assert usual[1].interval_mm == changed[1].interval_mm  # same examination


def more_confident(case: CalibrationCase) -> CalibrationCase:
    """The same error, seen by a network whose masks are sharper, above all in bad images."""
    evidence = replace(case.evidence, mask_entropy=0.7 * 0.05 * (case.evidence.mask_entropy / 0.05) ** 0.5)
    return replace(case, evidence=evidence)


def test_calibration_is_matched_to_a_network_that_is_surer_without_being_better():
    cases = cases_with_known_spread(1500)
    sure = [more_confident(case) for case in cases]
    model = fit_trust_model(cases)
    matched = match_network(model, [case.evidence for case in sure], [case.evidence for case in cases])
    for case, sure_case in zip(cases[:50], sure[:50], strict=True):
        assert matched.expected_error_mm(sure_case.evidence) == pytest.approx(
            model.expected_error_mm(case.evidence), rel=0.01
        )
    with pytest.raises(DatasetError, match="12 images in both networks; at least 40"):
        match_network(model, [case.evidence for case in cases[:12]], [case.evidence for case in cases])


def test_longer_training_with_few_images_of_its_own_is_covered():
    cases = cases_with_known_spread(1600)
    better = [
        replace(case, reference_hc_mm=case.evidence.hc_mm + 0.7 * (case.reference_hc_mm - case.evidence.hc_mm))
        for case in map(more_confident, cases)
    ]
    unlabelled = ([case.evidence for case in better[:200]], [case.evidence for case in cases[:200]])
    checked = check_longer_training(cases[200:1200], better[1200:], *unlabelled)
    report = report_trust(checked)
    assert report.groups["all"][1] == pytest.approx(0.9, abs=0.03)
    assert report.false_review == pytest.approx(0.12, abs=0.05)
    expected_mm = np.mean([item.expected_error_mm for item in checked])
    assert expected_mm == pytest.approx(np.mean([item.case.error_mm for item in checked]), rel=0.05)
    # What the fit to the shorter trainings alone would say of it.
    alone = fit_trust_model(cases[200:1200])
    assert expected_mm > 1.2 * np.mean([alone.expected_error_mm(case.evidence) for case in better[1200:]])


def test_longer_training_needs_some_images_of_its_own():
    cases = cases_with_known_spread(100)
    evidence = [case.evidence for case in cases]
    with pytest.raises(DatasetError, match="12 measured images"):
        fit_longer_training(cases, cases[:12], evidence, evidence)


def test_risk_coverage_starts_with_the_safest_and_ends_with_all():
    checked = check_trust_model(cases_with_known_spread(400))
    curve = risk_coverage(checked)
    assert curve[-1] == pytest.approx([1.0, np.mean([item.case.error_mm for item in checked])])
    assert curve[len(curve) // 2, 1] < curve[-1, 1]


def test_no_large_error_leaves_the_sensitivity_open():
    cases = [
        CalibrationCase(str(i), str(i), QualityFeatures(100.0 + i / 10, 1, 0.1, 0.05), 100.0 + i / 10 + i % 3)
        for i in range(60)
    ]
    assert math.isnan(report_trust(check_trust_model(cases)).sensitivity)


def test_too_few_images_are_refused():
    with pytest.raises(DatasetError, match="at least 40"):
        fit_trust_model(cases_with_known_spread(12))
