"""Charts of head circumference: for age, and of the images of an examination; without pyplot's global state."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hc18.obstetrics.gestational_age import DAYS_PER_WEEK
from hc18.obstetrics.growth import GROWTH_RANGE_DAYS, intergrowth_hc, intergrowth_percentile_mm, percentile_text
from hc18.obstetrics.growth_standards import INTERGROWTH_HC_2014

PERCENTILES = (3, 10, 50, 90, 97)

# Blue and vermilion of Okabe and Ito, safe for colour-blind readers; curves also differ in dash, labels name them.
_CURVE_COLOR = "#0072B2"
_POINT_COLOR = "#D55E00"
_DASHES = {3: (0, (1, 1.5)), 10: (0, (4, 2)), 50: "solid", 90: (0, (4, 2)), 97: (0, (1, 1.5))}
_MOST_LEVEL_LABELS = 7  # more are turned
_LABEL_SHIFT_PT = {3: -6.0, 10: -0.5, 50: 0.0, 90: 0.5, 97: 6.0}  # the outer curves end closer than a line of text


def growth_chart(
    hc_mm: float | None = None, ga_days: float | None = None, *, size_inch: tuple[float, float] = (6.4, 4.0)
) -> Figure:
    """Percentiles 3, 10, 50, 90 and 97 of the HC from 14+0 to 40+0 weeks, and one measurement.

    Args:
        hc_mm: measured circumference in mm; None draws the curves alone.
        ga_days: age in days that does not come from this HC; outside 14+0 to 40+0 weeks no point is drawn.
        size_inch: width and height.
    """
    figure = Figure(figsize=size_inch, layout="constrained")
    axes = figure.add_subplot()
    _draw_curves(axes)
    if hc_mm is not None and ga_days is not None:
        _draw_point(axes, hc_mm, ga_days)
    first, last = (days / DAYS_PER_WEEK for days in GROWTH_RANGE_DAYS)
    axes.set_xlim(first, last)
    axes.set_xticks(np.arange(first, last + 1, 2))
    axes.set_xlabel("Gestational age (weeks)", fontsize=9)
    axes.set_ylabel("Head circumference (mm)", fontsize=9)
    axes.set_title(f"{INTERGROWTH_HC_2014}: percentiles", fontsize=9, loc="left")
    axes.tick_params(labelsize=8)
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def growth_trend(points: Sequence[tuple[float, float]], *, size_inch: tuple[float, float] = (6.4, 4.0)) -> Figure:
    """The curves of `growth_chart` with the examinations of one patient code, joined by a line.

    Args:
        points: age in days and circumference in mm of each examination, by age.
        size_inch: width and height.
    """
    figure = growth_chart(size_inch=size_inch)
    weeks = [days / DAYS_PER_WEEK for days, _ in points]
    values = [hc_mm for _, hc_mm in points]
    figure.axes[0].plot(weeks, values, "o-", color=_POINT_COLOR, markersize=7, markeredgecolor="white", gid="trend")
    return figure


def to_png(figure: Figure) -> bytes:
    """A diagram as a PNG file, for the screen and for reports."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=200)
    return stream.getvalue()


def examination_chart(
    values: Sequence[tuple[str, float, tuple[float, float] | None]],
    median_mm: float | None,
    *,
    size_inch: tuple[float, float] = (6.4, 3.0),
) -> Figure:
    """The circumference of each image of an examination in their order, with intervals and the median.

    Args:
        values: label, circumference in mm, and the ends of its interval in mm or None.
        median_mm: of the images that count; None draws no line.
        size_inch: width and height.
    """
    figure = Figure(figsize=size_inch, layout="constrained")
    axes = figure.add_subplot()
    positions = range(len(values))
    for position, (_, _, interval) in zip(positions, values, strict=True):
        if interval is not None:
            axes.plot([position, position], interval, color=_CURVE_COLOR, linewidth=1.6, solid_capstyle="butt")
    hc_mm = [value for _, value, _ in values]
    axes.plot(positions, hc_mm, "o-", color=_POINT_COLOR, linewidth=0.9, markersize=6, markeredgecolor="white")
    if median_mm is not None:
        axes.axhline(median_mm, color="0.25", linestyle=(0, (4, 2)), linewidth=1.1)
        axes.annotate(
            f"median {median_mm:.1f} mm",
            (1.0, median_mm),
            xycoords=("axes fraction", "data"),
            xytext=(-4.0, 4.0),
            textcoords="offset points",
            horizontalalignment="right",
            fontsize=8,
        )
    labels = [label for label, _, _ in values]
    axes.set_xticks(positions, labels, rotation=30 if len(labels) > _MOST_LEVEL_LABELS else 0, fontsize=8)
    axes.set_xlim(-0.5, len(values) - 0.5)
    axes.set_ylabel("Head circumference (mm)", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_curves(axes: Axes) -> None:
    days = np.linspace(*GROWTH_RANGE_DAYS, 183)
    weeks = days / DAYS_PER_WEEK
    curves = {percentile: _curve_mm(days, percentile) for percentile in PERCENTILES}
    axes.fill_between(weeks, curves[3], curves[97], color=_CURVE_COLOR, alpha=0.07, linewidth=0)
    axes.fill_between(weeks, curves[10], curves[90], color=_CURVE_COLOR, alpha=0.10, linewidth=0)
    for percentile, hc_mm in curves.items():
        width = 1.8 if percentile == 50 else 1.1
        axes.plot(weeks, hc_mm, color=_CURVE_COLOR, linestyle=_DASHES[percentile], linewidth=width)
        axes.annotate(
            f"{percentile}{'rd' if percentile == 3 else 'th'}",
            (weeks[-1], hc_mm[-1]),
            xytext=(4.0, _LABEL_SHIFT_PT[percentile]),
            textcoords="offset points",
            fontsize=8,
            color=_CURVE_COLOR,
            verticalalignment="center",
            annotation_clip=False,
        )


def _curve_mm(days: NDArray[np.float64], percentile: float) -> NDArray[np.float64]:
    return np.array([intergrowth_percentile_mm(float(day), percentile) for day in days])


def _draw_point(axes: Axes, hc_mm: float, ga_days: float) -> None:
    growth = intergrowth_hc(hc_mm, ga_days)
    if growth.percentile is None:
        return
    weeks = ga_days / DAYS_PER_WEEK
    axes.plot(
        [weeks],
        [hc_mm],
        "o",
        color=_POINT_COLOR,
        markersize=8,
        markeredgecolor="white",
        clip_on=False,
        gid="measurement",
    )
    on_left_half = weeks < sum(GROWTH_RANGE_DAYS) / DAYS_PER_WEEK / 2
    axes.annotate(
        f"{hc_mm:.1f} mm\npercentile {percentile_text(growth.percentile)}",
        (weeks, hc_mm),
        xytext=(0.03, 0.97) if on_left_half else (0.97, 0.05),
        textcoords="axes fraction",
        horizontalalignment="left" if on_left_half else "right",
        verticalalignment="top" if on_left_half else "bottom",
        fontsize=9,
        color=_POINT_COLOR,
        weight="bold",
        arrowprops={"arrowstyle": "-", "color": _POINT_COLOR, "linewidth": 0.8, "shrinkB": 6},
    )
