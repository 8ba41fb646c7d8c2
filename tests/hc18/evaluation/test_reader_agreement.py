"""Agreement of readers on pairs whose statistics are known."""

import math

import pytest

from hc18.evaluation.reader_agreement import ReadingPair, score_readers


def pair(first_mm: float, second_mm: float, case_id: int = 1, *, is_settled: bool = False) -> ReadingPair:
    return ReadingPair(case_id, f"Case {case_id}", "ann", "bob", first_mm, second_mm, is_settled)


def test_icc_of_the_analysis_of_variance() -> None:
    found = score_readers([pair(100.0, 102.0), pair(200.0, 198.0), pair(300.0, 304.0)])
    means = (101.0, 199.0, 302.0)
    grand = sum(means) / 3.0
    between = 2.0 * sum((mean - grand) ** 2 for mean in means) / 2.0
    within = (2.0**2 + 2.0**2 + 4.0**2) / 2.0 / 3.0
    assert found.icc is not None
    assert found.icc.value == pytest.approx((between - within) / (between + within))
    assert found.icc.low is not None
    assert found.icc.high is not None
    assert found.icc.low < found.icc.value < found.icc.high
    assert found.repeatability_mm == pytest.approx(1.96 * math.sqrt(2.0 * within), rel=1e-4)


def test_bias_is_first_minus_second() -> None:
    found = score_readers([pair(101.0, 100.0), pair(203.0, 200.0)])
    assert found.limits.bias_mm is not None
    assert found.limits.bias_mm.value == pytest.approx(2.0)
    assert found.limits.sd_mm == pytest.approx(math.sqrt(2.0))


def test_readers_who_agree_exactly_have_an_icc_of_1() -> None:
    found = score_readers([pair(100.0, 100.0), pair(200.0, 200.0)])
    assert found.icc is not None
    assert found.icc.value == 1.0
    assert found.repeatability_mm == 0.0


def test_large_unsettled_differences_come_first() -> None:
    pairs = [pair(100.0, 101.0, 1), pair(100.0, 110.0, 2), pair(100.0, 120.0, 3), pair(9.0, 99.0, 4, is_settled=True)]
    assert [found.case_id for found in score_readers(pairs).open_disagreements(3.0)] == [3, 2]


def test_nothing_read_twice_gives_nothing() -> None:
    found = score_readers([])
    assert (found.limits.bias_mm, found.icc, found.repeatability_mm) == (None, None, None)
