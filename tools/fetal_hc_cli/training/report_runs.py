"""The experiments of a report one after the other: data, training, test scores, curves, and a table of all."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from face_mask.data.classes import ClassMap
from face_mask.data.convert import ConversionOptions, convert_face_mask
from face_mask.training.printed_reports import LOSSES, Experiment
from fetal_hc.engine.architecture import find_architecture
from fetal_hc.engine.checkpoints import checkpoint
from fetal_hc.engine.config import load_config
from fetal_hc.engine.data.datasets import load_training_records
from fetal_hc.engine.evaluation.results import flatten_results
from fetal_hc.engine.search.cross_validation import SUMMARY_NAME, cross_validate
from fetal_hc.engine.train.events import METRICS_NAME, read_metrics
from fetal_hc.engine.train.training_job import RESULTS_NAME, JobOptions, start_job
from fetal_hc.errors import ConfigError
from fetal_hc.io.atomic import write_bytes_atomic, write_text_atomic
from fetal_hc.io.tables import to_csv_text
from fetal_hc_cli.training.architectures import ARCHITECTURES
from fetal_hc_cli.training.compare_models import plot_bars
from fetal_hc_cli.training.plot_predictions import plot_tables
from fetal_hc_cli.training.report_figures import plot_curves, plot_radar

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "face_mask"
TEST_FOLDER = "test"


@dataclass(frozen=True, slots=True)
class ReportData:
    """How the data of a report are converted: a format of `face_mask.data.convert.READERS`, and options."""

    format: str
    options: ConversionOptions


_WORN_OR_NOT = ClassMap.from_options(
    ["with_mask=with_mask", "without_mask=without_mask", "mask_weared_incorrect=with_mask"]
)
DATA = {
    "000": ReportData("folders", ConversionOptions(val_fraction=0.15, test_fraction=0.15)),
    # Parts and mirroring are the report's: its percentages are fractions of 428 test and 343 validation crops of 2141.
    # Crops from 128 x 128 px on are 45.7 % of the faces of our photos, as its 1861 are of 4072.
    "001": ReportData(
        "voc",
        ConversionOptions(
            val_fraction=0.16,
            test_fraction=0.2,
            class_map=_WORN_OR_NOT,
            single_face=True,
            min_crop_area_px=128 * 128,
            mirrors_all_parts=True,
        ),
    ),
    "002": ReportData("mfsd", ConversionOptions(val_fraction=0.15, test_fraction=0.15)),
    # Where the test photos have a folder of their own, validation is a part of the 900.
    "003": ReportData("isic", ConversionOptions(val_fraction=0.1, test_fraction=0.3)),
}


@dataclass(frozen=True, slots=True)
class ReproductionOptions:
    """What can be chosen about the reproduction of a report.

    Attributes:
        report: its number.
        root: folder of the dataset.
        output: folder of everything that is written.
        experiments: to train, in order.
        format: layout of the dataset; None for the report's.
        test_root: folder that is all test; None to split a test part off.
        weights: folder of ImageNet weights as downloaded.
        epochs: most epochs of a training; None for the report's.
        overrides: KEY VALUE KEY VALUE ... for every training.
    """

    report: str
    root: Path
    output: Path
    experiments: tuple[Experiment, ...]
    format: str | None = None
    test_root: Path | None = None
    weights: Path | None = None
    epochs: int | None = None
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an experiment.

    Attributes:
        experiment: the printed one.
        epochs: trained, of each fold.
        scores: metric -> our value.
        note: why there are no scores, or "".
    """

    experiment: Experiment
    epochs: int
    scores: Mapping[str, float]
    note: str


def estimate_minutes(experiment: Experiment, epochs: int) -> float:
    """About how long an experiment takes on one core, from what it took here."""
    return experiment.minutes * epochs / experiment.epochs


