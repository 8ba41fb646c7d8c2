"""Figures of a reproduced report: curves of training and validation as the reports draw them, and a radar chart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

_TRAINING, _VALIDATION = "#0072B2", "#E69F00"


@dataclass(frozen=True, slots=True)
class Curve:
    """One quantity in the course of a training.

    Attributes:
        title: what it is called.
        training: its name in the lines that training writes to metrics.json; "" where training does not report it.
        validation: its name in the lines of evaluations.
    """

    title: str
    training: str
    validation: str


CURVES = (
    Curve("total loss", "total_loss", "loss/total_loss"),
    Curve("loss of the labels", "loss_cls", "loss/loss_cls"),
    Curve("loss of the boxes", "loss_box", "loss/loss_box"),
    Curve("accuracy (%)", "train/accuracy", "classification/accuracy"),
    Curve("IoU of the boxes (%)", "train/IoU", "box/mean_IoU"),
    Curve("IoU of the masks (%)", "", "mask/IoU"),
    Curve("Dice of the masks (%)", "", "mask/Dice"),
)


def mean_by_epoch(rows: Sequence[Mapping[str, object]], name: str, epoch_iterations: int) -> list[tuple[int, float]]:
    """(epoch from 1, mean of the values that metrics.json has in it) of every epoch that has any.

    Args:
        rows: lines of metrics.json.
        name: of the quantity.
        epoch_iterations: iterations of an epoch.
    """
    of_epoch: dict[int, list[float]] = {}
    for row in rows:
        value, iteration = row.get(name), row["iteration"]
        if isinstance(value, int | float) and math.isfinite(value) and isinstance(iteration, int):
            of_epoch.setdefault(iteration // epoch_iterations + 1, []).append(float(value))
    return [(epoch, sum(values) / len(values)) for epoch, values in sorted(of_epoch.items())]


def plot_curves(rows: Sequence[Mapping[str, object]], epoch_iterations: int) -> Figure:
    """One set of axes per quantity that the training reports: training and validation by epoch.

    Args:
        rows: lines of metrics.json.
        epoch_iterations: iterations of an epoch.
    """
    reported = {name for row in rows for name in row}
    curves = [curve for curve in CURVES if {curve.training, curve.validation} & reported]
    n_columns = 3 if len(curves) > 2 else max(len(curves), 1)
    n_rows = max(-(-len(curves) // n_columns), 1)
    figure = Figure(figsize=(4.0 * n_columns, 3.0 * n_rows), layout="constrained")
    for position, curve in enumerate(curves, start=1):
        axes = figure.add_subplot(n_rows, n_columns, position)
        for name, label, colour in (
            (curve.training, "training", _TRAINING),
            (curve.validation, "validation", _VALIDATION),
        ):
            points = mean_by_epoch(rows, name, epoch_iterations)
            if points:
                axes.plot(*zip(*points, strict=True), label=label, color=colour, marker="o", markersize=2.5)
        axes.set_title(curve.title, fontsize=10)
        axes.set_xlabel("epoch")
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize=8)
    return figure


def plot_radar(axis_names: Sequence[str], series: Mapping[str, Sequence[float]]) -> Figure:
    """Several models on one axis per metric; each axis goes from 0 to its largest value.

    Args:
        axis_names: of M metrics, at least 3.
        series: name of a model -> its M values, NaN where unknown.
    """
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.add_subplot(projection="polar")
    table = np.array(list(series.values()), dtype=np.float64)
    largest = np.nanmax(np.where(np.isfinite(table), table, 0.0), axis=0)
    angles = np.linspace(0, 2 * np.pi, len(axis_names), endpoint=False)
    closed = np.append(angles, angles[0])
    for name, values in zip(series, table, strict=True):
        shares = values / np.where(largest > 0, largest, 1.0)
        (line,) = axes.plot(closed, np.append(shares, shares[0]), label=name)
        axes.fill(closed, np.append(shares, shares[0]), color=line.get_color(), alpha=0.1)
    labels = [f"{name}\n(outside: {value:.4g})" for name, value in zip(axis_names, largest, strict=True)]
    axes.set_xticks(angles, labels, fontsize=8)
    axes.set_yticklabels([])
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return figure
