"""Golden table of the INTERGROWTH-21st head circumference for age, computed from the published equations."""

import math

import numpy as np
import pytest

from hc18.obstetrics.gestational_age import intergrowth_dating
from hc18.obstetrics.growth import (
    intergrowth_hc,
    intergrowth_mean_mm,
    intergrowth_percentile_mm,
    intergrowth_sd_mm,
    percentile_text,
)

# weeks, mean, SD, 3rd, 10th, 90th, 97th, in mm
GOLDEN_GROWTH = [
    (14, 97.88, 5.5817, 87.38, 90.72, 105.03, 108.38),
    (16, 122.91, 6.2701, 111.12, 114.88, 130.95, 134.70),
    (18, 147.90, 6.8940, 134.94, 139.07, 156.74, 160.87),
    (20, 172.48, 7.4399, 158.49, 162.94, 182.01, 186.47),
    (22, 196.30, 7.9047, 181.44, 186.17, 206.43, 211.17),
    (24, 219.07, 8.2955, 203.47, 208.44, 229.70, 234.68),
    (26, 240.51, 8.6299, 224.28, 229.45, 251.57, 256.74),
    (28, 260.36, 8.9353, 243.55, 248.91, 271.81, 277.16),
    (30, 278.39, 9.2493, 260.99, 266.53, 290.24, 295.78),
    (32, 294.37, 9.6190, 276.28, 282.04, 306.70, 312.46),
    (34, 308.10, 10.1010, 289.11, 295.16, 321.05, 327.10),
    (36, 319.40, 10.7610, 299.16, 305.61, 333.19, 339.64),
    (38, 328.07, 11.6741, 306.11, 313.11, 343.03, 350.03),
    (40, 333.95, 12.9239, 309.64, 317.39, 350.51, 358.26),
]


@pytest.mark.parametrize(("weeks", "mean", "sd", "p3", "p10", "p90", "p97"), GOLDEN_GROWTH)
def test_growth_curves_give_the_golden_table(
    weeks: int, mean: float, sd: float, p3: float, p10: float, p90: float, p97: float
) -> None:
    days = 7.0 * weeks
    assert intergrowth_mean_mm(days) == pytest.approx(mean, abs=0.01)
    assert intergrowth_sd_mm(days) == pytest.approx(sd, abs=1e-4)
    found = [intergrowth_percentile_mm(days, percentile) for percentile in (3, 10, 50, 90, 97)]
    assert found == pytest.approx([p3, p10, mean, p90, p97], abs=0.01)


@pytest.mark.parametrize(
    ("weeks", "mean", "sd"),
    [
        (20, 172.4796428985568, 7.439921658340523),
        (28, 260.3593531740389, 8.93533923121322),
        (40, 333.9483002904353, 12.923860125561987),
    ],
)
def test_growth_curves_give_the_anchors_in_full_precision(weeks: int, mean: float, sd: float) -> None:
    assert intergrowth_mean_mm(7.0 * weeks) == pytest.approx(mean, rel=1e-13)
    assert intergrowth_sd_mm(7.0 * weeks) == pytest.approx(sd, rel=1e-13)


def test_z_score_and_percentile_of_the_anchor() -> None:
    growth = intergrowth_hc(175.0, 140.0)
    assert growth
    assert growth.z_score == pytest.approx(0.338761, abs=5e-7)
    assert growth.percentile == pytest.approx(63.2605, abs=5e-5)
    assert str(growth.standard) == "INTERGROWTH-21st fetal HC 2014"


def test_mean_grows_from_14_to_40_weeks() -> None:
    means = [intergrowth_mean_mm(days) for days in np.arange(98.0, 280.1, 0.7)]
    assert np.all(np.diff(means) > 0.0)


@pytest.mark.parametrize("ga_days", [98.0, 280.0])
def test_both_ends_of_the_range_are_valid(ga_days: float) -> None:
    assert intergrowth_hc(200.0, ga_days).z_score is not None


@pytest.mark.parametrize("ga_days", [97.0, 281.0, 0.0, -140.0, math.nan, math.inf])
def test_age_outside_the_range_gives_a_reason_and_no_percentile(ga_days: float) -> None:
    growth = intergrowth_hc(175.0, ga_days)
    assert not growth
    assert (growth.z_score, growth.percentile) == (None, None)
    assert "14+0 to 40+0" in growth.reason


def test_no_age_gives_no_percentile() -> None:
    growth = intergrowth_hc(175.0, None)
    assert growth.percentile is None
    assert "last menstrual period" in growth.reason


@pytest.mark.parametrize("hc_mm", [math.nan, math.inf, 0.0, -1.0])
def test_no_circumference_gives_no_percentile(hc_mm: float) -> None:
    growth = intergrowth_hc(hc_mm, 140.0)
    assert growth.percentile is None
    assert "millimetres" in growth.reason


def test_dating_is_not_the_inverse_of_the_growth_curve() -> None:
    term_median_mm = intergrowth_mean_mm(280.0)
    days = intergrowth_dating(term_median_mm).days
    assert days == pytest.approx(37.9 * 7, abs=0.5)


@pytest.mark.parametrize(
    ("percentile", "text"),
    [(50.4, "50"), (10.0, "10"), (9.68, "9.7"), (90.4, "90.4"), (2.34, "2.3"), (0.05, "<0.1"), (99.97, ">99.9")],
)
def test_percentile_text_is_finer_where_limits_lie(percentile: float, text: str) -> None:
    assert percentile_text(percentile) == text
