"""One training or evaluation from a config file: builds the parts, runs them, writes what they were and gave."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from fetal_hc.engine.architecture import Architecture, build_model, find_architecture
from fetal_hc.engine.checkpoints import checkpoint
from fetal_hc.engine.checkpoints.pretrained import load_pretrained
from fetal_hc.engine.config import CONFIG_NAME, CfgNode, dump_config, load_config
from fetal_hc.engine.data.datasets import dataset_path, load_dataset
from fetal_hc.engine.data.loader import build_loss_loader, build_test_loader, build_train_loader
from fetal_hc.engine.evaluation import evaluate_on_dataset
from fetal_hc.engine.evaluation.losses import TASK as LOSS_TASK
from fetal_hc.engine.evaluation.losses import TOTAL, evaluate_losses, without_augmentation
from fetal_hc.engine.evaluation.results import (
    Results,
    check_expected_results,
    check_metric_choices,
    results_table,
    write_results,
)
from fetal_hc.engine.search.ensemble import evaluate_ensemble
from fetal_hc.engine.train import distributed
from fetal_hc.engine.train.backend import EngineChoice, choose_engine, find_import_problem
from fetal_hc.engine.train.best_record import BEST_RECORD_NAME
from fetal_hc.engine.train.events import METRICS_NAME, logging_to
from fetal_hc.engine.train.run_record import RUN_NAME, build_run_record, read_engine, read_seed, write_run_record
from fetal_hc.engine.train.trainer import Trainer
from fetal_hc.errors import ConfigError
from fetal_hc.io.atomic import write_text_atomic

RESULTS_NAME = "results.json"
# Loggers of the engines: the project's, then Detectron2's and its library's. The models' packages are added.
LOGGERS = ("fetal_hc", "detectron2", "fvcore")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobOptions:
    """Choices of the command line for one job.

    Attributes:
        architectures: the models that the configuration may choose from.
        config_file: YAML configuration; for the engine detectron2, also a lazy one of Detectron2 (.py), which is run.
        overrides: KEY VALUE KEY VALUE ...; for a lazy configuration also KEY=VALUE
        engine: "builtin", "detectron2" or "auto"; see `fetal_hc.engine.train.backend.choose_engine`.
        resume: continue from OUTPUT_DIR/last_checkpoint, or start from the beginning where there is none.
        eval_only: score MODEL.WEIGHTS (with `resume`: the last checkpoint) on DATASETS.TEST, no training.
        overwrite: replace a training that OUTPUT_DIR already holds.
        wants_gpus: a number of GPUs was given; the log then says if MODEL.DEVICE keeps the job on the CPU.
        on_evaluation: called with the results of every evaluation; what it raises ends the training.
    """

    architectures: tuple[Architecture, ...]
    config_file: Path
    overrides: tuple[str, ...] = ()
    engine: str = "builtin"
    resume: bool = False
    eval_only: bool = False
    overwrite: bool = False
    wants_gpus: bool = False
    on_evaluation: Callable[[Results], None] | None = None

    @property
    def is_lazy(self) -> bool:
        """Whether the configuration is Python code of Detectron2's kind."""
        return self.config_file.suffix == ".py"


@dataclass(frozen=True)
class _Job:
    """A job whose configuration has been read: what every process of it gets."""

    options: JobOptions
    cfg: CfgNode
    architecture: Architecture
    engine: EngineChoice


def start_job(options: JobOptions, n_processes: int = 1, machines: distributed.Machines | None = None) -> int:
    """Trains and/or evaluates in `n_processes` processes of this machine, which may be one of several `machines`.

    Writes config.yaml, run.json, results.json and what `Trainer` writes to OUTPUT_DIR.

    Returns:
        0, 1 if TEST.EXPECTED_RESULTS are missed, or 128 + the signal that ended the job.

    Raises:
        FetalHCError: for anything wrong with options, configuration, data or weights.
    """
    cfg, architecture = _read_config(options)
    job = _Job(options, cfg, architecture, _choose_engine(cfg, architecture, options))
    return distributed.launch(_run_process, n_processes, (job,), machines)


def _read_config(options: JobOptions) -> tuple[CfgNode, Architecture]:
    """The configuration and its model; what the built-in engine does not cover is left to Detectron2 if asked for."""
    if options.is_lazy and options.engine == "detectron2" and not find_import_problem():
        from fetal_hc.engine.d2_backend.lazy import config_from_lazy

        return config_from_lazy(options.architectures, options.config_file, options.overrides)
    try:
        cfg = load_config(options.architectures, options.config_file, options.overrides)
        return cfg, find_architecture(options.architectures, cfg.MODEL.META_ARCHITECTURE)
    except ConfigError:
        if options.engine != "detectron2" or find_import_problem():
            raise
        from fetal_hc.engine.d2_backend.config import read_config

        return read_config(options.architectures, options.config_file, options.overrides)


