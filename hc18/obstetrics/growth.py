"""Sizes that a fetal head can have, and its size for age: z-score and percentile of the circumference.

The age must not come from the head: a percentile at an age estimated from the same head circumference (HC) is always
near the 50th and says nothing. Callers pass an age from dates or a crown-rump length
(`hc18.obstetrics.gestational_age.IndependentAge`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import ndtr, ndtri

from hc18.obstetrics.gestational_age import DAYS_PER_WEEK, age_text
from hc18.obstetrics.growth_standards import INTERGROWTH_HC_2014, Standard

GROWTH_RANGE_DAYS = (98.0, 280.0)  # 14+0 to 40+0
PLAUSIBLE_HC_MM = (30.0, 420.0)  # HC18 has 44 to 346 mm
PLAUSIBLE_AXIS_RATIO = 0.5  # minor / major axis; HC18 and published heads have 0.66 to 0.93


@dataclass(frozen=True, slots=True)
class GrowthAssessment:
    """Where a head circumference lies among those of healthy fetuses of the same age; truthy when known.

    Attributes:
        z_score: standard deviations above the mean; None without a value.
        percentile: 0 to 100; None without a value.
        standard: the equation.
        reason: why there is no value; empty when there is one.
    """

    z_score: float | None
    percentile: float | None
    standard: Standard
    reason: str = ""

    def __bool__(self) -> bool:
        return self.z_score is not None


def intergrowth_hc(hc_mm: float, ga_days: float | None) -> GrowthAssessment:
    """z-score and percentile of an HC at 14+0 to 40+0 weeks.

    Args:
        hc_mm: circumference in mm, around the outside of the skull.
        ga_days: age in days on the day of the examination, from dates or a crown-rump length and never from this
            HC; None when there is none, which gives no percentile.
    """
    reason = _problem(hc_mm, ga_days)
    if reason or ga_days is None:
        return GrowthAssessment(None, None, INTERGROWTH_HC_2014, reason)
    z_score = (hc_mm - intergrowth_mean_mm(ga_days)) / intergrowth_sd_mm(ga_days)
    return GrowthAssessment(z_score, 100.0 * float(ndtr(z_score)), INTERGROWTH_HC_2014)


def intergrowth_mean_mm(ga_days: float) -> float:
    """Mean HC in mm at an age of 98 to 280 days.

    References: INTERGROWTH-21st 2014, -28.2849 + 1.69267 GA^2 - 0.397485 GA^2 ln(GA), GA in exact weeks.
    """
    weeks = ga_days / DAYS_PER_WEEK
    return -28.2849 + 1.69267 * weeks**2 - 0.397485 * weeks**2 * math.log(weeks)


def intergrowth_sd_mm(ga_days: float) -> float:
    """Standard deviation of the HC in mm at an age of 98 to 280 days.

    References: INTERGROWTH-21st 2014, 1.98735 + 0.0136772 GA^3 - 0.00726264 GA^3 ln(GA) + 0.000976253 GA^3 ln(GA)^2,
        GA in exact weeks.
    """
    weeks = ga_days / DAYS_PER_WEEK
    log_weeks = math.log(weeks)
    return 1.98735 + weeks**3 * (0.0136772 - 0.00726264 * log_weeks + 0.000976253 * log_weeks**2)


def intergrowth_percentile_mm(ga_days: float, percentile: float) -> float:
    """HC in mm of a percentile (0 < percentile < 100) at an age of 98 to 280 days."""
    return intergrowth_mean_mm(ga_days) + float(ndtri(percentile / 100.0)) * intergrowth_sd_mm(ga_days)


def percentile_text(percentile: float) -> str:
    """A percentile for readers: whole from 10 to 90, one decimal outside, where limits lie; "<0.1", ">99.9" beyond."""
    if percentile < 0.1:
        return "<0.1"
    if percentile > 99.9:
        return ">99.9"
    return f"{percentile:.0f}" if 10.0 <= percentile <= 90.0 else f"{percentile:.1f}"


def _problem(hc_mm: float, ga_days: float | None) -> str:
    """Why there is no percentile; empty when there is one."""
    if ga_days is None:
        return "A percentile needs an age from the last menstrual period, the due date or a crown-rump length."
    first, last = GROWTH_RANGE_DAYS
    if not first <= ga_days <= last:
        found = f"{age_text(ga_days)} weeks ({ga_days:g} days)" if math.isfinite(ga_days) else "not a number"
        return f"The age is {found}; {INTERGROWTH_HC_2014} covers {age_text(first)} to {age_text(last)} weeks."
    if not (math.isfinite(hc_mm) and hc_mm > 0.0):
        return "There is no head circumference in millimetres."
    return ""


def is_plausible_hc(hc_mm: float) -> bool:
    """Whether a fetal head can have this circumference in mm."""
    low_mm, high_mm = PLAUSIBLE_HC_MM
    return low_mm <= hc_mm <= high_mm


def is_too_flat(semi_axis_a: float, semi_axis_b: float) -> bool:
    """Whether an ellipse with these semi-axes, in any unit, is flatter than a fetal head can be."""
    return semi_axis_b < PLAUSIBLE_AXIS_RATIO * semi_axis_a
