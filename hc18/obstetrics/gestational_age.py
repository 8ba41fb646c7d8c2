"""Gestational age: from a head circumference, or independently of it from dates or a crown-rump length.

Dating and growth equations are different regressions: neither is the inverse of the other, and nothing here maps an
age from a head circumference (HC) back to an HC. Where an equation gives no age, the reason is given instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from fetal_hc.errors import MeasurementError
from hc18.obstetrics.growth_standards import HADLOCK_1984, INTERGROWTH_CRL_2014, INTERGROWTH_DATING_2016, Standard

DAYS_PER_WEEK = 7
PREGNANCY_DAYS = 280  # due date minus first day of the last menstrual period
LONGEST_PREGNANCY_DAYS = 44 * DAYS_PER_WEEK  # a longer one means that a date is wrong
LATE_PREGNANCY_DAYS = 28 * DAYS_PER_WEEK  # above it, one head circumference no longer dates a pregnancy reliably
HC_RANGE_MM = (68.0, 360.0)  # of the published Hadlock table
INTERGROWTH_WINDOW_DAYS = (98, 181)  # 14+0 to 25+6
CRL_RANGE_MM = (15.0, 95.0)

# Largest HC in mm of each row of the table and its +/-2 SD in weeks; between two rows the wider one applies.
_HADLOCK_BANDS = ((144.0, 1.19), (219.0, 1.48), (280.0, 2.06), (325.0, 2.98), (360.0, 3.20))


class AgeSource(StrEnum):
    """Where an age that does not depend on the head circumference comes from."""

    LMP = "lmp"
    EDD = "edd"
    CRL = "crl"


AGE_SOURCE_NAMES = {
    AgeSource.LMP: "last menstrual period",
    AgeSource.EDD: "estimated due date",
    AgeSource.CRL: f"crown-rump length ({INTERGROWTH_CRL_2014.name})",
}


@dataclass(frozen=True, slots=True)
class GestationalAge:
    """An age estimated from a head circumference; truthy when there is one.

    Attributes:
        days: since the first day of the last menstrual period; None when the standard does not cover this HC.
        interval_days: lower and upper end of +/-2 SD in days; None where the standard publishes none that we use.
        standard: the equation.
        warnings: one sentence each, for the reader of the value.
        reason: why there is no value; empty when there is one.
    """

    days: float | None
    interval_days: tuple[float, float] | None
    standard: Standard
    warnings: tuple[str, ...] = ()
    reason: str = ""

    def __bool__(self) -> bool:
        return self.days is not None


@dataclass(frozen=True, slots=True)
class IndependentAge:
    """Gestational age at the examination that does not come from the head circumference. It contains no date.

    Attributes:
        days: since the first day of the last menstrual period, more than 0.
        source: where it comes from, in words: a value of `AGE_SOURCE_NAMES`, or a reviewer's own.
    """

    days: float
    source: str


def hadlock_1984(hc_mm: float) -> GestationalAge:
    """Age from the head circumference alone, with the published +/-2 SD; HC 68 to 360 mm.

    References: Hadlock 1984, GA_weeks = 8.96 + 0.540 HC + 0.0003 HC^3, HC in cm; variability by band of HC.
    """
    reason = _hc_problem(hc_mm)
    if reason:
        return GestationalAge(None, None, HADLOCK_1984, reason=reason)
    hc_cm = hc_mm / 10.0
    days = DAYS_PER_WEEK * (8.96 + 0.540 * hc_cm + 0.0003 * hc_cm**3)
    spread = DAYS_PER_WEEK * next(weeks for largest_mm, weeks in _HADLOCK_BANDS if hc_mm <= largest_mm)
    return GestationalAge(days, (days - spread, days + spread), HADLOCK_1984, _late_pregnancy_warning(days))


def intergrowth_dating(hc_mm: float) -> GestationalAge:
    """Age from the head circumference alone, without an interval; recommended from 14+0 to 25+6 weeks.

    References: INTERGROWTH-21st 2016, GA_days = exp(0.05970 ln(HC)^2 + 6.409e-9 HC^3 + 3.3258), HC in mm.
    """
    reason = _hc_problem(hc_mm)
    if reason:
        return GestationalAge(None, None, INTERGROWTH_DATING_2016, reason=reason)
    days = math.exp(0.05970 * math.log(hc_mm) ** 2 + 6.409e-9 * hc_mm**3 + 3.3258)
    first, last = INTERGROWTH_WINDOW_DAYS
    warnings = _late_pregnancy_warning(days)
    if not first <= days < last + 1:
        window = f"{age_text(first)} to {age_text(last)} weeks"
        warnings = (f"Outside the window recommended for dating by this standard ({window}).", *warnings)
    return GestationalAge(days, None, INTERGROWTH_DATING_2016, warnings)


def gestational_ages(hc_mm: float) -> tuple[GestationalAge, ...]:
    """Age from the head circumference by every standard on offer, the default first."""
    return hadlock_1984(hc_mm), intergrowth_dating(hc_mm)


def age_from_lmp(lmp: date, examination: date) -> IndependentAge:
    """Age on the day of the examination, from the first day of the last menstrual period.

    Raises:
        MeasurementError: if the dates give an impossible age.
    """
    return _checked((examination - lmp).days, AgeSource.LMP)


def age_from_due_date(due: date, examination: date) -> IndependentAge:
    """Age on the day of the examination, from the estimated due date (40+0 weeks).

    Raises:
        MeasurementError: if the dates give an impossible age.
    """
    return _checked(PREGNANCY_DAYS - (due - examination).days, AgeSource.EDD)


def age_from_crl(crl_mm: float, crl_examination: date, examination: date) -> IndependentAge:
    """Age on the day of the examination, from a crown-rump length of 15 to 95 mm measured on or before that day.

    Raises:
        MeasurementError: if the length is outside that range, or the dates give an impossible age.

    References: INTERGROWTH-21st 2014, GA_days = 40.9041 + 3.21585 sqrt(CRL) + 0.348956 CRL, CRL in mm.
    """
    low, high = CRL_RANGE_MM
    if not low <= crl_mm <= high:  # NaN included
        raise MeasurementError(
            f"The crown-rump length is {crl_mm:g} mm; {INTERGROWTH_CRL_2014} covers {low:g} to {high:g} mm."
        )
    elapsed = (examination - crl_examination).days
    if elapsed < 0:
        raise MeasurementError("The crown-rump length was measured after this examination; check the two dates.")
    days_at_crl = 40.9041 + 3.21585 * math.sqrt(crl_mm) + 0.348956 * crl_mm
    return _checked(round(days_at_crl) + elapsed, AgeSource.CRL)


def age_text(days: float) -> str:
    """Completed weeks and days such as "20+3", to the nearest day."""
    weeks, rest = divmod(round(days), DAYS_PER_WEEK)
    return f"{weeks}+{rest}"


def _hc_problem(hc_mm: float) -> str:
    """Why no standard dates this HC; empty when they do."""
    low, high = HC_RANGE_MM
    if low <= hc_mm <= high:
        return ""
    found = f"{hc_mm:.1f} mm" if math.isfinite(hc_mm) else "not a number"
    return f"The head circumference is {found}; ages are published for {low:g} to {high:g} mm."


def _late_pregnancy_warning(days: float) -> tuple[str, ...]:
    if days <= LATE_PREGNANCY_DAYS:
        return ()
    return ("Late pregnancy: an age from the head circumference alone is unreliable after 28 weeks.",)


def _checked(days: int, source: AgeSource) -> IndependentAge:
    """The age, unless the dates contradict each other.

    Raises:
        MeasurementError: if they do.
    """
    if 0 < days <= LONGEST_PREGNANCY_DAYS:
        return IndependentAge(float(days), AGE_SOURCE_NAMES[source])
    found = f"{age_text(days)} weeks" if days > 0 else f"{days} days"
    longest = age_text(LONGEST_PREGNANCY_DAYS)
    raise MeasurementError(f"These dates give an age of {found}; expected up to {longest} weeks; check them.")