def _run_process(job: _Job) -> int:
    """The part of one process in a job."""
    device = distributed.select_device(job.cfg.MODEL.DEVICE)
    with distributed.process_group(device.type):
        cfg = job.cfg.clone()
        cfg.SEED = _choose_seed(cfg, job.options)
        job = replace(job, cfg=cfg.freeze())
        packages = dict.fromkeys(architecture.package for architecture in job.options.architectures)
        loggers = tuple(dict.fromkeys((*LOGGERS, *packages)))
        with logging_to(Path(cfg.OUTPUT_DIR), is_main=distributed.is_main(), loggers=loggers):
            code = _run(job, device)
        distributed.barrier()
    return code


def _choose_engine(cfg: CfgNode, architecture: Architecture, options: JobOptions) -> EngineChoice:
    """The engine of this job; a training is resumed by the engine that began it."""
    output_dir = Path(cfg.OUTPUT_DIR)
    is_resumed = options.resume and not options.eval_only and checkpoint.last_checkpoint(output_dir) is not None
    return choose_engine(options.engine, cfg, architecture, read_engine(output_dir) if is_resumed else None)


def _run(job: _Job, device: torch.device) -> int:
    cfg, options = job.cfg, job.options
    logger.info("engine: %s (%s)", job.engine.name, job.engine.reason)
    if options.wants_gpus and device.type == "cpu":
        logger.warning("--num-gpus: no GPU is used, because MODEL.DEVICE is cpu; add MODEL.DEVICE cuda to use GPUs")
    last = checkpoint.last_checkpoint(cfg.OUTPUT_DIR) if options.resume else None
    if not options.eval_only and last is None:
        _claim_output(Path(cfg.OUTPUT_DIR), options.overwrite)
    _write_run_files(job, device, resumed=last is not None)
    configure_torch(cfg)
    evaluate = _build_evaluation(job)
    weights = last or (Path(cfg.MODEL.WEIGHTS) if cfg.MODEL.WEIGHTS else None)
    if cfg.TEST.ENSEMBLE:
        return _report(cfg, _evaluate_ensemble(job, device))
    if options.eval_only and weights is None:
        raise ConfigError("--eval-only needs weights; add MODEL.WEIGHTS FILE.pth, or --resume for the last checkpoint")
    if job.engine.name == "detectron2":
        from fetal_hc.engine.d2_backend import job as detectron2_job

        lazy = (options.config_file, options.overrides) if options.is_lazy else None
        signal_number, results = detectron2_job.run(
            cfg, job.architecture, weights, resume=last is not None, eval_only=options.eval_only, lazy=lazy
        )
    elif options.eval_only:
        signal_number, results = 0, _evaluate_only(job, device, weights, evaluate)
    else:
        signal_number, results = _train(job, device, last, evaluate)
    return 128 + signal_number if signal_number else _report(cfg, results)


def _evaluate_ensemble(job: _Job, device: torch.device) -> Results:
    if not job.options.eval_only:
        raise ConfigError("TEST.ENSEMBLE names finished trainings to average; add --eval-only")
    return evaluate_ensemble(job.cfg, job.options.architectures, job.architecture, device)


def _evaluate_only(
    job: _Job, device: torch.device, weights: Path | None, evaluate: Callable[[nn.Module], Results] | None
) -> Results:
    model = build_model(job.cfg, job.architecture, device)
    assert weights is not None
    checkpoint.load_weights(model, checkpoint.read_checkpoint(weights)["model"], weights)
    logger.info("loaded %s", weights)
    return {} if evaluate is None else evaluate(model)


def _train(
    job: _Job, device: torch.device, last: Path | None, evaluate: Callable[[nn.Module], Results] | None
) -> tuple[int, Results]:
    """Trains with the built-in engine; 0 or the signal that ended it, and the last results."""
    cfg = job.cfg
    loader = build_train_loader(cfg, job.architecture)
    model = build_model(cfg, job.architecture, device)
    if last is None and cfg.MODEL.WEIGHTS:
        load_pretrained(model, cfg.MODEL.WEIGHTS)
    elif last is None:
        logger.info("training starts from random weights")
    trainer = Trainer(cfg, model, loader, device, evaluate)
    if last is not None:
        trainer.resume(last)
    signal_number = trainer.train()
    if trainer.results is None and evaluate is not None and not signal_number:  # resumed after its end
        with trainer.evaluation_weights() as model:
            trainer.results = evaluate(model)
    return signal_number, trainer.results or {}


def _choose_seed(cfg: CfgNode, options: JobOptions) -> int:
    """SEED; a negative one becomes the seed of the resumed run, or a random one that all processes share."""
    if cfg.SEED >= 0:
        return int(cfg.SEED)
    earlier = read_seed(Path(cfg.OUTPUT_DIR)) if options.resume else None
    return int(distributed.all_gather_objects(secrets.randbits(31) if earlier is None else earlier)[0])


