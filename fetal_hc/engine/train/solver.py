"""Optimiser, learning-rate schedule and gradient clipping with Detectron2's SOLVER keys, and averaged weights."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from fetal_hc.engine.config import CfgNode
from fetal_hc.errors import ConfigError

# Keras's values: share of the old mean square that each step keeps, and what keeps the division defined.
RMSPROP_ALPHA, RMSPROP_EPS = 0.9, 1e-7

NORM_LAYERS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.GroupNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.LayerNorm,
    nn.LocalResponseNorm,
)


class WarmupSchedule:
    """Sets every learning rate to its base value times `multiplier(iteration)`.

    The state has the keys of Detectron2's scheduler (`base_lrs`, `last_epoch`; an "epoch" is one iteration).

    Args:
        optimizer: its groups' present learning rates are the base values.
        multiplier: factor on the base learning rates at a 0-based iteration.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, multiplier: Callable[[int], float]) -> None:
        self._optimizer = optimizer
        self._multiplier = multiplier
        self.base_lrs: list[float] = [group["lr"] for group in optimizer.param_groups]
        self.last_epoch = 0
        self.plateau_factor = 1.0
        self._apply()

    def step(self) -> None:
        """Moves to the next iteration."""
        self.last_epoch += 1
        self._apply()

    def lower(self, factor: float, min_factor: float) -> None:
        """Multiplies all learning rates, from now on, by `factor`; over all calls by no less than `min_factor`."""
        self.plateau_factor = max(self.plateau_factor * factor, min_factor)
        self._apply()

    def state_dict(self) -> dict[str, Any]:
        """Base learning rates, the iteration and, once lowered, the factor of the plateaus."""
        state = {"base_lrs": list(self.base_lrs), "last_epoch": self.last_epoch}
        return state if self.plateau_factor == 1.0 else {**state, "plateau_factor": self.plateau_factor}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Returns to a saved iteration."""
        self.base_lrs = list(state["base_lrs"])
        self.last_epoch = int(state["last_epoch"])
        self.plateau_factor = float(state.get("plateau_factor", 1.0))
        self._apply()

    def _apply(self) -> None:
        factor = self._multiplier(self.last_epoch) * self.plateau_factor
        for group, base_lr in zip(self._optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = base_lr * factor


def training_dtype(cfg: CfgNode, device_type: str, *, cpu_has_bfloat16: bool | None = None) -> torch.dtype:
    """Type of matrix products and convolutions in training; float32 stands for training without mixed precision.

    SOLVER.AMP.DTYPE "" is float16 on a GPU. On a CPU it is bfloat16 where the processor computes in it, else float32:
    emulated bfloat16 takes about ten times as long as float32. `cpu_has_bfloat16` None asks this machine's processor.
    """
    if not cfg.SOLVER.AMP.ENABLED:
        return torch.float32
    if cfg.SOLVER.AMP.DTYPE:
        return {"float16": torch.float16, "bfloat16": torch.bfloat16}[cfg.SOLVER.AMP.DTYPE]
    if device_type == "cuda":
        return torch.float16
    if cpu_has_bfloat16 is None:
        cpu_has_bfloat16 = torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if cpu_has_bfloat16 else torch.float32


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """SGD, Adam, AdamW or RMSprop over the trainable parameters of `model`, grouped by rate and decay.

    Raises:
        ConfigError: if SOLVER.OPTIMIZER is none of them, or nothing is trainable.
    """
    solver = cfg.SOLVER
    groups = parameter_groups(cfg, model)
    if not groups:
        raise ConfigError("the model has no trainable parameter; lower MODEL.BACKBONE.FREEZE_AT")
    if solver.OPTIMIZER == "SGD":
        return torch.optim.SGD(
            groups,
            lr=solver.BASE_LR,
            momentum=solver.MOMENTUM,
            nesterov=solver.NESTEROV,
            weight_decay=solver.WEIGHT_DECAY,
            foreach=True,
        )
    adaptive = {"Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW}.get(solver.OPTIMIZER)
    if adaptive is not None:
        # One pass over the weights instead of the several of `foreach`, which a CPU's memory makes slow.
        return adaptive(groups, lr=solver.BASE_LR, weight_decay=solver.WEIGHT_DECAY, fused=True)
    if solver.OPTIMIZER == "RMSprop":
        decay = solver.WEIGHT_DECAY
        return torch.optim.RMSprop(groups, lr=solver.BASE_LR, alpha=RMSPROP_ALPHA, eps=RMSPROP_EPS, weight_decay=decay)
    raise ConfigError(f"SOLVER.OPTIMIZER: {solver.OPTIMIZER!r} is unknown; expected SGD, Adam, AdamW or RMSprop")


def parameter_groups(cfg: CfgNode, model: nn.Module) -> list[dict[str, Any]]:
    """Groups of trainable parameters that share learning rate and weight decay, in order of first appearance.

    Parameters of normalisation layers decay by WEIGHT_DECAY_NORM. Every parameter named `bias`, those of
    normalisation layers included, then takes BIAS_LR_FACTOR (if not 1) and WEIGHT_DECAY_BIAS (if not None), as in
    Detectron2.
    """
    solver = cfg.SOLVER
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    seen: set[nn.Parameter] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or parameter in seen:
                continue
            seen.add(parameter)
            learning_rate, weight_decay = solver.BASE_LR, solver.WEIGHT_DECAY
            if isinstance(module, NORM_LAYERS):
                weight_decay = solver.WEIGHT_DECAY_NORM
            if name == "bias":
                learning_rate *= solver.BIAS_LR_FACTOR
                if solver.WEIGHT_DECAY_BIAS is not None:
                    weight_decay = solver.WEIGHT_DECAY_BIAS
            groups.setdefault((learning_rate, weight_decay), []).append(parameter)
    return [{"params": members, "lr": lr, "weight_decay": decay} for (lr, decay), members in groups.items()]


def build_schedule(cfg: CfgNode, optimizer: torch.optim.Optimizer) -> WarmupSchedule:
    """WarmupMultiStepLR or WarmupCosineLR for `optimizer`.

    Raises:
        ConfigError: unknown schedule or warm-up, steps not rising or past MAX_ITER, BASE_LR_END outside 0..BASE_LR.
    """
    return WarmupSchedule(optimizer, learning_rate_multiplier(cfg))


def learning_rate_multiplier(cfg: CfgNode) -> Callable[[int], float]:
    """Factor on the base learning rate as a function of the 0-based iteration.

    Without warm-up: WarmupMultiStepLR is GAMMA ** (number of STEPS reached); WarmupCosineLR is a half cosine from 1
    at iteration 0 to BASE_LR_END / BASE_LR at MAX_ITER. During the first WARMUP_ITERS iterations the factor is
    WARMUP_FACTOR ("constant") or rises linearly from it to what the schedule has at the end of the warm-up.

    Raises:
        ConfigError: see `build_schedule`.

    References: Detectron2, solver/lr_scheduler.py, WarmupParamScheduler (RESCALE_INTERVAL False).
    """
    solver = cfg.SOLVER
    if solver.LR_SCHEDULER_NAME == "WarmupMultiStepLR":
        main = _multi_step(list(solver.STEPS), solver.GAMMA, solver.MAX_ITER)
    elif solver.LR_SCHEDULER_NAME == "WarmupCosineLR":
        main = _cosine(solver.BASE_LR, solver.BASE_LR_END, solver.MAX_ITER)
    else:
        expected = "expected WarmupMultiStepLR or WarmupCosineLR"
        raise ConfigError(f"SOLVER.LR_SCHEDULER_NAME: {solver.LR_SCHEDULER_NAME!r} is unknown; {expected}")
    if solver.WARMUP_METHOD not in ("linear", "constant"):
        raise ConfigError(f"SOLVER.WARMUP_METHOD: {solver.WARMUP_METHOD!r} is unknown; expected linear or constant")
    n_warmup = min(solver.WARMUP_ITERS, solver.MAX_ITER)
    start, end = solver.WARMUP_FACTOR * main(0), main(n_warmup)

    def multiplier(iteration: int) -> float:
        if iteration >= n_warmup:
            return main(iteration)
        if solver.WARMUP_METHOD == "constant":
            return start
        fraction = iteration / n_warmup
        return end * fraction + start * (1.0 - fraction)

    return multiplier


def clip_gradients(cfg: CfgNode, parameters: Iterable[nn.Parameter]) -> None:
    """Clips the gradient of each parameter on its own, as Detectron2 does, when SOLVER.CLIP_GRADIENTS is on.

    CLIP_TYPE "value" limits every element to +-CLIP_VALUE; "norm" limits each parameter's NORM_TYPE norm to CLIP_VALUE.

    Raises:
        ConfigError: if CLIP_TYPE is neither.
    """
    clip = cfg.SOLVER.CLIP_GRADIENTS
    if not clip.ENABLED:
        return
    if clip.CLIP_TYPE == "value":
        nn.utils.clip_grad_value_(parameters, clip.CLIP_VALUE)
    elif clip.CLIP_TYPE == "norm":
        for parameter in parameters:
            nn.utils.clip_grad_norm_(parameter, clip.CLIP_VALUE, clip.NORM_TYPE)
    else:
        raise ConfigError(f"SOLVER.CLIP_GRADIENTS.CLIP_TYPE: {clip.CLIP_TYPE!r} is unknown; expected value or norm")


def _multi_step(steps: list[int], gamma: float, max_iter: int) -> Callable[[int], float]:
    if steps != sorted(steps) or any(step >= max_iter for step in steps):
        raise ConfigError(
            f"SOLVER.STEPS: {steps} must rise and stay below SOLVER.MAX_ITER {max_iter}; scale STEPS with MAX_ITER"
        )
    return lambda iteration: gamma ** bisect_right(steps, iteration)


def _cosine(base_lr: float, end_lr: float, max_iter: int) -> Callable[[int], float]:
    if not 0.0 <= end_lr <= base_lr or base_lr <= 0.0:
        raise ConfigError(f"SOLVER.BASE_LR_END: {end_lr} is not between 0 and a positive SOLVER.BASE_LR {base_lr}")
    end = end_lr / base_lr
    return lambda iteration: end + 0.5 * (1.0 - end) * (1.0 + math.cos(math.pi * iteration / max_iter))


class ExponentialMovingAverage(AveragedModel):
    """A copy of a model whose weights follow it: average += (1 - decay) * (weights - average) per update.

    The copy, with all parameters and buffers averaged, is `module`. Integer buffers (batch counters) are copied. The
    decay warms up as min(decay, (1 + n) / (10 + n)) at update n, so that the random initial weights are soon forgotten.

    Args:
        model: the average starts as a copy of its weights.
        decay: in [0, 1), per update.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model, multi_avg_fn=partial(_average, decay), use_buffers=True)
        self.n_averaged += 1  # the initial weights count as the first

    @property
    def n_updates(self) -> int:
        """Number of calls of `update_parameters`."""
        return int(self.n_averaged) - 1

    def restore(self, weights: Mapping[str, Tensor], n_updates: int) -> None:
        """Returns to the saved average of the same model, from its state dictionary and its number of updates."""
        self.module.load_state_dict(weights)
        self.n_averaged.fill_(n_updates + 1)


def _average(decay: float, averages: list[Tensor], currents: list[Tensor], n_averaged: Tensor | int) -> None:
    """Moves averages of one type towards the current tensors."""
    if averages[0].is_floating_point():
        n_updates = int(n_averaged) - 1
        torch._foreach_lerp_(averages, currents, 1.0 - min(decay, (1 + n_updates) / (10 + n_updates)))
    else:
        torch._foreach_copy_(averages, currents)
