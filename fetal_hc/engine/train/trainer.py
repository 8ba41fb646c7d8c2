"""The training loop: any model that returns a dictionary of losses in training mode."""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fetal_hc.engine.checkpoints import checkpoint
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.evaluation.results import Results, flatten_results
from fetal_hc.engine.train import distributed
from fetal_hc.engine.train.best_record import Patience, update_best_record
from fetal_hc.engine.train.events import TrainingEvents
from fetal_hc.engine.train.solver import (
    ExponentialMovingAverage,
    build_optimizer,
    build_schedule,
    clip_gradients,
    training_dtype,
)
from fetal_hc.errors import ModelError
from fetal_hc.io.interruption import StopRequest

logger = logging.getLogger(__name__)


class TrainLoader(Protocol):
    """An endless source of batches (lists of model inputs) that can be continued where it stopped.

    A batch depends on the loader's own state alone, not on the global random generators.
    """

    def __iter__(self) -> Iterator[list[dict[str, Any]]]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Trainer:
    """Trains a model as SOLVER and TEST of the configuration say, with checkpoints in OUTPUT_DIR.

    Args:
        cfg: the frozen configuration.
        model: in training mode a batch gives a dictionary of scalar losses. Already on `device`.
        loader: endless batches; its state is saved in every checkpoint.
        device: where the model computes.
        evaluate: scores the model it is given as {task: {metric: value}}; called by every process, of which the first
            one's result counts; None = never evaluate.
    """

    def __init__(
        self,
        cfg: CfgNode,
        model: nn.Module,
        loader: TrainLoader,
        device: torch.device,
        evaluate: Callable[[nn.Module], Results] | None = None,
    ) -> None:
        self.cfg = cfg
        self.model = model
        self.loader = loader
        self.device = device
        self.evaluate = evaluate
        self.output_dir = Path(cfg.OUTPUT_DIR)
        self.start_iteration = 0
        self.results: Results | None = None
        self.optimizer = build_optimizer(cfg, model)
        self.schedule = build_schedule(cfg, self.optimizer)
        self.patience = Patience(cfg.SOLVER)
        self.ema = ExponentialMovingAverage(model, cfg.SOLVER.EMA.DECAY) if cfg.SOLVER.EMA.ENABLED else None
        self._parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self._dtype = training_dtype(cfg, device.type)
        self._scaler = torch.amp.GradScaler(device.type, enabled=self._dtype == torch.float16)
        self._wrapped = distributed.wrap_model(model, device)
        self._random_state: dict[str, Any] | None = None

    def resume(self, path: Path) -> None:
        """Continues exactly where the checkpoint at `path` was written.

        Raises:
            ModelError: if the file is unreadable, does not fit the model, or holds weights only.
        """
        content = checkpoint.read_checkpoint(path)
        missing = [key for key in ("optimizer", "scheduler", "iteration", "random_state") if key not in content]
        if missing:
            raise ModelError(
                f"{path}: cannot be resumed, it has no {missing}; give it as MODEL.WEIGHTS without --resume"
            )
        if self.ema is not None and "ema" not in content:
            raise ModelError(f"{path}: cannot be resumed, it has no moving average; set SOLVER.EMA.ENABLED False")
        training_weights = content["ema"]["training_weights"] if "ema" in content else content["model"]
        checkpoint.load_weights(self.model, training_weights, path)
        if self.ema is not None:
            self.ema.restore(content["model"], content["ema"]["n_updates"])
        self._load_optimizer(content["optimizer"], path)
        self.schedule.load_state_dict(content["scheduler"])
        self.patience.load_state_dict(content.get("patience", {}))
        if content.get("grad_scaler"):
            self._scaler.load_state_dict(content["grad_scaler"])
        if "sampler" in content:
            self.loader.load_state_dict(content["sampler"])
        states = content["random_state"]
        self._random_state = states[distributed.rank()] if distributed.rank() < len(states) else None
        self.start_iteration = content["iteration"] + 1
        logger.info("resumed from %s at iteration %d", path, self.start_iteration)

    def train(self) -> int:
        """Trains to SOLVER.MAX_ITER, or until patience ends, and writes model_final.pth; returns 0 or a signal number.

        A signal ends the training early, with a checkpoint to resume from.

        The last evaluation is in `results`.

        Raises:
            ModelError: if a loss is not finite.
        """
        if self.patience.is_exhausted:
            return 0
        max_iter, stop = self.cfg.SOLVER.MAX_ITER, StopRequest()
        batches = self._batches()
        self.model.train()
        is_main = distributed.is_main()
        with (
            stop.listening(),
            TrainingEvents(self.output_dir, self.start_iteration, max_iter, is_main=is_main) as events,
        ):
            for iteration in range(self.start_iteration, max_iter):
                signal_number = self._iterate(iteration, batches, events, stop)
                is_last = iteration + 1 == max_iter
                if is_last or (_is_due(iteration, self.cfg.TEST.EVAL_PERIOD) and not signal_number):
                    self._evaluate(iteration, events)
                is_last = is_last or self.patience.is_exhausted
                if is_last or signal_number or _is_due(iteration, self.cfg.SOLVER.CHECKPOINT_PERIOD):
                    self._save(checkpoint.FINAL_NAME if is_last else checkpoint.periodic_name(iteration), iteration)
                if self.patience.is_exhausted:
                    logger.info("ended early after iteration %d: see SOLVER.EARLY_STOPPING", iteration + 1)
                    return 0
                if signal_number and not is_last:
                    logger.info("stopped after iteration %d; continue with --resume", iteration + 1)
                    return signal_number
        return 0

    @contextmanager
    def evaluation_weights(self) -> Iterator[nn.Module]:
        """The model as it is to be evaluated: in eval mode, with averaged weights where there are any."""
        model = self.model if self.ema is None else self.ema.module
        was_training = model.training
        distributed.broadcast_buffers(model)
        model.eval()
        try:
            yield model
        finally:
            model.train(was_training)

    def _batches(self) -> Iterator[list[dict[str, Any]]]:
        """The loader's batches; the random state of a resumed run returns once the loader has started.

        torch's DataLoader draws from the global generator when it starts, which an uninterrupted run does only once.
        """
        batches = iter(self.loader)
        if self._random_state is not None:
            first = next(batches)
            checkpoint.set_random_state(self._random_state, self.device)
            batches = chain([first], batches)
        return batches

    def _iterate(
        self, iteration: int, batches: Iterator[list[dict[str, Any]]], events: TrainingEvents, stop: StopRequest
    ) -> int:
        """One step of the optimiser; returns the signal that some process received, or 0."""
        start = time.perf_counter()
        batch = next(batches)
        data_time_s = time.perf_counter() - start
        try:
            with torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32):
                losses = self._wrapped(batch)
        except FloatingPointError as error:
            raise _divergence(str(error), iteration, batch) from error
        self.optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(_total(losses)).backward()
        watched: dict[str, torch.Tensor] = getattr(self.model, "training_metrics", dict)()
        values, metrics, signal_number = _shared_values(losses, watched, stop.signal_number)
        _check_finite(values, iteration, batch)
        self._scaler.unscale_(self.optimizer)
        clip_gradients(self.cfg, self._parameters)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        lr = self.optimizer.param_groups[0]["lr"]
        self.schedule.step()
        if self.ema is not None:
            self.ema.update_parameters(self.model)
        events.record(iteration, values, lr, time.perf_counter() - start, data_time_s, metrics)
        return signal_number

    def _save(self, name: str, iteration: int, *, is_last: bool = True) -> None:
        """Writes a checkpoint of the present state under `name`; all processes take part."""
        random_states = distributed.all_gather_objects(checkpoint.random_state(self.device))
        content = {
            "model": self.model.state_dict(),
            "initial_weights": self.cfg.MODEL.WEIGHTS or "random",
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.schedule.state_dict(),
            "iteration": iteration,
            "grad_scaler": self._scaler.state_dict(),
            "random_state": random_states,
            "sampler": self.loader.state_dict(),
            "patience": self.patience.state_dict(),
        }
        if self.ema is not None:
            content["ema"] = {"n_updates": self.ema.n_updates, "training_weights": content["model"]}
            content["model"] = self.ema.module.state_dict()
        if distributed.is_main():
            checkpoint.write_checkpoint(self.output_dir / name, content, is_last=is_last)
            logger.info("saved %s", self.output_dir / name)
        distributed.barrier()

    def _evaluate(self, iteration: int, events: TrainingEvents) -> None:
        """Scores the model, records the results and keeps the best model; the random state stays as it was."""
        if self.evaluate is None:
            return
        before = checkpoint.random_state(self.device)
        with self.evaluation_weights() as model:
            results = self.evaluate(model)
        checkpoint.set_random_state(before, self.device)
        self.results = results = distributed.all_gather_objects(results)[0]
        flat = flatten_results(results)
        events.record_results(iteration, flat)
        is_best = update_best_record(self.cfg, flat, iteration)
        if self.patience.record(is_best):
            plateau = self.cfg.SOLVER.PLATEAU
            self.schedule.lower(plateau.FACTOR, plateau.MIN_FACTOR)
            logger.info("plateau: learning rate lowered to %.3g", self.optimizer.param_groups[0]["lr"])
        if is_best:
            self._save(checkpoint.BEST_NAME, iteration, is_last=False)

    def _load_optimizer(self, state: dict[str, Any], path: Path) -> None:
        try:
            self.optimizer.load_state_dict(state)
        except (ValueError, KeyError) as error:
            raise ModelError(
                f"{path}: its optimiser state does not fit ({error}); resume with the SOLVER keys of the first run"
            ) from error


