"""Draw losses, learning rate and evaluation results of a training from its metrics.json.

    fetal-hc plot --metrics output/r18/metrics.json --output output/r18/training.png

Beside the picture, `training.csv` holds every point that was drawn. Several files are compared, loss by loss:

    fetal-hc plot --metrics a/metrics.json b/metrics.json --labels first second --output losses.png
"""

from __future__ import annotations

import argparse
import io
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fetal_hc.errors import ConfigError, DatasetError, raise_problems
from fetal_hc.io.atomic import write_bytes_atomic, write_text_atomic
from fetal_hc.io.documents import parse_json
from fetal_hc.io.tables import to_csv_text
from fetal_hc_cli import new_parser, reports_bad_input

# Okabe and Ito's colours, told apart with any colour vision.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#F0E442")
_MAX_LINES_WITH_LEGEND_INSIDE = 2
_CSV_COLUMNS = ("panel", "series", "iteration", "value")


@dataclass(frozen=True, slots=True)
class Panel:
    """One set of axes: which metrics it shows (names that the pattern matches to their end) and how."""

    title: str
    pattern: str
    y_label: str
    is_log: bool = False


PANELS = (
    Panel("losses", r".*loss[^/]*", "loss", is_log=True),
    Panel("learning rate", r"lr", "learning rate"),
    Panel("overlap with the truth", r".*\b(bbox|segm)/AP(50|75)?|.*\bhc/DSC_(mean|median)", "AP, DSC (%)"),
    Panel("classes and boxes", r".*\b(classification/(accuracy|F1|ROC_AUC)|box/mean_IoU)", "percent"),
    Panel("mask pixels", r".*\bmask/(IoU|Dice)", "percent"),
    Panel("head circumference", r".*\bhc/(ADF_all|ADF_mean|ADF_median|DF_mean|HD_mean)", "error (mm)"),
)


@dataclass(frozen=True, slots=True)
class Point:
    """One drawn value."""

    panel: str
    series: str
    iteration: int
    value: float


