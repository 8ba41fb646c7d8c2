import math
from dataclasses import replace

import numpy as np
import pytest

from hc18.trust import Evidence
from hc18.trust_calibration import CalibrationCase, conformal_quantile, fit_trust_model, match_network
from hc18.trust_check import attainable_sensitivity, check_trust_model, report_trust, risk_coverage
from segdata.errors import DatasetError


def cases_with_known_spread(count: int, seed: int = 0) -> list[CalibrationCase]:
    """Heads whose error is normal with a standard deviation of 1 % of HC times the entropy over 0.05."""
    rng = np.random.default_rng(seed)
    cases = []
    for index in range(count):
        hc_mm, entropy = rng.uniform(60, 340), 0.05 * np.exp(rng.normal(0, 0.5))
        evidence = Evidence(hc_mm, rng.uniform(0.5, 2), rng.uniform(0, 0.4), entropy)
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
    typical = Evidence(180.0, 1.2, 0.2, 0.05)
    assert model.expected_error_mm(typical) == pytest.approx(0.798 * 1.8, rel=0.1)


def test_weights_are_never_negative():
    rng = np.random.default_rng(1)
    cases = [
        CalibrationCase(str(i), str(i), Evidence(200.0, float(r), 0.1, 0.05), 200.0 + rng.normal(0, 3 / (1 + r)))
        for i, r in enumerate(rng.uniform(0, 5, 400))
    ]
    assert fit_trust_model(cases).weights["residual"] == 0.0


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_coverage_on_other_examinations_is_what_was_asked_for(coverage: float):
    report = report_trust(check_trust_model(cases_with_known_spread(1200), coverage=coverage))
    covered = {name: share for name, (_, share, _) in report.groups.items()}
    assert covered["all"] == pytest.approx(coverage, abs=0.025)
    assert all(abs(share - coverage) < 0.06 for share in covered.values())


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


def test_another_networks_cases_are_judged_by_the_same_fits():
    cases = cases_with_known_spread(400)
    usual = check_trust_model(cases)
    again = check_trust_model(cases, judged=cases[:50])
    assert [item.interval_mm for item in again] == [item.interval_mm for item in usual[:50]]
    unknown = CalibrationCase("new", "new", cases[0].evidence, cases[0].reference_hc_mm)
    (alone,) = check_trust_model(cases, judged=[unknown])
    assert alone.expected_error_mm == pytest.approx(usual[0].expected_error_mm, rel=0.2)


def more_confident(case: CalibrationCase) -> CalibrationCase:
    """The same error, seen by a network whose masks are sharper throughout, the more so the worse the image."""
    evidence = replace(case.evidence, mask_entropy=0.7 * 0.05 * (case.evidence.mask_entropy / 0.05) ** 0.5)
    return replace(case, evidence=evidence)


def test_calibration_follows_a_network_that_is_more_confident_without_being_better():
    cases = cases_with_known_spread(1500)
    fitted, judged = cases[:1000], [more_confident(case) for case in cases[1000:]]
    unlabelled = [case.evidence for case in cases[1000:]]
    match = ([case.evidence for case in judged], unlabelled)
    plain, matched = (report_trust(check_trust_model(fitted, judged=judged, match=m)) for m in (None, match))
    assert plain.groups["all"][1] < 0.85
    assert matched.groups["all"][1] == pytest.approx(0.9, abs=0.03)
    assert matched.sensitivity > plain.sensitivity + 0.2
    model = fit_trust_model(fitted)
    same = match_network(model, unlabelled, unlabelled)
    assert same.weights == pytest.approx(model.weights)
    assert same.intercept == pytest.approx(model.intercept)
    with pytest.raises(DatasetError, match="12 images in both networks; at least 40"):
        match_network(model, unlabelled[:12], unlabelled)


def test_risk_coverage_starts_with_the_safest_and_ends_with_all():
    checked = check_trust_model(cases_with_known_spread(400))
    curve = risk_coverage(checked)
    assert curve[-1] == pytest.approx([1.0, np.mean([item.case.error_mm for item in checked])])
    assert curve[len(curve) // 2, 1] < curve[-1, 1]


def test_no_large_error_leaves_the_sensitivity_open():
    cases = [
        CalibrationCase(str(i), str(i), Evidence(100.0 + i / 10, 1, 0.1, 0.05), 100.0 + i / 10 + i % 3)
        for i in range(60)
    ]
    assert math.isnan(report_trust(check_trust_model(cases)).sensitivity)


def test_too_few_images_are_refused():
    with pytest.raises(DatasetError, match="at least 40"):
        fit_trust_model(cases_with_known_spread(12))
