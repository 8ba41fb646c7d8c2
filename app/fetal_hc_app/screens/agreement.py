"""How well the model agrees with the reviewers."""

from __future__ import annotations

import io

import streamlit as st

from fetal_hc_app import resources
from hc18.evaluation.agreement import Agreement, Estimate
from hc18.reports.agreement import agreement_csv, agreement_figure, score_reviews

_WORST = 10


def agreement_page() -> None:
    """Bland-Altman of model against reviewer, rates, worst cases, downloads."""
    agreement = score_reviews(resources.store().rows())
    if not agreement.n_reviewed:
        st.info("Nobody has decided on a case yet; the comparison begins with the first.", icon=":material/inbox:")
        return
    _figures_panel(agreement)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _diagram_panel(agreement)
    with right:
        _worst_panel(agreement)
    st.caption(
        "Model minus reviewer. The reviewer saw the model's ellipse before deciding, so an accepted case differs by "
        "exactly 0: this says how far reviewers moved the model's value, not how two blinded readings differ."
    )


def _figures_panel(agreement: Agreement) -> None:
    columns = st.columns(5)
    columns[0].metric("Reviewed cases", f"{agreement.n_reviewed:,}")
    columns[1].metric("Corrected", _percent(agreement.correction_rate), help=f"{agreement.n_corrected} cases")
    columns[2].metric("Rejected", _percent(agreement.rejection_rate), help=f"{agreement.n_rejected} cases")
    columns[3].metric("Bias", _mm(agreement.bias_mm), help=_interval(agreement.bias_mm))
    limits = "–"
    if agreement.lower_limit_mm is not None and agreement.upper_limit_mm is not None:
        limits = f"{agreement.lower_limit_mm.value:+.1f} to {agreement.upper_limit_mm.value:+.1f}"
    columns[4].metric(
        "95 % limits, mm",
        limits,
        help=f"lower {_interval(agreement.lower_limit_mm)}; upper {_interval(agreement.upper_limit_mm)}",
    )


def _diagram_panel(agreement: Agreement) -> None:
    png = _diagram_png(agreement)
    st.image(png)
    left, right = st.columns(2)
    left.download_button(
        "Diagram (PNG)", png, "agreement.png", "image/png", icon=":material/image:", on_click="ignore", width="stretch"
    )
    right.download_button(
        "Values (CSV)",
        lambda: agreement_csv(agreement),
        "agreement.csv",
        "text/csv",
        icon=":material/table:",
        on_click="ignore",
        width="stretch",
    )


def _worst_panel(agreement: Agreement) -> None:
    worst = agreement.worst_cases(_WORST)
    st.markdown("**Largest corrections**")
    if not worst:
        st.caption("No ellipse of the model was corrected so far.")
        return
    number = st.column_config.NumberColumn(format="%.1f")
    st.dataframe(
        [
            {
                "Case": case.label,
                "Model, mm": case.model_hc_mm,
                "Reviewer, mm": case.reviewer_hc_mm,
                "Difference, mm": case.difference_mm,
            }
            for case in worst
        ],
        hide_index=True,
        column_config={"Model, mm": number, "Reviewer, mm": number, "Difference, mm": number},
        height=min(38 + 35 * len(worst), 400),
    )


@st.cache_data(max_entries=8, show_spinner=False)
def _diagram_png(agreement: Agreement) -> bytes:
    stream = io.BytesIO()
    agreement_figure(agreement).savefig(stream, format="png", dpi=200)
    return stream.getvalue()


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _mm(estimate: Estimate | None) -> str:
    return "–" if estimate is None else f"{estimate.value:+.2f} mm"


def _interval(estimate: Estimate | None) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return "too few cases for an interval"
    return f"95 % confidence interval {estimate.low:+.2f} to {estimate.high:+.2f} mm"
