"""One training per fold of a dataset, and the results over all folds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Protocol

from fetal_hc.engine.architecture import Architecture, find_architecture
from fetal_hc.engine.config import CfgNode, load_config
from fetal_hc.engine.data.datasets import dataset_path
from fetal_hc.engine.data.folds import Fold, copy_datasets, write_folds
from fetal_hc.engine.evaluation.results import flatten_results
from fetal_hc.engine.train.training_job import RESULTS_NAME, JobOptions, start_job
from fetal_hc.errors import ConfigError
from fetal_hc.io.atomic import write_text_atomic

SUMMARY_NAME = "cross_validation.json"
FOLDS_FOLDER = "folds"


class PooledScores(Protocol):
    """Scores of the images of all folds, evaluated together."""

    def to_json(self) -> dict[str, Any]: ...

    def to_table(self) -> str: ...


@dataclass(frozen=True)
class PooledTask:
    """A task whose evaluator leaves scores of single images, which all folds together are evaluated from.

    Attributes:
        details: file of these scores, from a fold's OUTPUT_DIR and the name of its validation set.
        pool: the scores in the files of all folds.
    """

    details: Callable[[Path, str], Path]
    pool: Callable[[Sequence[Path]], PooledScores]


@dataclass(frozen=True)
class CrossValidation:
    """Results of all folds.

    Attributes:
        folds: metrics ("task/metric") of each fold.
        summary: mean and standard deviation (n - 1) over the folds of every metric, and n; folds where a metric is not
            defined are left out of it.
        pooled: by task, the scores of the images of all folds together, for tasks that leave such scores.
    """

    folds: tuple[Mapping[str, float], ...]
    summary: Mapping[str, Mapping[str, float]]
    pooled: Mapping[str, PooledScores] = field(default_factory=dict)


def cross_validate(
    options: JobOptions,
    n_folds: int,
    *,
    datasets: Sequence[str] = (),
    group_key: str = "group",
    seed: int = 0,
    only: Sequence[int] = (),
    pooled_tasks: Mapping[str, PooledTask] | None = None,
) -> CrossValidation | int:
    """Trains and scores the configuration once per fold, in OUTPUT_DIR/fold0, OUTPUT_DIR/fold1, ...

    A fold is scored by its last evaluation, not by its best one, which its own validation part would have chosen. With
    `resume`, finished folds are kept and an interrupted one goes on.

    Args:
        options: as for one training; `resume` and `overwrite` hold for every fold.
        n_folds: at least 2.
        datasets: whose union is divided, while the others of DATASETS.TRAIN are part of every training; empty: all of
            DATASETS.TRAIN and DATASETS.TEST are divided.
        group_key: see `fetal_hc.engine.data.folds.write_folds`.
        seed: of the division.
        only: numbers of the folds to train and summarize; empty: all.
        pooled_tasks: by name, tasks whose images are also scored over all folds together.

    Returns:
        The results, also written to OUTPUT_DIR/cross_validation.json, and those of a pooled task to
        cross_validation_TASK.json there; or the exit code of a fold that a signal ended.

    Raises:
        FetalHCError: as `fetal_hc.engine.train.training_job.start_job` and `write_folds`.
    """
    cfg = load_config(options.architectures, options.config_file, options.overrides)
    architecture = find_architecture(options.architectures, cfg.MODEL.META_ARCHITECTURE)
    chosen = sorted(set(only)) or list(range(n_folds))
    if not set(chosen) <= set(range(n_folds)):
        raise ConfigError(f"fold numbers {chosen}: expected 0 to {n_folds - 1}")
    output_dir = Path(cfg.OUTPUT_DIR)
    folds, divided, whole = _prepare_folds(cfg, architecture, n_folds, datasets, group_key, seed)
    results: list[Mapping[str, float]] = []
    details: dict[str, list[Path]] = {}
    for number in chosen:
        fold, folder = folds[number], output_dir / f"fold{number}"
        train = [fold.train, *whole]
        own = ["DATASETS.ROOT", str(output_dir / FOLDS_FOLDER), "DATASETS.TRAIN", str(train)]
        own += ["DATASETS.TEST", f"['{fold.val}']", "OUTPUT_DIR", str(folder)]
        if not (options.resume and (folder / RESULTS_NAME).is_file()):
            code = start_job(replace(options, overrides=(*options.overrides, *own)))
            if code >= 128:
                return code
        results.append(flatten_results(_read_json(folder / RESULTS_NAME)))
        for task, pooled_task in (pooled_tasks or {}).items():
            path = pooled_task.details(folder, fold.val)
            details.setdefault(task, []).extend([path] if path.is_file() else [])
    pooled = {task: pooled_tasks[task].pool(paths) for task, paths in details.items() if pooled_tasks and paths}
    validation = CrossValidation(tuple(results), summarize(results), pooled)
    content = {"n_folds": n_folds, "datasets": divided, "only": chosen, "summary": validation.summary, "folds": results}
    write_text_atomic(output_dir / SUMMARY_NAME, json.dumps(content, indent=2) + "\n")
    for task, pooled_scores in pooled.items():
        text = json.dumps(pooled_scores.to_json(), indent=2) + "\n"
        write_text_atomic(output_dir / f"cross_validation_{task}.json", text)
    return validation


def _prepare_folds(
    cfg: CfgNode, architecture: Architecture, n_folds: int, datasets: Sequence[str], group_key: str, seed: int
) -> tuple[list[Fold], list[str], list[str]]:
    """Writes the datasets of all folds; returns them, the names of what was divided and of what every fold trains on.

    Processes that train different folds may do this at the same time: they write equal files.
    """
    divided = list(datasets) or list(dict.fromkeys([*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST]))
    whole = [name for name in cfg.DATASETS.TRAIN if name not in divided]
    sources = {name: dataset_path(cfg, architecture, name) for name in [*divided, *whole]}
    if any(path.suffix != ".json" for path in sources.values()):
        raise ConfigError(f"{', '.join(sources)}: cross-validation divides COCO files alone")
    root = Path(cfg.OUTPUT_DIR) / FOLDS_FOLDER
    root.mkdir(parents=True, exist_ok=True)
    folds = write_folds([sources[name] for name in divided], root, "data", n_folds, group_key=group_key, seed=seed)
    copy_datasets([sources[name] for name in whole], root)
    return folds, divided, whole


def summarize(folds: Sequence[Mapping[str, float | None]]) -> dict[str, dict[str, float]]:
    """Mean, standard deviation (0 for a single value) and count of every metric over the folds that define it."""
    summary = {}
    for name in folds[0]:
        values = [value for fold in folds if (value := fold.get(name)) is not None and math.isfinite(value)]
        if values:
            summary[name] = {"mean": mean(values), "sd": stdev(values) if len(values) > 1 else 0.0, "n": len(values)}
    return summary


def _read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
