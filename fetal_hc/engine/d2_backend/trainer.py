"""Detectron2's DefaultTrainer with the project's data, evaluators, optimiser choice and checkpoint files."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, HookBase, SimpleTrainer, TrainerBase, hooks
from detectron2.solver.build import maybe_add_gradient_clipping
from torch import nn
from torch.utils.data import DataLoader

from fetal_hc.engine.architecture import Architecture
from fetal_hc.engine.checkpoints import checkpoint
from fetal_hc.engine.checkpoints.pretrained import load_pretrained
from fetal_hc.engine.d2_backend.components import build_model
from fetal_hc.engine.d2_backend.data import TrainingData, build_test_data
from fetal_hc.engine.d2_backend.hooks import Checkpoints, MovingAverage, StopOnSignal, TrainingStopped
from fetal_hc.engine.d2_backend.mixed_precision import MixedPrecisionStep
from fetal_hc.engine.d2_backend.structures import SoftMaskDetector
from fetal_hc.engine.data.datasets import load_dataset
from fetal_hc.engine.evaluation import DatasetEvaluators
from fetal_hc.engine.evaluation.results import Results, flatten_results
from fetal_hc.engine.train import distributed
from fetal_hc.engine.train.best_record import update_best_record
from fetal_hc.engine.train.events import METRICS_NAME, drop_from
from fetal_hc.engine.train.solver import ExponentialMovingAverage, build_optimizer, training_dtype
from fetal_hc.errors import ModelError
from fetal_hc.io.interruption import StopRequest

logger = logging.getLogger(__name__)


class Trainer(DefaultTrainer):
    """Trains a configuration with Detectron2's loop, hooks, network and learning-rate schedule.

    Beyond `DefaultTrainer`: trainings on the CPU, in bfloat16 with SOLVER.AMP and in several processes too; a moving
    average of the weights; exact resuming; checkpoints that the built-in engine evaluates and exports.

    Args:
        cfg: the frozen tree of `to_detectron2_config`; its datasets have been registered.
        architecture: its model; the mapper and the evaluators are used.
    """

    def __init__(self, cfg: CfgNode, architecture: Architecture) -> None:
        TrainerBase.__init__(self)  # DefaultTrainer's own allows neither AMP nor several processes on a CPU
        self.cfg = cfg
        self.architecture = architecture
        self.start_iter, self.max_iter = 0, cfg.SOLVER.MAX_ITER
        self.results: Results | None = None
        self.device = distributed.select_device(cfg.MODEL.DEVICE)
        self.own_model = self.build_model(cfg)
        self.ema = self._start_average()
        optimizer = self.build_optimizer(cfg, self.own_model)
        self._trainer = _build_step(
            self.own_model,
            self.device,
            self.build_train_data(cfg, architecture),
            optimizer,
            training_dtype(cfg, self.device.type),
        )
        self.scheduler = self.build_lr_scheduler(cfg, self.optimizer)
        self._stop = StopRequest()
        self.register_hooks(self.build_hooks())

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """Detectron2's network; see `fetal_hc.engine.d2_backend.components`."""
        return build_model(cfg)

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """SOLVER.OPTIMIZER over Detectron2's parameter groups, with Detectron2's gradient clipping."""
        return maybe_add_gradient_clipping(cfg, build_optimizer(cfg, model))

    @classmethod
    def build_train_data(cls, cfg: CfgNode, architecture: Architecture) -> TrainingData:
        """The endless stream of training batches."""
        return TrainingData(cfg, architecture)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> DataLoader[Any]:
        """One pass over a dataset."""
        return build_test_data(cfg, dataset_name)

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module, evaluators: Any = None) -> Results:
        """Results of a model, the same in all processes, as the built-in engine's."""
        results = super().test(cfg, SoftMaskDetector(model), evaluators)
        shared: Results = distributed.all_gather_objects(dict(results))[0]
        return shared

    def build_hooks(self) -> list[HookBase]:
        """Detectron2's hooks and ours in the order of DefaultTrainer's, but for the writers; see `train`."""
        return [
            hooks.IterationTimer(),
            hooks.LRScheduler(),
            *([MovingAverage()] if self.ema is not None else []),
            StopOnSignal(self._stop, self.device),
            Checkpoints(self.cfg.SOLVER.CHECKPOINT_PERIOD),
            hooks.EvalHook(self.cfg.TEST.EVAL_PERIOD, self._evaluate_and_keep_best),
        ]

    def resume_or_load(self, resume: bool = True) -> None:
        """Continues the training in OUTPUT_DIR exactly, or starts from MODEL.WEIGHTS where there are any.

        Raises:
            ModelError: if the checkpoint is unreadable, of another engine, or does not fit the model.
        """
        last = checkpoint.last_checkpoint(self.cfg.OUTPUT_DIR) if resume else None
        if last is not None:
            self._resume(last)
        elif self.cfg.MODEL.WEIGHTS:
            load_pretrained(self.own_model, self.cfg.MODEL.WEIGHTS)
            self.ema = self._start_average()

    def train(self) -> int:
        """Trains to SOLVER.MAX_ITER; returns 0, or the signal that ended it early. The last results are in `results`.

        Raises:
            ModelError: if a loss or a proposal is not finite.
        """
        if self.start_iter >= self.max_iter:  # resumed after its end
            self.results = self._evaluate()
            return 0
        if distributed.is_main():
            drop_from(Path(self.cfg.OUTPUT_DIR) / METRICS_NAME, self.start_iter)
            self.register_hooks([hooks.PeriodicWriter(self.build_writers(), period=20)])
        try:
            with self._stop.listening():
                TrainerBase.train(self, self.start_iter, self.max_iter)
        except TrainingStopped as stopped:
            return stopped.signal_number
        except FloatingPointError as error:
            raise ModelError(
                f"iteration {self.iter}: {error}; lower SOLVER.BASE_LR, lengthen SOLVER.WARMUP_ITERS or clip gradients"
            ) from error
        return 0

    def save(self, name: str, *, is_last: bool = True) -> None:
        """Writes a checkpoint in Detectron2's layout, with what exact resuming needs; all processes take part.

        "model" holds the averaged weights where there are any, as in the built-in engine's files.
        """
        random_states = distributed.all_gather_objects(checkpoint.random_state(self.device))
        content = {
            "model": self.own_model.state_dict(),
            "trainer": self.state_dict(),
            "iteration": min(self.iter, self.max_iter - 1),
            "random_state": random_states,
            "sampler": self.data_loader.state_dict(),
        }
        if self.ema is not None:
            content["ema"] = {"n_updates": self.ema.n_updates, "training_weights": content["model"]}
            content["model"] = self.ema.module.state_dict()
        path = Path(self.cfg.OUTPUT_DIR) / name
        if distributed.is_main():
            checkpoint.write_checkpoint(path, content, is_last=is_last)
            logger.info("saved %s", path)
        distributed.barrier()

    def _resume(self, path: Path) -> None:
        content = checkpoint.read_checkpoint(path)
        missing = [key for key in ("trainer", "iteration", "random_state", "sampler") if key not in content]
        if missing:
            raise ModelError(
                f"{path}: the engine detectron2 cannot resume it, it has no {missing}; give it as MODEL.WEIGHTS "
                "without --resume"
            )
        if (self.ema is not None) != ("ema" in content):
            expected = "False" if self.ema is not None else "True"
            raise ModelError(f"{path}: cannot be resumed so; set SOLVER.EMA.ENABLED {expected} as in the first run")
        if self.ema is not None:
            self.ema.restore(content["model"], content["ema"]["n_updates"])
        weights = content["ema"]["training_weights"] if "ema" in content else content["model"]
        checkpoint.load_weights(self.own_model, weights, path)
        self._load_trainer_state(content["trainer"], path)
        self.data_loader.load_state_dict(content["sampler"])
        if distributed.rank() < len(content["random_state"]):
            checkpoint.set_random_state(content["random_state"][distributed.rank()], self.device)
        self.start_iter = content["iteration"] + 1
        logger.info("resumed from %s at iteration %d", path, self.start_iter)

    def _load_trainer_state(self, state: dict[str, Any], path: Path) -> None:
        try:
            self.load_state_dict(state)
        except (ValueError, KeyError) as error:
            raise ModelError(
                f"{path}: its optimiser state does not fit ({error}); resume with the SOLVER keys of the first run"
            ) from error

    def _start_average(self) -> ExponentialMovingAverage | None:
        settings = self.cfg.SOLVER.EMA
        return ExponentialMovingAverage(self.own_model, settings.DECAY) if settings.ENABLED else None

    def _evaluate(self) -> Results:
        """Scores the averaged weights, where there are any; the random state stays as it was."""
        before = checkpoint.random_state(self.device)
        model = self.own_model if self.ema is None else self.ema.module
        distributed.broadcast_buffers(model)
        results = self.test(self.cfg, model, build_test_evaluators(self.cfg, self.architecture))
        checkpoint.set_random_state(before, self.device)
        return results

    def _evaluate_and_keep_best(self) -> dict[str, float]:
        """Evaluates, writes model_best.pth if TEST.BEST_METRIC is the best so far; returns the finite metrics."""
        if not self.cfg.DATASETS.TEST:
            return {}
        self.results = self._evaluate()
        flat = flatten_results(self.results)
        if update_best_record(self.cfg, flat, min(self.iter, self.max_iter - 1)):
            self.save(checkpoint.BEST_NAME, is_last=False)
        return {name: value for name, value in flat.items() if math.isfinite(value)}


def build_test_evaluators(cfg: CfgNode, architecture: Architecture) -> list[DatasetEvaluators]:
    """For each dataset in DATASETS.TEST, the evaluators that TEST.EVALUATORS names."""
    return [architecture.build_evaluators(cfg, load_dataset(cfg, architecture, name)) for name in cfg.DATASETS.TEST]


def _build_step(
    model: nn.Module, device: torch.device, data: TrainingData, optimizer: torch.optim.Optimizer, dtype: torch.dtype
) -> SimpleTrainer:
    """Detectron2's step, in mixed precision where `dtype` asks for it."""
    wrapped = distributed.wrap_model(model, device)
    if dtype == torch.float32:
        return SimpleTrainer(wrapped, data, optimizer)
    return MixedPrecisionStep(wrapped, data, optimizer, device_type=device.type, precision=dtype)