def _is_due(iteration: int, period: int) -> bool:
    return period > 0 and (iteration + 1) % period == 0


def _total(losses: Mapping[str, Tensor]) -> Tensor:
    return torch.stack([loss.float() for loss in losses.values()]).sum()


def _shared_values(
    losses: Mapping[str, Tensor], metrics: Mapping[str, Tensor], signal_number: int
) -> tuple[dict[str, float], dict[str, float], int]:
    """Means of losses and metrics over all processes, and a signal that any of them received (0 = none)."""
    numbers = torch.stack([value.detach().float() for value in (*losses.values(), *metrics.values())])
    numbers = torch.cat([numbers, numbers.new_tensor([float(signal_number)])])
    *values, shared_signal = distributed.all_reduce_mean(numbers).tolist()
    if shared_signal:
        signal_number = signal_number or int(signal.SIGTERM)
    n_losses = len(losses)
    shared_metrics = dict(zip(metrics, values[n_losses:], strict=True))
    return dict(zip(losses, values[:n_losses], strict=True)), shared_metrics, signal_number


def _check_finite(values: Mapping[str, float], iteration: int, batch: Sequence[Mapping[str, Any]]) -> None:
    if not all(math.isfinite(value) for value in values.values()):
        shown = ", ".join(f"{name} {value:.6g}" for name, value in values.items())
        raise _divergence(f"a loss is not finite ({shown})", iteration, batch)


def _divergence(what: str, iteration: int, batch: Sequence[Mapping[str, Any]]) -> ModelError:
    files = ", ".join(str(record.get("file_name", "?")) for record in batch)
    return ModelError(
        f"iteration {iteration}: {what}; batch: {files}; lower SOLVER.BASE_LR, lengthen SOLVER.WARMUP_ITERS, clip "
        "gradients, or check these images' annotations"
    )
