"""How well the model agrees with the reviewers."""

from __future__ import annotations

import streamlit as st

from fetal_hc_app import resources
from fetal_hc_app.panels.reader_agreement import limits_metrics, readers_panel
from fetal_hc_app.texts import text
from hc18.evaluation.agreement import Agreement
from hc18.reports.agreement import agreement_csv, agreement_figure, score_reviews
from hc18.reports.charts import to_png

_WORST = 10


def agreement_page() -> None:
    """Model against reviewer, and readers against each other."""
    kinds = model, between, within = "Model and reviewer", "Between readers", "Within a reader"
    chosen = st.segmented_control(text("Compare"), kinds, format_func=text, default=model, key="agreement_kind")
    if chosen in (between, within):
        readers_panel(is_within=chosen == within)
    else:
        _model_panel()


def _model_panel() -> None:
    """Bland-Altman of model against reviewer, rates, worst cases, downloads."""
    agreement = score_reviews(resources.store().rows())
    if not agreement.n_reviewed:
        st.info(
            text("Nobody has decided on a case yet; the comparison begins with the first."), icon=":material/inbox:"
        )
        return
    _figures_panel(agreement)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _diagram_panel(agreement)
    with right:
        _worst_panel(agreement)
    st.caption(
        text(
            "Model minus reviewer. The reviewer saw the model's ellipse before deciding, so an accepted case differs "
            "by exactly 0: this says how far reviewers moved the model's value, not how two blinded readings differ."
        )
    )


def _figures_panel(agreement: Agreement) -> None:
    columns = st.columns(5)
    columns[0].metric(text("Reviewed cases"), f"{agreement.n_reviewed:,}")
    columns[1].metric(
        text("Corrected"), _percent(agreement.correction_rate), help=text("{count} cases", count=agreement.n_corrected)
    )
    columns[2].metric(
        text("Rejected"), _percent(agreement.rejection_rate), help=text("{count} cases", count=agreement.n_rejected)
    )
    limits_metrics(columns[3], columns[4], agreement.limits)


def _diagram_panel(agreement: Agreement) -> None:
    png = _diagram_png(agreement)
    st.image(png, caption=text("Model and reviewer"))
    left, right = st.columns(2)
    left.download_button(
        text("Diagram (PNG)"),
        png,
        "agreement.png",
        "image/png",
        icon=":material/image:",
        on_click="ignore",
        width="stretch",
    )
    right.download_button(
        text("Values (CSV)"),
        lambda: agreement_csv(agreement),
        "agreement.csv",
        "text/csv",
        icon=":material/table:",
        on_click="ignore",
        width="stretch",
    )


def _worst_panel(agreement: Agreement) -> None:
    worst = agreement.worst_cases(_WORST)
    st.markdown(text("**Largest corrections**"))
    if not worst:
        st.caption(text("No ellipse of the model was corrected so far."))
        return
    number = st.column_config.NumberColumn(format="%.1f")
    st.dataframe(
        [
            {
                text("Case"): case.label,
                text("Model, mm"): case.model_hc_mm,
                text("Reviewer, mm"): case.reviewer_hc_mm,
                text("Difference, mm"): case.difference_mm,
            }
            for case in worst
        ],
        hide_index=True,
        column_config=dict.fromkeys(map(text, ("Model, mm", "Reviewer, mm", "Difference, mm")), number),
        height=min(38 + 35 * len(worst), 400),
    )


@st.cache_data(max_entries=8, show_spinner=False)
def _diagram_png(agreement: Agreement) -> bytes:
    return to_png(agreement_figure(agreement))


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"
