"""The other images of an examination with their median, and the growth over the examinations of a patient code."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import date
from typing import Any

import streamlit as st

from fetal_hc_app import access, resources, session, wording
from fetal_hc_app.panels.queue_actions import tag_fields
from fetal_hc_app.texts import text
from hc18.reviews import worklist as notes
from hc18.reviews.models import CaseId, Decision, ReviewCase
from hc18.reviews.worklist import CaseTags

_PICTURES = 6


def examination_panel(case: ReviewCase) -> None:
    """Pictures, values, median and spread of one examination; growth; and the fields for its codes."""
    with resources.store().reader() as connection:
        tags = notes.read_tags(connection, case.case_id)
        same = notes.cases_of_examination(connection, tags)
        of_subject = notes.cases_of_subject(connection, tags.subject)
    if len(same) > 1:
        _images(list(resources.store().cases(same)))
    if len({known.examination for _, known in of_subject}) > 1:
        _growth(of_subject)
    if access.reviewer():
        found = tag_fields(f"case-{case.case_id}", tags)
        st.button(
            text("Note this"),
            key=f"tag-{case.case_id}",
            on_click=_note,
            args=(case.case_id, found),
            disabled=found == tags,
        )


def _note(case_id: CaseId, tags: CaseTags) -> None:
    with resources.store().writer() as connection:
        notes.write_tags(connection, [case_id], tags)


def value_mm(case: ReviewCase) -> float | None:
    """The circumference that counts; None without one and after a rejection."""
    return None if case.state.decision is Decision.REJECTED else case.state.outline.hc_mm


def _images(cases: Sequence[ReviewCase]) -> None:
    """One row per image, with the median and the spread of all."""
    values = [value for value in map(value_mm, cases) if value is not None]
    left, middle, right = st.columns(3)
    left.metric(text("Images of this examination"), f"{len(cases)}")
    if values:
        middle.metric(text("Median HC"), f"{statistics.median(values):.1f} mm")
        right.metric(text("Largest minus smallest"), f"{max(values) - min(values):.1f} mm")
    for column, case in zip(st.columns(_PICTURES), cases, strict=False):
        column.image(resources.picture_of(case.case_id, case.state).png, caption=case.label)
    event: Any = st.dataframe(
        [
            {text("Case"): case.label, text("HC, mm"): value_mm(case), text("State"): wording.state_name(case.state)}
            for case in cases
        ],
        hide_index=True,
        column_config={text("HC, mm"): st.column_config.NumberColumn(format="%.1f")},
        height=min(40 + 35 * len(cases), 320),
        on_select="rerun",
        selection_mode="single-cell",
        key="examination-images",
    )
    if event.selection.cells:
        session.open_case(cases[event.selection.cells[0][0]].case_id)


def _growth(of_subject: Sequence[tuple[CaseId, CaseTags]]) -> None:
    """The median of each examination at its age, on the growth chart."""
    points = growth_points(list(resources.store().cases([case_id for case_id, _ in of_subject])), of_subject)
    if len(points) < 2:
        st.caption(text("Growth needs an independent age of one examination, and ages or days of the others."))
        return
    st.image(_trend_png(tuple(points)))


def growth_points(
    cases: Sequence[ReviewCase], of_subject: Sequence[tuple[CaseId, CaseTags]]
) -> list[tuple[float, float]]:
    """Age in days and median circumference in mm of each examination of a patient code, by age.

    The age is the recorded one. Where an examination has none, the days between its date and that of an examination
    with an age give it.

    Args:
        cases: all of the patient code.
        of_subject: their tags, in the same order.
    """
    ages: dict[str, float] = {}
    days: dict[str, date] = {}
    values: dict[str, list[float]] = {}
    for case, (_, tags) in zip(cases, of_subject, strict=True):
        value = value_mm(case)
        if value is not None:
            values.setdefault(tags.examination, []).append(value)
        if tags.examined_on:
            days[tags.examination] = date.fromisoformat(tags.examined_on)
        if case.state.age is not None:
            ages[tags.examination] = case.state.age.days
    known = next((name for name in ages if name in days), None)
    if known is not None:
        for name, day in days.items():
            ages.setdefault(name, ages[known] + (day - days[known]).days)
    return sorted((ages[name], statistics.median(found)) for name, found in values.items() if name in ages)


@st.cache_data(max_entries=64, show_spinner=False)
def _trend_png(points: tuple[tuple[float, float], ...]) -> bytes:
    from hc18.reports.growth_chart import growth_trend, to_png

    return to_png(growth_trend(points))
