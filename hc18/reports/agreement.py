"""Agreement of the model with the reviewers of a store: analysis, Bland-Altman diagram and table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fetal_hc.io.tables import to_csv_text
from hc18.evaluation.agreement import Agreement, Limits, ReviewedHc, score_agreement
from hc18.evaluation.reader_agreement import ReaderAgreement, ReadingPair
from hc18.reports.table import to_line_cell
from hc18.reviews.models import Decision, ReviewAction, ReviewCase, ReviewEvent
from hc18.reviews.queue import QueueRow
from hc18.reviews.state import to_outline

AGREEMENT_COLUMNS = ("case", "decision", "model_hc_mm", "reviewer_hc_mm", "mean_hc_mm", "model_minus_reviewer_mm")

# Okabe and Ito; corrected and accepted cases also differ in the shape of their marks.
_CORRECTED_COLOR = "#D55E00"
_ACCEPTED_COLOR = "#0072B2"
_LINE_COLOR = "#333333"
_MARGIN = 0.12  # of the range of the values, above and below
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
    axes = _add_axes(figure, "Mean of model and reviewer (mm)", "Model minus reviewer (mm)")
    if not agreement.n:
        axes.text(0.5, 0.5, "No case to compare yet", transform=axes.transAxes, ha="center", va="center", fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
        return figure
    _draw_points(axes, agreement)
    differences = [case.difference_mm for case in agreement.differences]
    cases = "1 case" if agreement.n == 1 else f"{agreement.n} cases"
    axes.set_title(f"HC of {cases}", fontsize=10, loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, fontsize=8, frameon=False, columnspacing=1.0)
    _draw_limits(axes, agreement.limits, differences)
    return figure


def reader_pairs(case: ReviewCase, events: Sequence[ReviewEvent]) -> tuple[ReadingPair | None, ReadingPair | None]:
    """Two readings of a case by different people, and two by the same person; None where there are none.

    The first person's own decision counts as a reading, also after somebody else has settled a disagreement.

    Args:
        case: with its pixel size in force.
        events: its history.
    """
    known: list[tuple[str, float]] = []
    for event in events:
        is_decision = event.action in (ReviewAction.ACCEPT, ReviewAction.CORRECT)
        drawn = event.after if is_decision else event.reading
        if drawn is None or drawn.ellipse_px is None:
            continue
        hc_mm = to_outline(drawn.ellipse_px, case.state.calibration).hc_mm
        if hc_mm is None:
            continue
        if is_decision:
            known = [item for item in known if not item[0].startswith("\0")]
            known.insert(0, (f"\0{event.reviewer}", hc_mm))
        else:
            known.append((event.reviewer, hc_mm))
    named = [(name.removeprefix("\0"), hc_mm) for name, hc_mm in known]
    if len(named) < 2:
        return None, None
    first, *others = named
    another = next((other for other in others if other[0] != first[0]), None)
    again = next((other for other in others if other[0] == first[0]), None)
    if again is None and another is not None:
        first_of: dict[str, float] = {}
        for name, hc_mm in others:
            if name in first_of:
                return _to_pair(case, first, another), _to_pair(case, (name, first_of[name]), (name, hc_mm))
            first_of[name] = hc_mm
    return _to_pair(case, first, another), _to_pair(case, first, again)


def _to_pair(case: ReviewCase, first: tuple[str, float], second: tuple[str, float] | None) -> ReadingPair | None:
    if second is None:
        return None
    settled = case.state.is_adjudicated
    return ReadingPair(case.case_id, case.label, first[0], second[0], first[1], second[1], settled)


def reader_figure(agreement: ReaderAgreement, *, size_inch: tuple[float, float] = (7.0, 4.4)) -> Figure:
    """Differences over means of pairs of readings in mm, with bias and 95 % limits of agreement.

    Args:
        agreement: with at least one pair.
        size_inch: width and height.
    """
    figure = Figure(figsize=size_inch, layout="constrained")
    axes = _add_axes(figure, "Mean of both readings (mm)", "First minus second reading (mm)")
    means, differences = zip(*((pair.mean_mm, pair.difference_mm) for pair in agreement.pairs), strict=True)
    axes.scatter(means, differences, s=26, c=_ACCEPTED_COLOR, alpha=0.75, linewidths=0)
    axes.set_title(f"HC of {len(agreement.pairs)} pairs of readings", fontsize=10, loc="left")
    _draw_limits(axes, agreement.limits, differences)
    return figure


READER_COLUMNS = ("case", "first_reader", "second_reader", "first_hc_mm", "second_hc_mm", "first_minus_second_mm")


def reader_csv(pairs: Iterable[ReadingPair]) -> str:
    """One row per pair of readings under a header, in mm; for spreadsheets."""
    rows = [
        [
            to_line_cell(pair.label),
            to_line_cell(pair.first_reader),
            to_line_cell(pair.second_reader),
            *(f"{value:.2f}" for value in (pair.first_mm, pair.second_mm, pair.difference_mm)),
        ]
        for pair in pairs
    ]
    return to_csv_text(READER_COLUMNS, rows, for_spreadsheets=True)


def agreement_csv(agreement: Agreement) -> str:
    """One row per compared case under a header, in mm; for spreadsheets, as `hc18.reports.table.to_csv` writes them."""
    rows = []
    for case in agreement.differences:
        values = (case.model_hc_mm, case.reviewer_hc_mm, case.mean_mm, case.difference_mm)
        decision = Decision.CORRECTED if case.is_corrected else Decision.ACCEPTED
        rows.append([to_line_cell(case.label), decision.value, *(f"{value:.2f}" for value in values)])
    return to_csv_text(AGREEMENT_COLUMNS, rows, for_spreadsheets=True)


def _add_axes(figure: Figure, x_label: str, y_label: str) -> Axes:
    """Empty axes of a Bland-Altman diagram."""
    axes = figure.add_subplot()
    axes.set_xlabel(x_label, fontsize=9)
    axes.set_ylabel(y_label, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


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


def _draw_limits(axes: Axes, limits: Limits, differences_mm: Sequence[float]) -> None:
    """Zero, bias and limits with the bands of their confidence intervals, named at the right edge.

    The axis shows all differences and lines. A band that few cases make wide is cut off, so that they stay apart.
    """
    shown = [0.0, *differences_mm]
    axes.axhline(0.0, color="0.75", linewidth=0.8)
    for name, estimate in (("Bias", limits.bias_mm), ("-1.96 SD", limits.lower_mm), ("+1.96 SD", limits.upper_mm)):
        if estimate is None or (name != "Bias" and not limits.sd_mm):
            continue
        shown.append(estimate.value)
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
    margin = _MARGIN * (max(shown) - min(shown))
    axes.set_ylim(min(min(shown) - margin, -_SMALLEST_RANGE_MM), max(max(shown) + margin, _SMALLEST_RANGE_MM))
