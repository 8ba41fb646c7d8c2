"""Search over hyper-parameters with Optuna: every trial is one training of the engine, pruned by Hyperband.

References: Li et al., Hyperband (JMLR 18, 2018); Akiba et al., Optuna (KDD 2019).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import optuna

from fetal_hc.engine.architecture import SearchSpace, find_architecture
from fetal_hc.engine.config import CfgNode, load_config
from fetal_hc.engine.evaluation.results import Results, flatten_results
from fetal_hc.engine.train.training_job import JobOptions, start_job
from fetal_hc.errors import ConfigError, ModelError
from fetal_hc.io.atomic import write_text_atomic

STUDY_NAME = "tuning"
# Table of all trials, in the folder of the study.
TRIALS_NAME = "trials.csv"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TuningOptions:
    """Options of a search.

    Attributes:
        job: configuration and overrides that every trial starts from.
        storage: SQLite file of the study.
        n_trials: finished and pruned trials the study should hold in the end.
        resume: continue the study in `storage`; otherwise it must not exist.
        seed: of the sampler.
    """

    job: JobOptions
    storage: Path
    n_trials: int = 20
    resume: bool = False
    seed: int = 0


class _Interrupted(Exception):
    """A signal ended the training of a trial."""


def tune(options: TuningOptions) -> tuple[optuna.Study, int]:
    """Runs trials until the study holds `n_trials`; returns the study and 0, or 128 + the signal that ended it.

    Each trial trains in OUTPUT_DIR/trial_NNN. The pruner sees TEST.BEST_METRIC after every TEST.EVAL_PERIOD; its best
    value is the trial's. A trial that diverges counts as pruned; an interrupted one does not count. All trials are
    listed in trials.csv in the folder of `storage`.

    Raises:
        ConfigError: if the configuration cannot be tuned, or the study exists already (without `resume`) or does not.
    """
    architectures = options.job.architectures
    cfg = load_config(architectures, options.job.config_file, options.job.overrides)
    space = find_architecture(architectures, cfg.MODEL.META_ARCHITECTURE).search_space
    if space is None:
        raise ConfigError(f"tuning needs a search space, which {cfg.MODEL.META_ARCHITECTURE} does not have")
    if not cfg.TEST.EVAL_PERIOD or not cfg.DATASETS.TEST:
        raise ConfigError("tuning needs evaluations; set TEST.EVAL_PERIOD and DATASETS.TEST")
    if options.storage.exists() != options.resume:
        state = "exists already; add --resume" if options.storage.exists() else "does not exist; leave out --resume"
        raise ConfigError(f"study {options.storage}: {state}, or choose another --storage")
    study = _open_study(cfg, options)
    code = _run_trials(study, cfg, space, options)
    write_text_atomic(options.storage.with_name(TRIALS_NAME), _trials_csv(study, space.parameters))
    return study, code


def _run_trials(study: optuna.Study, cfg: CfgNode, space: SearchSpace, options: TuningOptions) -> int:
    """Adds trials until there are `n_trials`; returns 0, or 128 + the signal that ended the last one early."""
    while len(_ended(study)) < options.n_trials:
        trial = study.ask()
        try:
            study.tell(trial, _run_trial(trial, cfg, space, options.job))
        except optuna.TrialPruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        except ModelError as error:
            logger.warning("trial %d: %s", trial.number, error)
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        except _Interrupted as stop:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return int(stop.args[0])
    return 0


def _open_study(cfg: CfgNode, options: TuningOptions) -> optuna.Study:
    options.storage.parent.mkdir(parents=True, exist_ok=True)
    n_evaluations = max(1, cfg.SOLVER.MAX_ITER // cfg.TEST.EVAL_PERIOD)
    return optuna.create_study(
        storage=f"sqlite:///{options.storage}",
        study_name=STUDY_NAME,
        load_if_exists=options.resume,
        direction="maximize" if cfg.TEST.BEST_MODE == "max" else "minimize",
        sampler=optuna.samplers.TPESampler(seed=options.seed),
        pruner=optuna.pruners.HyperbandPruner(min_resource=1, max_resource=n_evaluations),
    )


def _ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    return study.get_trials(deepcopy=False, states=states)


def _run_trial(trial: optuna.Trial, cfg: CfgNode, space: SearchSpace, job: JobOptions) -> float:
    """Trains one trial; returns its best value.

    Raises:
        TrialPruned: if the pruner ends it.
        ModelError: if it diverges.
        ConfigError: if the stored trials are of another search space.
        _Interrupted: if a signal ends it.
    """
    values: list[float] = []

    def report(results: Results) -> None:
        if job.on_evaluation is not None:
            job.on_evaluation(results)
        values.append(flatten_results(results)[cfg.TEST.BEST_METRIC])
        trial.report(values[-1], step=len(values))
        if trial.should_prune():
            raise optuna.TrialPruned

    try:
        drawn = space.draw(trial)
    except ValueError as error:  # Optuna, about the trials that are stored already
        raise ConfigError(
            f"the study holds trials of another search space ({error}); choose another --storage"
        ) from error
    folder = Path(cfg.OUTPUT_DIR) / f"trial_{trial.number:03d}"
    overrides = (*job.overrides, *drawn, "OUTPUT_DIR", str(folder))
    code = start_job(replace(job, overrides=overrides, overwrite=True, on_evaluation=report))
    if code >= 128:
        raise _Interrupted(code)
    return max(values) if cfg.TEST.BEST_MODE == "max" else min(values)


def _trials_csv(study: optuna.Study, names: Sequence[str]) -> str:
    """All trials of a study as CSV text: number, state, value, number of evaluations, and the parameters `names`."""
    lines = [",".join(["trial", "state", "value", "evaluations", *names])]
    for trial in study.trials:
        value = "" if trial.value is None else f"{trial.value:.6g}"
        parameters = [str(trial.params.get(name, "")) for name in names]
        evaluations = len(trial.intermediate_values)
        lines.append(",".join([str(trial.number), trial.state.name, value, str(evaluations), *parameters]))
    return "\n".join(lines) + "\n"
