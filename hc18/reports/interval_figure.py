"""Figure of how well expected errors, intervals and review marks held; draws without pyplot's global state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hc18.uncertainty.calibration import LARGE_ERROR_MM
from hc18.uncertainty.validation import ValidatedInterval, ValidationReport, risk_coverage

_KEPT_COLOR, _REVIEW_COLOR, _LINE_COLOR = "#0072B2", "#D55E00", "#333333"


def interval_figure(validated: Sequence[ValidatedInterval], report: ValidationReport, coverage: float) -> Figure:
    """Three panels: error against expected error, coverage per group, error of what is kept against its share.

    Args:
        validated: intervals of models fitted without the measurement's group.
        report: its summary.
        coverage: share of the references that the intervals were to contain, 0 to 1.
    """
    figure = Figure(figsize=(13.0, 4.2), layout="constrained")
    errors, groups, curve = figure.subplots(1, 3)
    _draw_errors(errors, validated)
    _draw_groups(groups, report, coverage)
    _draw_curve(curve, validated, report)
    figure.suptitle(f"{len(validated)} images, each by a model fitted without its examination")
    return figure


def _draw_errors(axes: Axes, validated: Sequence[ValidatedInterval]) -> None:
    expected = np.array([item.expected_error_mm for item in validated])
    actual = np.array([item.measured.error_mm for item in validated])
    marked = np.array([item.needs_review for item in validated])
    axes.plot(expected[~marked], actual[~marked], ".", color=_KEPT_COLOR, label="kept")
    axes.plot(expected[marked], actual[marked], "x", color=_REVIEW_COLOR, label="marked for review")
    axes.axhline(LARGE_ERROR_MM, color="0.6", linewidth=0.8)
    axes.axline((0.0, 0.0), slope=1.0, color=_LINE_COLOR, linewidth=0.8)
    axes.set(xlabel="expected |error| (mm)", ylabel="|error| (mm)", xlim=(0, None), ylim=(0, None))
    axes.legend(fontsize=8)


def _draw_groups(axes: Axes, report: ValidationReport, coverage: float) -> None:
    names = list(report.groups)
    shares = [100.0 * report.groups[name][1] for name in names]
    axes.bar(range(len(names)), shares, color=_KEPT_COLOR, width=0.6)
    axes.axhline(100.0 * coverage, color=_LINE_COLOR, linestyle="--", linewidth=1.0)
    for index, name in enumerate(names):
        n_images, _, width_mm = report.groups[name]
        axes.text(index, 52.0, f"n = {n_images}\n{width_mm:.1f} mm\nwide", ha="center", color="white", fontsize=8)
    axes.set_xticks(range(len(names)), names)
    axes.set(ylabel="references inside the interval (%)", ylim=(50.0, 100.0))


def _draw_curve(axes: Axes, validated: Sequence[ValidatedInterval], report: ValidationReport) -> None:
    curve = risk_coverage(validated)
    axes.plot(100.0 * curve[:, 0], curve[:, 1], color=_KEPT_COLOR)
    kept = 100.0 * float(np.mean([not item.needs_review for item in validated]))
    axes.plot([kept], [report.adf_kept_mm], "o", color=_REVIEW_COLOR, label=f"{kept:.0f} % kept")
    axes.set(xlabel="images kept, surest first (%)", ylabel="ADF of the kept (mm)", ylim=(0, None))
    axes.legend(fontsize=8, loc="lower right")
