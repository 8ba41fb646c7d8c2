"""How well readers agree with each other and with themselves, and the disagreements that wait to be settled."""

from __future__ import annotations

from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from fetal_hc_app import resources, session
from fetal_hc_app.texts import text
from hc18.evaluation.agreement import Estimate, Limits
from hc18.evaluation.reader_agreement import ReaderAgreement, ReadingPair, score_readers
from hc18.reports.agreement import reader_csv, reader_figure, reader_pairs
from hc18.reports.charts import to_png
from hc18.reviews import worklist as notes
from hc18.reviews.models import CaseId

LIMIT_PERCENT = 3.0  # 95 % limits of one observer's repeats: Sarris et al., Ultrasound Obstet. Gynecol. 2012


def readers_panel(*, is_within: bool) -> None:
    """Figures, diagram, values and open disagreements.

    Args:
        is_within: whether two readings of the same person are compared, or those of two people.
    """
    pairs = [pair for pair in _pairs(is_within=is_within) if pair is not None]
    if not pairs:
        st.info(
            text("No case was read twice yet. Second readings are asked for on the page **Queue**."),
            icon=":material/inbox:",
        )
        return
    agreement = score_readers(pairs)
    _figures(agreement)
    with st.container(key="stacked-columns-agreement"):  # one under the other in a narrow window
        left, right = st.columns([3, 2], gap="medium")
    with left:
        st.image(_diagram_png(agreement), alt=text("Differences of the readings over their means"))
        st.download_button(
            text("Values (CSV)"),
            lambda: reader_csv(agreement.pairs),
            "readers.csv",
            "text/csv",
            icon=":material/table:",
            on_click="ignore",
        )
    with right:
        _disagreements(agreement)
    st.caption(
        text(
            "The second reader saw neither the model's ellipse nor the first reader's. A first reader who accepted the "
            "model's ellipse had seen it. ICC(1,1): one-way random, single reading (Shrout and Fleiss 1979)."
        )
    )


def _pairs(*, is_within: bool) -> list[ReadingPair | None]:
    store = resources.store()
    with store.reader() as connection:
        case_ids = notes.read_cases(connection)
    return [reader_pairs(case, store.events(case.case_id))[int(is_within)] for case in store.cases(case_ids)]


def _figures(agreement: ReaderAgreement) -> None:
    columns = st.columns(5)
    columns[0].metric(text("Cases read twice"), f"{len(agreement.pairs):,}")
    limits_metrics(columns[1], columns[2], agreement.limits)
    icc = agreement.icc
    columns[3].metric(text("ICC(1,1)"), "–" if icc is None else f"{icc.value:.3f}", help=_interval(icc, ".3g", ""))
    repeatability = agreement.repeatability_mm
    columns[4].metric(text("Repeatability"), "–" if repeatability is None else f"{repeatability:.1f} mm")


def limits_metrics(left: DeltaGenerator, right: DeltaGenerator, limits: Limits) -> None:
    """Bias in one column, the 95 % limits of agreement in another, each with its confidence interval."""
    bias, lower, upper = limits.bias_mm, limits.lower_mm, limits.upper_mm
    left.metric(text("Bias"), "–" if bias is None else f"{bias.value:+.2f} mm", help=_interval(bias))
    shown = "–"
    if lower is not None and upper is not None:
        shown = text("{low} to {high}", low=f"{lower.value:+.1f}", high=f"{upper.value:+.1f}")
    right.metric(
        text("95 % limits, mm"),
        shown,
        help=text("lower {lower}; upper {upper}", lower=_interval(lower), upper=_interval(upper)),
    )


def _disagreements(agreement: ReaderAgreement) -> None:
    """Pairs above a limit; a click opens the case."""
    limit = st.number_input(text("Limit, % of the circumference"), 0.5, 20.0, LIMIT_PERCENT, 0.5, key="reader-limit")
    found = agreement.open_disagreements(float(limit))
    st.markdown(f"**{text('Disagreements to settle')}: {len(found)}**")
    if not found:
        return
    number = st.column_config.NumberColumn(format="%.1f")
    event: Any = st.dataframe(
        [
            {
                text("Case"): pair.label,
                text("First"): pair.first_reader,
                text("Second"): pair.second_reader,
                text("Difference, mm"): pair.difference_mm,
                "%": pair.difference_percent,
            }
            for pair in found
        ],
        hide_index=True,
        column_config={text("Difference, mm"): number, "%": number},
        height=min(40 + 35 * len(found), 400),
        on_select="rerun",
        selection_mode="single-cell",
        key="disagreements",
    )
    st.caption(text("Click a case to open it; its section **Second readings** settles it."))
    if event.selection.cells:
        session.open_case(CaseId(found[event.selection.cells[0][0]].case_id))


@st.cache_data(max_entries=8, show_spinner=False)
def _diagram_png(agreement: ReaderAgreement) -> bytes:
    return to_png(reader_figure(agreement))


def _interval(estimate: Estimate | None, form: str = ".2f", unit: str = " mm") -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return text("too few cases for an interval")
    low, high = (f"{value:+{form}}{unit}" for value in (estimate.low, estimate.high))
    return text("95 % confidence interval {low} to {high}", low=low, high=high)
