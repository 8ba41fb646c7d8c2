"""Draw what a finished training found: confusion matrices, ROC curves and a sheet of predictions.

    face-mask plot-predictions --run output/face_mask/classifier_mobilenet_v2

Every classification_NAME.csv in the folder gets confusion_NAME.png and roc_NAME.png; predictions_NAME.png
shows images of each dataset in DATASETS.TEST, truth in blue, prediction in orange.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import roc_curve

from face_mask.training.classification_evaluation import count_confusions, roc_auc
from face_mask.training.prediction_sheet import draw_predictions
from fetal_hc.engine.architecture import build_model, find_architecture
from fetal_hc.engine.checkpoints import checkpoint
from fetal_hc.engine.config import CONFIG_NAME, load_config
from fetal_hc.engine.data.datasets import load_dataset
from fetal_hc.errors import ConfigError, DatasetError, raise_if_fatal
from fetal_hc.io.atomic import write_bytes_atomic
from fetal_hc.io.tables import read_table, to_numbers
from fetal_hc_cli import new_parser, reports_bad_input
from fetal_hc_cli.training.architectures import ARCHITECTURES

_PREFIX = "classification_"


def read_probabilities(path: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Class names, true classes (N,) and probabilities (N, K) of a classification_NAME.csv.

    Raises:
        DatasetError: if the file is not one.
    """
    remedy = "evaluate the model again"
    header = read_table(path, ["truth"], remedy=remedy).header
    columns = [title for title in header if title.startswith("p_")]
    table = read_table(path, ["truth", *columns], what="predicted classes", remedy=remedy)
    raise_if_fatal([*table.problems, *table.uneven_problems()], f"{path} cannot be drawn")
    names = [title.removeprefix("p_") for title in columns]
    probabilities = np.column_stack([to_numbers(table.column(title)) for title in columns])
    if np.isnan(probabilities).any() or not table.column("truth").isin(names).all():
        finding = "has values that are not probabilities, or true classes without a column"
        raise DatasetError(f"{path}: {finding}; expected the table of an evaluation; {remedy}")
    truth = np.array([names.index(name) for name in table.column("truth")], dtype=np.int64)
    return names, truth, probabilities


def plot_confusion(names: Sequence[str], counts: np.ndarray) -> Figure:
    """Counts (K, K), true classes in rows, shaded by their share of the row."""
    figure = Figure(figsize=(1.6 * len(names) + 2.4, 1.4 * len(names) + 1.4), layout="constrained")
    axes = figure.add_subplot()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    for row, column in np.ndindex(*counts.shape):
        colour = "white" if shares[row, column] > 0.5 else "black"
        text = f"{counts[row, column]}\n{shares[row, column]:.1%}"
        axes.text(column, row, text, ha="center", va="center", color=colour)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names, rotation=90, va="center")
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    return figure


def plot_roc(names: Sequence[str], truth: np.ndarray, probabilities: np.ndarray) -> Figure:
    """ROC curve of every class against the rest; of two classes, the curve of the first."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    for index, name in enumerate(names[:1] if len(names) == 2 else names):
        area = roc_auc(truth == index, probabilities[:, index])
        if np.isfinite(area):
            false_rate, true_rate = roc_curve(truth == index, probabilities[:, index], drop_intermediate=False)[:2]
            axes.plot(false_rate, true_rate, label=f"{name} (area {area:.3f})")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle="--")
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    axes.legend(loc="lower right")
    return figure


def plot_tables(run: Path) -> list[Path]:
    """Confusion matrix and ROC curve of every table of predicted classes in a folder; the written files."""
    written = []
    for table in sorted(run.glob(f"{_PREFIX}*.csv")):
        names, truth, probabilities = read_probabilities(table)
        counts = count_confusions(truth, probabilities)
        stem = table.stem.removeprefix(_PREFIX)
        figures = {"confusion": plot_confusion(names, counts), "roc": plot_roc(names, truth, probabilities)}
        for kind, figure in figures.items():
            picture = io.BytesIO()
            figure.savefig(picture, format="png", dpi=120)
            written.append(table.with_name(f"{kind}_{stem}.png"))
            write_bytes_atomic(written[-1], picture.getvalue())
    return written


def plot_sheets(run: Path, limit: int, overrides: Sequence[str]) -> list[Path]:
    """A sheet of predictions for every dataset the training was scored on; the written files.

    Raises:
        ConfigError: if the folder holds no finished training.
    """
    weights = next(
        (run / name for name in (checkpoint.BEST_NAME, checkpoint.FINAL_NAME) if (run / name).is_file()), None
    )
    if weights is None or not (run / CONFIG_NAME).is_file():
        raise ConfigError(f"{run}: holds no finished training; expected config.yaml and model_final.pth")
    cfg = load_config(ARCHITECTURES, run / CONFIG_NAME, overrides)
    architecture = find_architecture(ARCHITECTURES, cfg.MODEL.META_ARCHITECTURE)
    model = build_model(cfg, architecture).eval()
    checkpoint.load_weights(model, checkpoint.read_checkpoint(weights)["model"], weights)
    written = []
    for name in cfg.DATASETS.TEST:
        picture = io.BytesIO()
        dataset = load_dataset(cfg, architecture, name)
        sheet = draw_predictions(cfg, architecture, model, dataset, limit)
        Image.fromarray(sheet).save(picture, format="png")
        written.append(run / f"predictions_{name}.png")
        write_bytes_atomic(written[-1], picture.getvalue())
    return written


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="OUTPUT_DIR of a training")
    parser.add_argument("--limit", type=int, default=24, metavar="N", help="images on a sheet (default: %(default)s)")
    parser.add_argument("overrides", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="configuration keys to change")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    if options.limit < 1:
        raise ConfigError(f"--limit {options.limit}: expected 1 or more images")
    written = [*plot_tables(options.run), *plot_sheets(options.run, options.limit, options.overrides)]
    print("\n".join(str(path) for path in written))
    return 0


if __name__ == "__main__":
    sys.exit(main())
