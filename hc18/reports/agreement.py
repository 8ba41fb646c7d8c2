"""Agreement of the model with the reviewers of a store: analysis, Bland-Altman diagram and table."""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fetal_hc.io.tables import to_csv_text
from hc18.evaluation.agreement import Agreement, Estimate, ReviewedHc, score_agreement
from hc18.reports.table import to_line_cell
from hc18.reviews.models import Decision
from hc18.reviews.queue import QueueRow

AGREEMENT_COLUMNS = ("case", "decision", "model_hc_mm", "reviewer_hc_mm", "mean_hc_mm", "model_minus_reviewer_mm")

# Okabe and Ito; corrected and accepted cases also differ in the shape of their marks.
_CORRECTED_COLOR = "#D55E00"
_ACCEPTED_COLOR = "#0072B2"
_LINE_COLOR = "#333333"
_SMALLEST_RANGE_MM = 1.0  # below, the axis would blow up differences that no reader of an image can see


def score_reviews(rows: Iterable[QueueRow]) -> Agreement:
    """Bland-Altman analysis and correction rate of all decided cases, signed or not.

    Args:
        rows: of the queue; those that nobody has decided on are left out.
    """
    decided = [row for row in rows if row.decision is not Decision.UNREVIEWED]
    return score_agreement(
        (
            ReviewedHc(row.label, row.model_hc_mm, row.hc_mm, row.decision is Decision.CORRECTED)
            for row in decided
            if row.decision is not Decision.REJECTED
        ),
        n_rejected=sum(row.decision is Decision.REJECTED for row in decided),
    )


def agreement_figure(agreement: Agreement, *, size_inch: tuple[float, float] = (7.0, 4.4)) -> Figure:
    """Differences over means in mm, with bias, 95 % limits of agreement and their confidence intervals.

    Args:
        agreement: without compared cases the diagram says so.
        size_inch: width and height.
    """
    figure = Figure(figsize=size_inch, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel("Mean of model and reviewer (mm)", fontsize=9)
    axes.set_ylabel("Model minus reviewer (mm)", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    if not agreement.n:
        axes.text(0.5, 0.5, "No case to compare yet", transform=axes.transAxes, ha="center", va="center", fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
        return figure
    axes.axhline(0.0, color="0.75", linewidth=0.8)
    _draw_points(axes, agreement)
    lines = {"Bias": agreement.bias_mm, "-1.96 SD": agreement.lower_limit_mm, "+1.96 SD": agreement.upper_limit_mm}
    _draw_lines(axes, lines.items(), is_spread_out=bool(agreement.sd_mm))
    cases = "1 case" if agreement.n == 1 else f"{agreement.n} cases"
    axes.set_title(f"HC of {cases}", fontsize=10, loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, fontsize=8, frameon=False, columnspacing=1.0)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -_SMALLEST_RANGE_MM), max(high, _SMALLEST_RANGE_MM))
    return figure


def agreement_csv(agreement: Agreement) -> str:
    """One row per compared case under a header, in mm; for spreadsheets, as `hc18.reports.table.to_csv` writes them."""
    rows = []
    for case in agreement.differences:
        values = (case.model_hc_mm, case.reviewer_hc_mm, case.mean_mm, case.difference_mm)
        decision = Decision.CORRECTED if case.is_corrected else Decision.ACCEPTED
        rows.append([to_line_cell(case.label), decision.value, *(f"{value:.2f}" for value in values)])
    return to_csv_text(AGREEMENT_COLUMNS, rows, for_spreadsheets=True)


def _draw_points(axes: Axes, agreement: Agreement) -> None:
    for is_corrected, label, marker, color in (
        (False, "accepted", "o", _ACCEPTED_COLOR),
        (True, "corrected", "^", _CORRECTED_COLOR),
    ):
        cases = [case for case in agreement.differences if case.is_corrected == is_corrected]
        if cases:
            means, differences = [case.mean_mm for case in cases], [case.difference_mm for case in cases]
            axes.scatter(
                means,
                differences,
                s=26,
                marker=marker,
                c=color,
                alpha=0.75,
                linewidths=0,
                label=f"{len(cases)} {label}",
            )


def _draw_lines(axes: Axes, lines: Iterable[tuple[str, Estimate | None]], *, is_spread_out: bool) -> None:
    """Bias and limits with the bands of their confidence intervals, named at the right edge."""
    for name, estimate in lines:
        if estimate is None or (name != "Bias" and not is_spread_out):
            continue
        axes.axhline(estimate.value, color=_LINE_COLOR, linestyle="-" if name == "Bias" else (0, (5, 3)), linewidth=1.2)
        if estimate.low is not None and estimate.high is not None:
            axes.axhspan(estimate.low, estimate.high, color=_LINE_COLOR, alpha=0.08, linewidth=0)
        axes.annotate(
            f"{name}: {estimate.value:+.2f} mm",
            (1.01, estimate.value),
            xycoords=("axes fraction", "data"),
            fontsize=8,
            color=_LINE_COLOR,
            verticalalignment="center",
            annotation_clip=False,
        )