def reproduce(options: ReproductionOptions) -> int:
    """Trains what is not finished, scores and draws everything; returns 0, or 128 + the signal that ended it early.

    Raises:
        FetalHCError: for anything wrong with options, data or weights.
    """
    name = _convert(options)
    outcomes = []
    for experiment in options.experiments:
        outcome = _run_experiment(experiment, options, name)
        if isinstance(outcome, int):
            return outcome
        outcomes.append(outcome)
        _write_table(outcomes, options.output)
    return 0


def _convert(options: ReproductionOptions) -> str:
    """Converts the dataset unless that is done; the start of the datasets' names."""
    recipe, folder = DATA[options.report], options.output / "datasets"
    name, format_name = f"face_mask_{options.report}", options.format or recipe.format
    chosen = replace(recipe.options, name=name, progress=True)
    if options.test_root is not None:
        chosen = replace(chosen, test_fraction=0.0)
    if not (folder / f"{name}_report.json").is_file():
        convert_face_mask(format_name, options.root, folder, chosen)
        if options.test_root is not None:
            whole = replace(chosen, test_fraction=1.0, name=f"{name}_held_out")
            convert_face_mask(format_name, options.test_root, folder, whole)
    return name


def _run_experiment(experiment: Experiment, options: ReproductionOptions, data_name: str) -> Outcome | int:
    """Trains and scores one experiment, or says why not; the exit code if a signal ended it."""
    weights = _find_weights(experiment, options.weights)
    if experiment.body_weights and weights is None:
        where = "--weights was not given" if options.weights is None else f"{options.weights} has none"
        return Outcome(experiment, 0, {}, f"not trained: needs {experiment.body_weights}-*.pth, {where}")
    config_file = CONFIGS / f"report_{options.report}" / f"{experiment.name}.yaml"
    folder = options.output / experiment.name
    train, val = (f"{data_name}_{part}" for part in ("train", "val"))
    test = f"{data_name}_held_out_test" if options.test_root is not None else f"{data_name}_test"
    common = ["DATASETS.ROOT", str(options.output / "datasets"), "DATASETS.TRAIN", f"['{train}']"]
    common += ["DATASETS.TEST", f"['{val}']", "OUTPUT_DIR", str(folder)]
    common += [] if weights is None else ["MODEL.WEIGHTS", str(weights)]
    job = JobOptions(ARCHITECTURES, config_file, (*common, *options.overrides), resume=True)
    cfg = load_config(ARCHITECTURES, config_file, job.overrides)
    epochs = min(experiment.epochs, options.epochs or experiment.epochs)
    records = load_training_records(cfg, find_architecture(ARCHITECTURES, cfg.MODEL.META_ARCHITECTURE))
    share = 1.0 - 1.0 / experiment.folds if experiment.folds else 1.0
    per_epoch = math.ceil(len(records) * share / cfg.SOLVER.IMS_PER_BATCH)
    job = replace(job, overrides=(*job.overrides, *_lengths(epochs, per_epoch)))
    if experiment.folds:
        return _cross_validate(experiment, job, folder, per_epoch)
    if not (folder / RESULTS_NAME).is_file():
        code = start_job(job)
        if code >= 128:
            return code
    rows = read_metrics(folder / METRICS_NAME)
    _save_figure(plot_curves(rows, per_epoch), folder / "curves.png")
    scores = _score_on_test(job, folder, test) | _last_losses(rows)
    return Outcome(experiment, _epochs_trained(rows, per_epoch), scores, "")


def _lengths(epochs: int, per_epoch: int) -> tuple[str, ...]:
    """KEY VALUE pairs of a training of so many epochs that is evaluated and saved after each."""
    return (
        *("SOLVER.MAX_ITER", str(epochs * per_epoch)),
        *("SOLVER.CHECKPOINT_PERIOD", str(per_epoch)),
        *("TEST.EVAL_PERIOD", str(per_epoch)),
    )


