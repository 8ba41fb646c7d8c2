"""One training per fold of a dataset, and the results over all folds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev

from engine.config import load_config
from engine.data.datasets import dataset_path
from engine.data.folds import write_folds
from engine.evaluation.results import flatten_results
from engine.training_job import RESULTS_NAME, JobOptions, start_job
from segdata.atomic import write_text_atomic
from segdata.errors import ConfigError

SUMMARY_NAME = "cross_validation.json"
FOLDS_FOLDER = "folds"


@dataclass(frozen=True)
class CrossValidation:
    """What the folds gave.

    Attributes:
        folds: metrics ("task/metric") of each fold.
        summary: mean and standard deviation (n - 1) over the folds of every metric, and n; folds where a metric is not
            defined are left out of it.
    """

    folds: tuple[Mapping[str, float], ...]
    summary: Mapping[str, Mapping[str, float]]


def cross_validate(
    options: JobOptions, n_folds: int, *, datasets: Sequence[str] = (), group_key: str = "group", seed: int = 0
) -> CrossValidation | int:
    """Trains and scores the configuration once per fold, in OUTPUT_DIR/fold0, OUTPUT_DIR/fold1, ...

    A fold is scored by its last evaluation, not by its best one, which its own validation part would have chosen. With
    `resume`, finished folds are kept and an interrupted one goes on.

    Args:
        options: as for one training; `resume` and `overwrite` hold for every fold.
        n_folds: at least 2.
        datasets: whose union is divided; empty: DATASETS.TRAIN and DATASETS.TEST of the configuration.
        group_key: see `engine.data.folds.write_folds`.
        seed: of the division.

    Returns:
        The results, also written to OUTPUT_DIR/cross_validation.json, or the exit code of a fold that a signal ended.

    Raises:
        HeadSegError: as `engine.training_job.start_job` and `write_folds`.
    """
    cfg = load_config(options.config_file, options.overrides)
    names = list(datasets) or [*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST]
    sources = [dataset_path(cfg, name) for name in names]
    if any(path.suffix != ".json" for path in sources):
        raise ConfigError(f"{', '.join(names)}: cross-validation divides COCO files, not classification manifests")
    output_dir = Path(cfg.OUTPUT_DIR)
    root = output_dir / FOLDS_FOLDER
    root.mkdir(parents=True, exist_ok=True)
    folds = write_folds(sources, root, "data", n_folds, group_key=group_key, seed=seed)
    results = []
    for number, fold in enumerate(folds):
        folder = output_dir / f"fold{number}"
        own = ["DATASETS.ROOT", str(root), "DATASETS.TRAIN", f"['{fold.train}']", "DATASETS.TEST", f"['{fold.val}']"]
        overrides = (*options.overrides, *own, "OUTPUT_DIR", str(folder))
        if not (options.resume and (folder / RESULTS_NAME).is_file()):
            code = start_job(replace(options, overrides=overrides))
            if code >= 128:
                return code
        results.append(flatten_results(_read_results(folder / RESULTS_NAME)))
    validation = CrossValidation(tuple(results), summarize(results))
    content = {"n_folds": n_folds, "datasets": names, "summary": validation.summary, "folds": results}
    write_text_atomic(output_dir / SUMMARY_NAME, json.dumps(content, indent=2) + "\n")
    return validation


def summarize(folds: Sequence[Mapping[str, float | None]]) -> dict[str, dict[str, float]]:
    """Mean, standard deviation (0 for a single value) and count of every metric over the folds that define it."""
    summary = {}
    for name in folds[0]:
        values = [value for fold in folds if (value := fold.get(name)) is not None and math.isfinite(value)]
        if values:
            summary[name] = {"mean": mean(values), "sd": stdev(values) if len(values) > 1 else 0.0, "n": len(values)}
    return summary


def _read_results(path: Path) -> Mapping[str, float]:
    content: Mapping[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return content
