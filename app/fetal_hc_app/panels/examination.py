"""The other images of an examination with their median, and the growth over the examinations of a patient code."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import streamlit as st

from fetal_hc_app import access, resources, session, wording
from fetal_hc_app.panels.codes import note, tag_fields
from fetal_hc_app.texts import text
from hc18.measurement.groups import GroupBy, GroupResult, intervals_apart, summarize_group
from hc18.reviews import worklist as notes
from hc18.reviews.adapters import to_row
from hc18.reviews.models import CaseId, ReviewCase
from hc18.reviews.worklist import CaseTags

ImageValue = tuple[str, float, tuple[float, float] | None]  # label, circumference and its interval, mm
_IN_A_ROW, _MOST_PICTURES = 6, 12
_TABLE_PX, _CHART_PX = 460, 640


def examination_panel(case: ReviewCase) -> None:
    """Pictures, values, median and spread of one examination; growth; and the fields for its codes."""
    with resources.store().reader() as connection:
        tags = notes.read_tags(connection, case.case_id)
        same = notes.cases_of_examination(connection, tags)
        of_subject = notes.cases_of_subject(connection, tags.subject)
    if len(same) > 1:
        _images(tags.examination, list(resources.store().cases(same)))
    if len({known.examination for _, known in of_subject}) > 1:
        _growth(of_subject)
    if access.reviewer():
        found = tag_fields(f"case-{case.case_id}", tags)
        st.button(
            text("Note this"),
            key=f"tag-{case.case_id}",
            on_click=note,
            args=([case.case_id], found),
            disabled=found == tags,
        )


def examination_result(name: str, cases: Sequence[ReviewCase]) -> GroupResult:
    """Median, interval and spread of the images of an examination, by the rule of batches."""
    return summarize_group(name, [to_row(case) for case in cases], GroupBy.EXAMINATION)


def _images(name: str, cases: Sequence[ReviewCase]) -> None:
    """The pictures, their values in a table and as a trend, and the result of all."""
    result = examination_result(name, cases)
    rows = [to_row(case) for case in cases]
    counted = set(result.best_images)
    _result(result)
    if intervals_apart(row for row in rows if row.file_name in counted):
        st.warning(
            text(
                "The intervals of these images do not all overlap: check that they show one head in the right plane, "
                "and that their pixel sizes are right."
            ),
            icon=":material/compare:",
        )
    for start in range(0, min(len(cases), _MOST_PICTURES), _IN_A_ROW):
        for column, case in zip(st.columns(_IN_A_ROW), cases[start : start + _IN_A_ROW], strict=False):
            picture = resources.picture_of(case.case_id, case.state)
            column.image(picture.png, caption=case.label, alt=text("Picture of {case}", case=case.label))
    with st.container(horizontal=True, gap="medium"):  # one under the other in a narrow window
        event: Any = st.dataframe(
            [
                {
                    text("Case"): case.label,
                    text("HC, mm"): row.hc_mm,
                    text("State"): wording.state_name(case.state),
                    text("In the median"): text("yes") if case.label in counted else "",
                }
                for case, row in zip(cases, rows, strict=True)
            ],
            hide_index=True,
            column_config={text("HC, mm"): st.column_config.NumberColumn(format="%.1f")},
            height=min(40 + 35 * len(cases), 320),
            width=_TABLE_PX,
            on_select="rerun",
            selection_mode="single-cell",
            key="examination-images",
            placeholder="–",
            alt=text("The images of this examination"),
        )
        values = tuple(
            (case.label, row.hc_mm, None if row.interval is None else (row.interval.low_mm, row.interval.high_mm))
            for case, row in zip(cases, rows, strict=True)
            if row.hc_mm is not None
        )
        if values:
            st.image(
                _values_png(values, result.hc_median_mm),
                width=_CHART_PX,
                alt=text("Circumference of each image and their median"),
            )
    if event.selection.cells:
        session.open_case(cases[event.selection.cells[0][0]].case_id)


def _result(result: GroupResult) -> None:
    """How many images count, their median with its interval, and their spread."""
    left, middle, right = st.columns(3)
    left.metric(text("Images of this examination"), f"{result.n_images}")
    if result.hc_median_mm is None:
        return
    middle.metric(text("Median HC"), f"{result.hc_median_mm:.1f} mm")
    right.metric(text("Largest minus smallest"), f"{result.spread_mm or 0.0:.1f} mm")
    words = text("{used} of {all} images count for the median.", used=len(result.best_images), all=result.n_images)
    if result.low_mm is not None and result.high_mm is not None:
        interval = text("90 % interval {low:.1f} to {high:.1f} mm", low=result.low_mm, high=result.high_mm)
        words = f"{words} {interval}."
    st.caption(words)


def _growth(of_subject: Sequence[tuple[CaseId, CaseTags]]) -> None:
    """The median of each examination at its age, on the growth chart."""
    points = growth_points(list(resources.store().cases([case_id for case_id, _ in of_subject])), of_subject)
    if len(points) < 2:
        st.caption(text("Growth needs an independent age of one examination, and ages or days of the others."))
        return
    st.image(_trend_png(tuple(points)), alt=text("Growth of this patient code on the chart"), width=_CHART_PX)


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
    images: dict[str, list[ReviewCase]] = {}
    for case, (_, tags) in zip(cases, of_subject, strict=True):
        images.setdefault(tags.examination, []).append(case)
        if tags.examined_on:
            days[tags.examination] = date.fromisoformat(tags.examined_on)
        if case.state.age is not None:
            ages[tags.examination] = case.state.age.days
    known = next((name for name in ages if name in days), None)
    if known is not None:
        for name, day in days.items():
            ages.setdefault(name, ages[known] + (day - days[known]).days)
    medians = {name: examination_result(name, found).hc_median_mm for name, found in images.items()}
    return sorted((ages[name], value) for name, value in medians.items() if name in ages and value is not None)


@st.cache_data(max_entries=64, show_spinner=False)
def _trend_png(points: tuple[tuple[float, float], ...]) -> bytes:
    from hc18.reports.charts import growth_trend, to_png

    return to_png(growth_trend(points))


@st.cache_data(max_entries=64, show_spinner=False)
def _values_png(values: tuple[ImageValue, ...], median_mm: float | None) -> bytes:
    from hc18.reports.charts import examination_chart, to_png

    return to_png(examination_chart(values, median_mm))