def read_points(path: Path) -> list[Point]:
    """The values of a metrics.json that a panel shows, in the order of panels, names and lines.

    Values that are null are left out; so is a last line that a crash cut off.

    Raises:
        DatasetError: listing every line that is not a JSON object with an iteration, or if there is nothing to draw.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); expected the metrics.json of a training") from error
    rows, problems = [], []
    for number, line in enumerate(lines, start=1):
        try:
            row = parse_json(line)
            rows.append((int(row["iteration"]), row))
        except (ValueError, KeyError, TypeError):
            if number < len(lines):
                problems.append(f"{path}, line {number}: '{line[:40]}' is not an iteration's JSON object; remove it")
    if problems:
        raise_problems(DatasetError, problems, f"{path} is not a metrics.json")
    points = [point for panel in PANELS for point in _panel_points(panel, rows)]
    if not points:
        raise DatasetError(f"{path}: holds no loss and no evaluation result; expected the metrics.json of a training")
    return points


def _panel_points(panel: Panel, rows: Sequence[tuple[int, dict[str, object]]]) -> list[Point]:
    """The points of one panel."""
    names = sorted({name for _, row in rows for name in row if re.fullmatch(panel.pattern, name)})
    return [
        Point(panel.title, name, iteration, float(value))
        for name in names
        for iteration, row in rows
        if isinstance(value := row.get(name), int | float) and math.isfinite(value)
    ]


def read_losses(files: Sequence[Path], labels: Sequence[str]) -> list[Point]:
    """The losses of several trainings: one panel for each loss, one series for each training.

    Raises:
        ConfigError: if there are not as many different labels as files.
        DatasetError: as `read_points`.
    """
    if len(set(labels)) != len(files):
        raise ConfigError(
            f"--labels {' '.join(labels)}: expected {len(files)} different ones, one for each of --metrics"
        )
    return [
        Point(point.series, label, point.iteration, point.value)
        for path, label in zip(files, labels, strict=True)
        for point in read_points(path)
        if point.panel == PANELS[0].title
    ]


def plot_training(points: Sequence[Point]) -> Figure:
    """A figure with one set of axes per panel that has points."""
    return _plot(points, [panel for panel in PANELS if any(point.panel == panel.title for point in points)], 2)


def plot_losses(points: Sequence[Point]) -> Figure:
    """A figure of several trainings, with one set of axes per loss."""
    names = sorted({point.panel for point in points}, key=lambda name: (name != "total_loss", name))
    figure = _plot(points, [Panel(name, name, PANELS[0].y_label, is_log=True) for name in names], 3)
    lines, labels = figure.axes[0].get_legend_handles_labels()
    for axes in figure.axes:
        if (legend := axes.get_legend()) is not None:
            legend.remove()
    labels = [label.partition(" (last")[0] for label in labels]
    figure.legend(lines, labels, loc="outside lower center", ncols=len(labels), fontsize=8)
    return figure


def _plot(points: Sequence[Point], panels: Sequence[Panel], n_columns: int) -> Figure:
    n_rows = -(-len(panels) // n_columns)
    figure = Figure(figsize=(11, (7.2 / n_columns) * n_rows), layout="constrained")
    for position, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(n_rows, min(len(panels), n_columns), position)
        _draw_panel(axes, panel, [point for point in points if point.panel == panel.title])
    return figure


def _draw_panel(axes: Axes, panel: Panel, points: Sequence[Point]) -> None:
    """Draws the series of one panel; the last value of an evaluation stands in the legend."""
    for index, name in enumerate(dict.fromkeys(point.series for point in points)):
        series = [(point.iteration + 1, point.value) for point in points if point.series == name]
        iterations, values = zip(*series, strict=True)
        marker = "o" if len(series) < 30 else ""
        axes.plot(
            iterations,
            values,
            marker=marker,
            markersize=3,
            linewidth=1.2,
            linestyle=("-", "--", ":")[index // len(_COLOURS) % 3],
            color=_COLOURS[index % len(_COLOURS)],
            label=f"{name} (last {values[-1]:.4g})",
        )
    if panel.is_log and all(point.value > 0 for point in points):
        axes.set_yscale("log")
    axes.set_title(panel.title)
    axes.set_xlabel("iterations done")
    axes.set_ylabel(panel.y_label)
    axes.grid(visible=True, alpha=0.3)
    if len(axes.lines) > _MAX_LINES_WITH_LEGEND_INSIDE:
        axes.legend(fontsize=6, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    else:
        axes.legend(fontsize=7)


def to_csv(points: Sequence[Point]) -> str:
    """The drawn points as CSV text."""
    rows = ((point.panel, point.series, point.iteration, point.value) for point in points)
    return to_csv_text(_CSV_COLUMNS, rows)


def write_plot(metrics: Sequence[Path], labels: Sequence[str], output: Path, *, overwrite: bool) -> Path:
    """Draws one training, or compares several, to `output`; returns the path of the CSV file next to it.

    Raises:
        FetalHCError: if the metrics cannot be drawn, or the files exist already or cannot be written.
    """
    if output.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"{output}: has an unknown type; expected .png, .svg or .pdf; change the name")
    table = output.with_suffix(".csv")
    existing = [str(path) for path in (output, table) if path.exists()]
    if existing and not overwrite:
        raise ConfigError(f"{', '.join(existing)}: exists already; choose another --output or add --overwrite")
    is_one = len(metrics) == 1
    points = read_points(metrics[0]) if is_one else read_losses(metrics, labels)
    figure, picture = (plot_training if is_one else plot_losses)(points), io.BytesIO()
    figure.savefig(picture, format=output.suffix[1:].lower(), dpi=120)
    write_bytes_atomic(output, picture.getvalue())
    write_text_atomic(table, to_csv(points))
    return table


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument(
        "--metrics",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="metrics.json of a training, or of several",
    )
    parser.add_argument(
        "--labels", nargs="+", metavar="NAME", help="of several trainings (default: the folders that hold the files)"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="picture to write (png, svg, pdf)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing picture and its CSV file")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    labels = options.labels or [path.resolve().parent.name for path in options.metrics]
    table = write_plot(options.metrics, labels, options.output, overwrite=options.overwrite)
    print(f"{options.output} (points: {table})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