def _claim_output(output_dir: Path, overwrite: bool) -> None:
    """Makes sure that no earlier training is lost by accident; with `overwrite` removes its files.

    Raises:
        ConfigError: if OUTPUT_DIR holds a training and may not be overwritten.
    """
    holds_training = distributed.all_gather_objects((output_dir / checkpoint.LAST_CHECKPOINT).exists())[0]
    if holds_training and not overwrite:
        raise ConfigError(
            f"OUTPUT_DIR {output_dir} already holds a training; add --resume to continue it, --overwrite to replace "
            "it, or choose another OUTPUT_DIR"
        )
    if distributed.is_main():
        names = (checkpoint.LAST_CHECKPOINT, BEST_RECORD_NAME, METRICS_NAME, RESULTS_NAME, RUN_NAME)
        old = [output_dir / name for name in names]
        for path in [*old, *output_dir.glob("model_*.pth"), *output_dir.glob("events.out.tfevents.*")]:
            path.unlink(missing_ok=True)
    distributed.barrier()


def _write_run_files(job: _Job, device: torch.device, *, resumed: bool) -> None:
    """Writes config.yaml and run.json; an evaluation of a training's folder leaves those of the training alone."""
    cfg, eval_only = job.cfg, job.options.eval_only
    output_dir = Path(cfg.OUTPUT_DIR)
    names = [*(() if eval_only else cfg.DATASETS.TRAIN), *cfg.DATASETS.TEST]
    files = [dataset_path(cfg, job.architecture, name) for name in names]
    record = build_run_record(job.engine.name, cfg.SEED, str(device), distributed.world_size(), files)
    if distributed.is_main() and not (eval_only and (output_dir / RUN_NAME).exists()):
        write_run_record(output_dir, record, resumed=resumed)
        write_text_atomic(output_dir / CONFIG_NAME, dump_config(cfg))
    logger.info("seed %d, device %s, %d process(es), output %s", cfg.SEED, device, record["n_processes"], output_dir)


def configure_torch(cfg: CfgNode) -> None:
    """Seeds this process and applies the settings of torch that the configuration names.

    FLOAT32_PRECISION governs matrix products and convolutions on a GPU, as in Detectron2: "highest" forbids TF32.
    """
    checkpoint.seed_everything(cfg.SEED + distributed.rank())
    torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK and not cfg.DETERMINISTIC
    torch.backends.cudnn.deterministic = cfg.DETERMINISTIC
    torch.use_deterministic_algorithms(cfg.DETERMINISTIC)
    if cfg.DETERMINISTIC:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first matrix product runs on a GPU
    if cfg.FLOAT32_PRECISION:
        torch.set_float32_matmul_precision(cfg.FLOAT32_PRECISION)
        torch.backends.cudnn.allow_tf32 = cfg.FLOAT32_PRECISION != "highest"


def _build_evaluation(job: _Job) -> Callable[[nn.Module], Results] | None:
    """A function that scores a model on DATASETS.TEST and reports to `on_evaluation`; None when TEST is empty.

    It returns {task: {metric: value}} for one dataset and {dataset: {task: {metric: value}}} for several.

    Raises:
        ConfigError: if TEST names an evaluator or a metric that there is not.
        DatasetError: if a dataset is faulty or lacks what an evaluator needs.
    """
    cfg, on_evaluation = job.cfg, job.options.on_evaluation
    job.architecture.check_evaluators(cfg.TEST.EVALUATORS)
    if not cfg.DATASETS.TEST:
        return None
    parts, loss_loaders = [], {}
    for name in cfg.DATASETS.TEST:
        dataset = load_dataset(cfg, job.architecture, name)
        evaluators = job.architecture.build_evaluators(cfg, dataset)
        parts.append((name, build_test_loader(cfg, job.architecture, name, dataset.records), evaluators))
        if cfg.TEST.LOSSES:
            loss_loaders[name] = build_loss_loader(without_augmentation(cfg), job.architecture, dataset.records)
    prefixes = [f"{name}/" for name, _, _ in parts] if len(parts) > 1 else [""]
    own = [f"{LOSS_TASK}/{TOTAL}"] if cfg.TEST.LOSSES else []
    names = [
        prefix + metric
        for prefix, part in zip(prefixes, parts, strict=True)
        for metric in (*part[2].metric_names(), *own)
    ]
    best_metric = None if job.options.eval_only else cfg.TEST.BEST_METRIC  # other datasets have other metrics
    check_metric_choices(names, best_metric, cfg.TEST.EXPECTED_RESULTS)

    def evaluate(model: nn.Module) -> Results:
        results = {name: evaluate_on_dataset(model, loader, evaluator) for name, loader, evaluator in parts}
        for name, loader in loss_loaders.items():
            results[name][LOSS_TASK] = evaluate_losses(model, loader)
        shown = next(iter(results.values())) if len(results) == 1 else results
        if on_evaluation is not None:
            on_evaluation(shown)
        return shown

    return evaluate


def _report(cfg: CfgNode, results: Results) -> int:
    """Writes and shows the results; 1 when they miss what TEST.EXPECTED_RESULTS names, else 0."""
    failures = check_expected_results(results, cfg.TEST.EXPECTED_RESULTS)
    if distributed.is_main():
        write_results(Path(cfg.OUTPUT_DIR) / RESULTS_NAME, results)
    logger.info("results on %s\n%s", ", ".join(cfg.DATASETS.TEST) or "no dataset", results_table(results))
    for failure in failures:
        logger.error("expected result missed: %s", failure)
    return 1 if failures else 0
