"""Golden values: the published equations, Hadlock's against a printed vendor table as well."""

import math
from dataclasses import fields
from datetime import date, timedelta

import pytest

from fetal_hc.errors import MeasurementError
from hc18.obstetrics.gestational_age import (
    IndependentAge,
    age_from_crl,
    age_from_due_date,
    age_from_lmp,
    age_text,
    gestational_ages,
    hadlock_1984,
    intergrowth_dating,
)

EXAMINATION = date(2024, 3, 1)  # after a leap day

# HC in mm, Hadlock 1984 in weeks, INTERGROWTH-21st in days
GOLDEN_AGES = [
    (80.0, 13.4336, 87.834),
    (100.0, 14.6600, 99.316),
    (150.0, 18.0725, 127.267),
    (175.0, 20.0178, 141.549),
    (200.0, 22.1600, 156.488),
    (250.0, 27.1475, 189.803),
    (300.0, 33.2600, 230.689),
    (340.0, 39.1112, 272.082),
]


@pytest.mark.parametrize(("hc_mm", "weeks", "_days"), GOLDEN_AGES)
def test_hadlock_gives_the_golden_ages(hc_mm: float, weeks: float, _days: float) -> None:
    age = hadlock_1984(hc_mm)
    assert age.days == pytest.approx(7 * weeks, abs=7 * 5.1e-5)


@pytest.mark.parametrize(("hc_mm", "_weeks", "days"), GOLDEN_AGES)
def test_intergrowth_gives_the_golden_ages(hc_mm: float, _weeks: float, days: float) -> None:
    age = intergrowth_dating(hc_mm)
    assert age.days == pytest.approx(days, abs=5.1e-4)
    assert age.interval_days is None


@pytest.mark.parametrize(
    ("hc_mm", "spread_weeks"),
    [
        (68.0, 1.19),
        (144.0, 1.19),
        (144.1, 1.48),  # between two rows of the table: the wider one
        (151.0, 1.48),
        (219.0, 1.48),
        (221.0, 2.06),
        (280.0, 2.06),
        (282.0, 2.98),
        (325.0, 2.98),
        (326.0, 3.20),
        (360.0, 3.20),
    ],
)
def test_hadlock_interval_is_two_sd_of_the_wider_row(hc_mm: float, spread_weeks: float) -> None:
    age = hadlock_1984(hc_mm)
    assert age.days is not None
    assert age.interval_days == pytest.approx((age.days - 7 * spread_weeks, age.days + 7 * spread_weeks))


@pytest.mark.parametrize("hc_mm", [67.9, 360.1, 0.0, -175.0, math.nan, math.inf])
def test_hc_outside_the_published_range_is_refused_and_no_age(hc_mm: float) -> None:
    for age in gestational_ages(hc_mm):
        assert not age
        assert age.days is None
        assert age.interval_days is None
        assert "published for 68 to 360 mm" in age.reason


def test_late_pregnancy_is_called_unreliable() -> None:
    assert any("unreliable" in warning for warning in hadlock_1984(300.0).warnings)
    assert hadlock_1984(250.0).warnings == ()


@pytest.mark.parametrize(("hc_mm", "is_outside"), [(80.0, True), (120.0, False), (235.0, False), (250.0, True)])
def test_intergrowth_warns_outside_its_window(hc_mm: float, is_outside: bool) -> None:
    warnings = intergrowth_dating(hc_mm).warnings
    assert any("14+0 to 25+6" in warning for warning in warnings) == is_outside


def test_each_age_names_its_standard() -> None:
    hadlock, intergrowth = gestational_ages(175.0)
    assert (str(hadlock.standard), str(intergrowth.standard)) == ("Hadlock 1984", "INTERGROWTH-21st dating 2016")
    assert "Radiology 1984" in hadlock.standard.citation
    assert "uog.15894" in intergrowth.standard.citation


def test_lmp_and_due_date_of_one_pregnancy_agree() -> None:
    lmp = EXAMINATION - timedelta(days=143)
    from_lmp = age_from_lmp(lmp, EXAMINATION)
    from_due_date = age_from_due_date(lmp + timedelta(days=280), EXAMINATION)
    assert from_lmp.days == from_due_date.days == 143
    assert (from_lmp.source, from_due_date.source) == ("last menstrual period", "estimated due date")


@pytest.mark.parametrize(("crl_mm", "days_at_crl"), [(15.0, 59), (50.0, 81), (84.0, 100), (95.0, 105)])
def test_crl_age_counts_the_days_since_the_crl(crl_mm: float, days_at_crl: int) -> None:
    assert age_from_crl(crl_mm, EXAMINATION, EXAMINATION).days == days_at_crl
    assert age_from_crl(crl_mm, EXAMINATION - timedelta(days=60), EXAMINATION).days == days_at_crl + 60


@pytest.mark.parametrize("crl_mm", [14.9, 95.1, math.nan, -50.0])
def test_crl_outside_its_range_is_refused(crl_mm: float) -> None:
    with pytest.raises(MeasurementError, match="15 to 95 mm"):
        age_from_crl(crl_mm, EXAMINATION, EXAMINATION)


def test_crl_after_the_examination_is_refused() -> None:
    with pytest.raises(MeasurementError, match="after this examination"):
        age_from_crl(50.0, EXAMINATION + timedelta(days=1), EXAMINATION)


@pytest.mark.parametrize("days_ago", [-1, 0, 44 * 7 + 1, 4000])
def test_impossible_dates_are_refused(days_ago: int) -> None:
    with pytest.raises(MeasurementError, match=r"expected up to 44\+0 weeks; check them"):
        age_from_lmp(EXAMINATION - timedelta(days=days_ago), EXAMINATION)


def test_an_independent_age_contains_no_date() -> None:
    assert {field.name for field in fields(IndependentAge)} == {"days", "source"}
    with pytest.raises(MeasurementError) as caught:
        age_from_due_date(EXAMINATION - timedelta(days=500), EXAMINATION)
    assert "202" not in str(caught.value)


@pytest.mark.parametrize(("days", "text"), [(140.0, "20+0"), (146.4, "20+6"), (146.6, "21+0"), (0.0, "0+0")])
def test_age_text_is_completed_weeks_and_days(days: float, text: str) -> None:
    assert age_text(days) == text
