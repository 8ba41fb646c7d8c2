import math

import numpy as np
import pytest

from hc18.evaluation.agreement import LIMITS_Z, ReviewedHc, limit_factor, score_agreement


def _cases(*differences_mm: float) -> list[ReviewedHc]:
    """Cases of 200 mm by the reviewer, the model off by the given differences."""
    return [
        ReviewedHc(f"Case {index}", 200.0 + difference, 200.0, difference != 0.0)
        for index, difference in enumerate(differences_mm)
    ]


def test_bias_and_limits_of_a_hand_computed_sample() -> None:
    agreement = score_agreement(_cases(-2.0, 0.0, 2.0, 4.0))
    sd = math.sqrt(20.0 / 3.0)
    assert agreement.limits.bias_mm is not None
    assert agreement.limits.upper_mm is not None
    assert agreement.limits.lower_mm is not None
    assert agreement.limits.bias_mm.value == pytest.approx(1.0)
    assert agreement.limits.sd_mm == pytest.approx(sd)
    assert agreement.limits.upper_mm.value == pytest.approx(1.0 + 1.959964 * sd, abs=1e-5)
    assert agreement.limits.lower_mm.value == pytest.approx(1.0 - 1.959964 * sd, abs=1e-5)


def test_interval_of_the_bias_is_students() -> None:
    agreement = score_agreement(_cases(-2.0, 0.0, 2.0, 4.0))
    half_width = 3.182446 * math.sqrt(20.0 / 3.0) / 2.0  # t(97.5 %, 3 degrees of freedom), a table's value
    assert agreement.limits.bias_mm is not None
    assert agreement.limits.bias_mm.low == pytest.approx(1.0 - half_width, abs=1e-5)
    assert agreement.limits.bias_mm.high == pytest.approx(1.0 + half_width, abs=1e-5)


@pytest.mark.parametrize(("n", "factor"), [(2, 26.260), (10, 2.911), (30, 2.220), (100, 1.927)])
def test_limit_factor_is_the_tabulated_one_sided_tolerance_factor(n: int, factor: float) -> None:
    # tables of one-sided normal tolerance factors: 95 % of the population with 95 % confidence, SD unknown
    assert limit_factor(0.95, n, z=1.6448536269514722) == pytest.approx(factor, abs=6e-4)


def test_intervals_of_the_limits_mirror_each_other() -> None:
    agreement = score_agreement(_cases(-3.0, -1.0, 1.0, 3.0))
    lower, upper = agreement.limits.lower_mm, agreement.limits.upper_mm
    assert lower is not None
    assert upper is not None
    assert lower.low == pytest.approx(-(upper.high or 0.0))
    assert lower.high == pytest.approx(-(upper.low or 0.0))
    assert (upper.low or 0.0) < upper.value < (upper.high or 0.0)


def test_limits_intervals_hold_the_true_limit_as_often_as_they_say() -> None:
    samples = np.random.default_rng(0).normal(0.3, 2.0, (2000, 12))
    near, far = limit_factor(0.025, 12), limit_factor(0.975, 12)
    means, sds = samples.mean(axis=1), samples.std(axis=1, ddof=1)
    true_limit = 0.3 + LIMITS_Z * 2.0
    covered = np.mean((means + near * sds <= true_limit) & (true_limit <= means + far * sds))
    assert covered == pytest.approx(0.95, abs=0.015)


def test_large_samples_keep_a_finite_interval() -> None:
    near, far = limit_factor(0.025, 10_000), limit_factor(0.975, 10_000)
    half_width = 1.96 * math.sqrt(1.0 / 10_000 + LIMITS_Z**2 / 2.0 / 9_999)  # Bland and Altman's approximation
    assert (far - near) / 2.0 == pytest.approx(half_width, rel=1e-3)


def test_everything_accepted_has_no_spread() -> None:
    agreement = score_agreement(_cases(0.0, 0.0, 0.0))
    assert agreement.limits.sd_mm == 0.0
    assert agreement.limits.upper_mm is not None
    assert (agreement.limits.upper_mm.low, agreement.limits.upper_mm.high) == (0.0, 0.0)
    assert agreement.worst_cases() == ()


def test_one_case_has_a_bias_but_no_spread() -> None:
    agreement = score_agreement(_cases(1.5))
    assert agreement.limits.bias_mm is not None
    assert (agreement.limits.bias_mm.value, agreement.limits.bias_mm.low) == (1.5, None)
    assert agreement.limits.sd_mm is None
    assert agreement.limits.upper_mm is None


def test_nothing_reviewed_is_unknown_not_zero() -> None:
    agreement = score_agreement([])
    assert (agreement.n, agreement.limits.bias_mm, agreement.correction_rate, agreement.rejection_rate) == (
        0,
        None,
        None,
        None,
    )


def test_rates_count_every_decision() -> None:
    drawn = ReviewedHc("no head found", None, 180.0, is_corrected=True)
    agreement = score_agreement([*_cases(0.0, 1.0), drawn], n_rejected=1)
    assert (agreement.n_accepted, agreement.n_corrected, agreement.n_rejected) == (1, 2, 1)
    assert (agreement.correction_rate, agreement.rejection_rate) == (0.5, 0.25)
    assert agreement.n == 2


def test_worst_cases_are_the_largest_either_way() -> None:
    agreement = score_agreement(_cases(1.0, -4.0, 0.0, 3.0))
    assert [case.difference_mm for case in agreement.worst_cases(2)] == [-4.0, 3.0]


def test_diagram_shows_the_difference_over_the_mean() -> None:
    (point,) = score_agreement([ReviewedHc("a", 204.0, 200.0, is_corrected=True)]).differences
    assert (point.mean_mm, point.difference_mm) == (202.0, 4.0)
