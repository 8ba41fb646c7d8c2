"""One training or evaluation from a config file: builds the parts, runs them, writes what they were and gave."""

from __future__ import annotations

import importlib.util
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from engine import checkpoint, distributed
from engine.config import CfgNode, dump_config, load_config
from engine.data.datasets import DetectionDataset, dataset_json_path, load_dataset
from engine.data.loader import build_test_loader, build_train_loader
from engine.evaluation import DatasetEvaluator, DatasetEvaluators, evaluate_on_dataset
from engine.evaluation.coco import CocoEvaluator
from engine.evaluation.results import (
    Results,
    check_expected_results,
    check_metric_choices,
    results_table,
    write_results,
)
from engine.events import METRICS_NAME, logging_to
from engine.modeling import build_model
from engine.run_record import RUN_NAME, build_run_record, read_seed, write_run_record
from engine.trainer import BEST_RECORD_NAME, Trainer
from segdata.atomic import write_text_atomic
from segdata.errors import ConfigError

RESULTS_NAME = "results.json"
CONFIG_NAME = "config.yaml"
ENGINES = ("auto", "builtin", "detectron2")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobOptions:
    """What the command line chooses.

    Attributes:
        config_file: YAML configuration.
        overrides: KEY VALUE KEY VALUE ...
        engine: "builtin", or "auto", which is the same as long as no other engine is supported.
        resume: continue from OUTPUT_DIR/last_checkpoint, or start afresh when there is none.
        eval_only: score MODEL.WEIGHTS (with `resume`: the last checkpoint) on DATASETS.TEST, no training.
        overwrite: replace a training that OUTPUT_DIR already holds.
    """

    config_file: Path
    overrides: tuple[str, ...] = ()
    engine: str = "auto"
    resume: bool = False
    eval_only: bool = False
    overwrite: bool = False


def start_job(options: JobOptions, n_processes: int = 1) -> int:
    """Runs the job in `n_processes` processes of this machine; see `run_job` for the result.

    Raises:
        HeadSegError: for anything wrong with options, configuration, data or weights.
    """
    check_engine(options.engine)
    load_config(options.config_file, options.overrides)
    return distributed.launch(run_job, n_processes, (options,))


def run_job(options: JobOptions) -> int:
    """Trains and/or evaluates; returns 0, 1 if TEST.EXPECTED_RESULTS are missed, or 128 + the signal that ended it.

    Writes config.yaml, run.json, results.json and what `Trainer` writes to OUTPUT_DIR.

    Raises:
        HeadSegError: for anything wrong with configuration, data or weights.
    """
    cfg = load_config(options.config_file, options.overrides)
    device = distributed.select_device(cfg.MODEL.DEVICE)
    with distributed.process_group(device.type):
        output_dir = Path(cfg.OUTPUT_DIR)
        cfg = load_config(options.config_file, [*options.overrides, "SEED", str(_choose_seed(cfg, options))])
        with logging_to(output_dir, is_main=distributed.is_main()):
            code = _run(cfg, options, device)
        distributed.barrier()
    return code


def check_engine(name: str) -> None:
    """Accepts the engines that can train here.

    Raises:
        ConfigError: if Detectron2 is asked for.
    """
    if name not in ENGINES:
        raise ConfigError(f"--engine {name}: unknown; expected one of {', '.join(ENGINES)}")
    if name == "detectron2":
        is_installed = importlib.util.find_spec("detectron2") is not None
        reason = "training with it is not supported yet" if is_installed else "detectron2 is not installed"
        raise ConfigError(f"--engine detectron2: {reason}; use --engine builtin, which reads the same config")


def _run(cfg: CfgNode, options: JobOptions, device: torch.device) -> int:
    output_dir = Path(cfg.OUTPUT_DIR)
    last = checkpoint.last_checkpoint(output_dir) if options.resume else None
    if not options.eval_only and last is None:
        _claim_output(output_dir, options.overwrite)
    _write_run_files(cfg, options, device, resumed=last is not None)
    _configure_torch(cfg)
    evaluate = _build_evaluation(cfg)
    loader = None if options.eval_only else build_train_loader(cfg)
    weights = last or (Path(cfg.MODEL.WEIGHTS) if cfg.MODEL.WEIGHTS else None)
    if options.eval_only and weights is None:
        raise ConfigError("--eval-only needs weights; add MODEL.WEIGHTS FILE.pth, or --resume for the last checkpoint")
    model = build_model(cfg).to(device)
    if weights is not None and (loader is None or last is None):
        checkpoint.load_weights(model, checkpoint.read_checkpoint(weights)["model"], weights)
        logger.info("loaded %s", weights)
    if loader is None:
        return _report(cfg, None if evaluate is None else evaluate(model))
    trainer = Trainer(cfg, model, loader, device, evaluate)
    if last is not None:
        trainer.resume(last)
    signal_number = trainer.train()
    if signal_number:
        return 128 + signal_number
    if trainer.results is None and evaluate is not None:  # resumed after its end
        with trainer.evaluation_weights() as model:
            trainer.results = evaluate(model)
    return _report(cfg, trainer.results)


