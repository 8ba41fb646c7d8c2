"""Exponential moving average of a model's weights, on torch's `AveragedModel`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


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