def _cross_validate(experiment: Experiment, job: JobOptions, folder: Path, per_epoch: int) -> Outcome | int:
    """Trains every fold; our scores are means over the folds."""
    code = cross_validate(job, experiment.folds)
    if isinstance(code, int):
        return code
    trained = []
    for number in range(experiment.folds):
        rows = read_metrics(folder / f"fold{number}" / METRICS_NAME)
        _save_figure(plot_curves(rows, per_epoch), folder / f"fold{number}" / "curves.png")
        trained.append(_epochs_trained(rows, per_epoch))
    summary = json.loads((folder / SUMMARY_NAME).read_text(encoding="utf-8"))["summary"]
    return Outcome(experiment, max(trained), {name: value["mean"] for name, value in summary.items()}, "")


def _score_on_test(job: JobOptions, folder: Path, test: str) -> dict[str, float]:
    """Scores of the best weights on the test part, with confusion matrices; from an earlier call if there was one."""
    output = folder / TEST_FOLDER
    if not (output / RESULTS_NAME).is_file():
        weights = folder / checkpoint.BEST_NAME
        own = ("DATASETS.TEST", f"['{test}']", "MODEL.WEIGHTS", str(weights), "OUTPUT_DIR", str(output))
        start_job(replace(job, overrides=(*job.overrides, *own), resume=False, eval_only=True))
    plot_tables(output)
    return flatten_results(json.loads((output / RESULTS_NAME).read_text(encoding="utf-8")))


def _last_losses(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Last training and validation loss of a metrics.json, under the names of the printed ones."""
    train_name, val_name = LOSSES
    train = [row["total_loss"] for row in rows if row.get("total_loss") is not None]
    val = [row[val_name] for row in rows if row.get(val_name) is not None]
    return {name: values[-1] for name, values in ((train_name, train), (val_name, val)) if values}


def _epochs_trained(rows: Sequence[Mapping[str, Any]], per_epoch: int) -> int:
    return max(int(row["iteration"]) + 1 for row in rows) // per_epoch


def _find_weights(experiment: Experiment, folder: Path | None) -> Path | None:
    """The file of ImageNet weights that an experiment starts from; None if it needs none or there is none."""
    if not experiment.body_weights or folder is None:
        return None
    if not folder.is_dir():
        raise ConfigError(f"--weights {folder}: is no folder; give the one that holds the downloaded .pth files")
    return next(iter(sorted(folder.glob(f"{experiment.body_weights}*.pth"))), None)


def _write_table(outcomes: Sequence[Outcome], folder: Path) -> None:
    """Writes table.csv, table.png and, where masks are scored, radar.png: printed figures next to ours."""
    metrics = list(dict.fromkeys(name for item in outcomes for name in item.experiment.printed))
    rows = []
    for item in outcomes:
        figures = [(item.experiment.printed.get(name), item.scores.get(name)) for name in metrics]
        cells = ["" if value is None else f"{value:.4g}" for pair in figures for value in pair]
        lengths = (item.experiment.epochs, item.epochs)
        rows.append((item.experiment.name, *lengths, item.experiment.n_parameters or "", *cells, item.note))
    columns = [f"{whose} {name}" for name in metrics for whose in ("printed", "own")]
    header = ["experiment", "epochs", "epochs trained", "printed parameters", *columns, "note"]
    write_text_atomic(folder / "table.csv", to_csv_text(header, rows))
    done = [item for item in outcomes if item.scores]
    if not done or not metrics:
        return
    names = [item.experiment.name for item in done]
    own = _table(metrics, [item.scores for item in done])
    printed = _table(metrics, [item.experiment.printed for item in done])
    _save_figure(plot_bars(names, metrics, own, printed), folder / "table.png")
    if len(metrics) > 2:
        series = dict(zip(names, own, strict=True))
        series |= dict(zip((f"{name}, printed" for name in names), printed, strict=True))
        _save_figure(plot_radar(metrics, series), folder / "radar.png")


def _table(metrics: Sequence[str], scores: Sequence[Mapping[str, float]]) -> np.ndarray:
    """Values (R, M), NaN where one is missing."""
    return np.array([[row.get(name, math.nan) for name in metrics] for row in scores], dtype=np.float64)


def _save_figure(figure: Figure, path: Path) -> None:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    write_bytes_atomic(path, picture.getvalue())