def _choose_seed(cfg: CfgNode, options: JobOptions) -> int:
    """SEED; when negative, that of the run to be resumed or else a random one, the same in all processes."""
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


def _write_run_files(cfg: CfgNode, options: JobOptions, device: torch.device, *, resumed: bool) -> None:
    """Writes config.yaml and run.json; an evaluation of a training's folder leaves those of the training alone."""
    output_dir = Path(cfg.OUTPUT_DIR)
    names = [*(() if options.eval_only else cfg.DATASETS.TRAIN), *cfg.DATASETS.TEST]
    files = [dataset_json_path(cfg, name) for name in names]
    record = build_run_record(cfg.SEED, str(device), distributed.world_size(), files)
    if distributed.is_main() and not (options.eval_only and (output_dir / RUN_NAME).exists()):
        write_run_record(output_dir, record, resumed=resumed)
        write_text_atomic(output_dir / CONFIG_NAME, dump_config(cfg))
    logger.info("seed %d, device %s, %d process(es), output %s", cfg.SEED, device, record["n_processes"], output_dir)


def _configure_torch(cfg: CfgNode) -> None:
    """Seeds this process and applies the settings of torch that the configuration names."""
    checkpoint.seed_everything(cfg.SEED + distributed.rank())
    torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK
    if cfg.FLOAT32_PRECISION:
        torch.set_float32_matmul_precision(cfg.FLOAT32_PRECISION)


def _coco_evaluator(cfg: CfgNode, dataset: DetectionDataset) -> DatasetEvaluator:
    tasks = ("bbox", "segm") if cfg.MODEL.MASK_ON else ("bbox",)
    return CocoEvaluator(dataset.json_path, tasks, cfg.TEST.DETECTIONS_PER_IMAGE)


def _hc_evaluator(cfg: CfgNode, dataset: DetectionDataset) -> DatasetEvaluator:
    from engine.evaluation.hc import HcEvaluator

    return HcEvaluator(dataset.records, Path(cfg.OUTPUT_DIR) / f"hc_{dataset.name}.json")


EVALUATORS: dict[str, Callable[[CfgNode, DetectionDataset], DatasetEvaluator]] = {
    "coco": _coco_evaluator,
    "hc": _hc_evaluator,
}


def _build_evaluation(cfg: CfgNode) -> Callable[[nn.Module], Results] | None:
    """A function that scores a model on DATASETS.TEST; None when that is empty.

    It returns {task: {metric: value}} for one dataset and {dataset: {task: {metric: value}}} for several.

    Raises:
        ConfigError: if TEST names an evaluator or a metric that there is not.
        DatasetError: if a dataset is faulty or lacks what an evaluator needs.
    """
    unknown = [name for name in cfg.TEST.EVALUATORS if name not in EVALUATORS]
    if unknown:
        raise ConfigError(f"TEST.EVALUATORS: {unknown} unknown; expected some of {sorted(EVALUATORS)}")
    if not cfg.DATASETS.TEST:
        return None
    parts = []
    for name in cfg.DATASETS.TEST:
        dataset = load_dataset(cfg, name)
        evaluators = DatasetEvaluators([EVALUATORS[key](cfg, dataset) for key in cfg.TEST.EVALUATORS])
        parts.append((name, build_test_loader(cfg, name, dataset.records), evaluators))
    prefixes = [f"{name}/" for name, _, _ in parts] if len(parts) > 1 else [""]
    names = [prefix + metric for prefix, part in zip(prefixes, parts, strict=True) for metric in part[2].metric_names()]
    check_metric_choices(names, cfg.TEST.BEST_METRIC, cfg.TEST.EXPECTED_RESULTS)

    def evaluate(model: nn.Module) -> Results:
        results = {name: evaluate_on_dataset(model, loader, evaluator) for name, loader, evaluator in parts}
        return next(iter(results.values())) if len(results) == 1 else results

    return evaluate


def _report(cfg: CfgNode, results: Results | None) -> int:
    """Writes and shows the results; 1 when they miss what TEST.EXPECTED_RESULTS names, else 0."""
    results = results or {}
    failures = check_expected_results(results, cfg.TEST.EXPECTED_RESULTS)
    if distributed.is_main():
        write_results(Path(cfg.OUTPUT_DIR) / RESULTS_NAME, results)
    logger.info("results on %s\n%s", ", ".join(cfg.DATASETS.TEST) or "no dataset", results_table(results))
    for failure in failures:
        logger.error("expected result missed: %s", failure)
    return 1 if failures else 0
