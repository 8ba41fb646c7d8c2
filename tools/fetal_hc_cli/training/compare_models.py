"""Compare finished trainings: a table of chosen metrics as CSV, and a bar chart.

    face-mask compare --runs output/face_mask/report_001/scratch_* --metrics classification/accuracy box/mean_IoU
                      --reported scratch_7=79.44,20.05 --output output/face_mask/scratch.png

--reported gives the figures of others for a run, in the order of --metrics. Exit code: 0 done; 2 bad input.
"""

from __future__ import annotations

import argparse
import io
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from fetal_hc.engine.evaluation.results import flatten_results
from fetal_hc.errors import ConfigError, DatasetError
from fetal_hc.io.atomic import write_bytes_atomic, write_text_atomic
from fetal_hc.io.documents import parse_json
from fetal_hc.io.tables import to_csv_text
from fetal_hc_cli import new_parser, reports_bad_input

_OURS, _REPORTED = "#0072B2", "#E69F00"


def read_run(folder: Path, metrics: Sequence[str]) -> list[float]:
    """The chosen metrics of one training, NaN where it does not have them.

    Raises:
        DatasetError: if the folder has no results.json.
    """
    path = folder / "results.json"
    try:
        flat = flatten_results(parse_json(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); finish the training or leave it out") from error
    return [math.nan if (value := flat.get(name)) is None else float(value) for name in metrics]


def parse_reported(texts: Sequence[str], n_metrics: int) -> dict[str, list[float]]:
    """{name: values} from "NAME=V1,V2" texts; an empty value means not reported.

    Raises:
        ConfigError: if a text has another form.
    """
    reported = {}
    for text in texts:
        name, _, numbers = text.partition("=")
        try:
            values = [float(number) if number else math.nan for number in numbers.split(",")]
        except ValueError:
            values = []
        if not name or len(values) != n_metrics:
            raise ConfigError(f"--reported {text}: expected NAME= and {n_metrics} numbers with commas between")
        reported[name] = values
    return reported


def plot_bars(names: Sequence[str], metrics: Sequence[str], ours: np.ndarray, reported: np.ndarray) -> Figure:
    """One column of axes per metric; ours and, where known, the reported figure of every training.

    Args:
        names: of R trainings.
        metrics: of M metrics.
        ours: (R, M).
        reported: (R, M), NaN where unknown.
    """
    figure = Figure(figsize=(2.5 + 3.2 * len(metrics), 1.0 + 0.42 * len(names)), layout="constrained")
    places = np.arange(len(names))
    for position, metric in enumerate(metrics):
        axes = figure.add_subplot(1, len(metrics), position + 1)
        for shift, values, color, label in (
            (-0.2, ours, _OURS, "this project"),
            (0.2, reported, _REPORTED, "reported"),
        ):
            known = np.isfinite(values[:, position])
            if known.any():
                bars = axes.barh(places[known] + shift, values[known, position], 0.4, color=color, label=label)
                axes.bar_label(bars, fmt="%.1f", fontsize=7, padding=2)
        axes.set_xlabel(metric)
        axes.margins(x=0.12)
        axes.grid(axis="x", alpha=0.3)
        axes.set_yticks(places, names if position == 0 else [], fontsize=8)
        axes.invert_yaxis()  # first run on top
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize=8)
    return figure


def to_csv(names: Sequence[str], metrics: Sequence[str], ours: np.ndarray, reported: np.ndarray) -> str:
    """The drawn figures as CSV text; what is unknown is empty."""
    figures = np.hstack([ours, reported])
    rows = (
        [name, *(f"{value:.6g}" if math.isfinite(value) else "" for value in row)]
        for name, row in zip(names, figures, strict=True)
    )
    return to_csv_text(["run", *metrics, *(f"reported {metric}" for metric in metrics)], rows)


def compare(
    runs: Sequence[Path], metrics: Sequence[str], reported: Mapping[str, Sequence[float]], output: Path
) -> Path:
    """Writes the bar chart to `output` and returns the path of the CSV in the same folder.

    Raises:
        FetalHCError: if a run cannot be read or a file not be written.
    """
    names = [folder.name for folder in runs]
    unknown = [name for name in reported if name not in names]
    if unknown:
        raise ConfigError(f"--reported {', '.join(unknown)}: no such run; expected some of {', '.join(names)}")
    ours = np.array([read_run(folder, metrics) for folder in runs])
    theirs = np.array([reported.get(name, [math.nan] * len(metrics)) for name in names])
    picture = io.BytesIO()
    plot_bars(names, metrics, ours, theirs).savefig(picture, format="png", dpi=120)
    write_bytes_atomic(output, picture.getvalue())
    table = output.with_suffix(".csv")
    write_text_atomic(table, to_csv(names, metrics, ours, theirs))
    return table


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--runs", type=Path, nargs="+", required=True, metavar="DIR", help="folders of trainings")
    parser.add_argument("--metrics", nargs="+", required=True, metavar="TASK/METRIC", help="what to compare")
    parser.add_argument("--reported", nargs="*", default=[], metavar="NAME=V,V", help="figures of others, by metric")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="picture to write (png)")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    reported = parse_reported(options.reported, len(options.metrics))
    table = compare(options.runs, options.metrics, reported, options.output)
    print(f"{options.output} (figures: {table})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
