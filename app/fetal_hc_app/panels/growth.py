"""The independent age and the growth chart."""

from __future__ import annotations

from datetime import date

import streamlit as st

from fetal_hc.errors import MeasurementError
from fetal_hc_app import case_session, wording
from fetal_hc_app.drafts import Draft
from fetal_hc_app.texts import text
from hc18.obstetrics.gestational_age import (
    CRL_RANGE_MM,
    AgeSource,
    IndependentAge,
    age_from_crl,
    age_from_due_date,
    age_from_lmp,
    age_text,
)
from hc18.reviews.models import ReviewCase

_EARLIEST, _LATEST = date(1990, 1, 1), date(2100, 1, 1)
_CHART_INCH = (6.2, 3.5)
_SOURCES = {AgeSource.LMP: "Last period", AgeSource.EDD: "Due date", AgeSource.CRL: "Crown-rump length"}


def growth_panel(case: ReviewCase, draft: Draft, hc_mm: float | None, *, is_locked: bool) -> None:
    """The growth chart with the measurement on it, and the fields for an age from elsewhere."""
    left, right = st.columns([3, 2], gap="medium")
    age = case.state.age
    with left:
        st.image(chart_png(None if hc_mm is None else round(hc_mm, 1), None if age is None else age.days))
    with right:
        if age is not None:
            st.markdown(
                text(
                    "**Independent age: {age} weeks**, from {source}",
                    age=age_text(age.days),
                    source=wording.plain(age.source),
                )
            )
        st.caption(
            text(
                "A percentile compares the head with others of the same age, so the age must not come from the head "
                "itself. Dates stay in this page; only the age in days is stored."
            )
        )
        _age_form(case, draft, is_locked=is_locked)


@st.cache_data(max_entries=256, show_spinner=False)
def chart_png(hc_mm: float | None, ga_days: float | None) -> bytes:
    """The growth chart as PNG; without an age the curves alone."""
    from hc18.reports.charts import growth_chart, to_png

    return to_png(growth_chart(hc_mm, ga_days, size_inch=_CHART_INCH))


def _age_form(case: ReviewCase, draft: Draft, *, is_locked: bool) -> None:
    """Fields for the last period, the due date or an early length, and the age that follows."""
    key = f"age-{case.case_id}"
    source = st.segmented_control(
        text("From"),
        list(_SOURCES),
        format_func=lambda known: text(_SOURCES[known]),
        default=AgeSource.LMP,
        key=key,
        disabled=is_locked,
    )
    examination = _date(text("Day of this examination"), f"{key}-exam", is_locked)
    if source is None or examination is None:
        return
    try:
        found = _independent_age(source, examination, key, is_locked)
    except MeasurementError as error:
        st.warning(wording.plain(str(error)))
        return
    if found is None:
        return
    st.button(
        text("Use {age} weeks", age=age_text(found.days)),
        key=f"{key}-use",
        type="primary",
        disabled=is_locked,
        on_click=case_session.set_age,
        args=(case.case_id, draft.revision, found),
    )


def _independent_age(source: AgeSource, examination: date, key: str, is_locked: bool) -> IndependentAge | None:
    """The age that the fields give; None while they are empty.

    Raises:
        MeasurementError: if the length or the dates give no possible age.
    """
    if source is AgeSource.CRL:
        low, high = CRL_RANGE_MM
        length_mm = st.number_input(
            text("Crown-rump length, mm"), low, high, None, 0.1, format="%.1f", key=f"{key}-crl", disabled=is_locked
        )
        measured = _date(text("Measured on"), f"{key}-crl-date", is_locked)
        return None if length_mm is None or measured is None else age_from_crl(length_mm, measured, examination)
    if source is AgeSource.LMP:
        lmp = _date(text("First day of the last period"), f"{key}-lmp", is_locked)
        return None if lmp is None else age_from_lmp(lmp, examination)
    due = _date(text("Estimated due date"), f"{key}-edd", is_locked)
    return None if due is None else age_from_due_date(due, examination)


def _date(label: str, key: str, is_locked: bool) -> date | None:
    return st.date_input(label, None, _EARLIEST, _LATEST, key=key, format="YYYY-MM-DD", disabled=is_locked)
