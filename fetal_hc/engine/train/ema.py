"""Exponential moving average of a model's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class ExponentialMovingAverage:
    """Average of all parameters and buffers: average += (1 - decay) * (weights - average) per update.

    The decay warms up as min(decay, (1 + n) / (10 + n)) at update n, so that the random initial weights are soon
    forgotten. Integer buffers (batch counters) are copied.

    Args:
        model: the average starts as a copy of its weights.
        decay: in [0, 1), per update.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.n_updates = 0
        self.weights: dict[str, Tensor] = {name: tensor.clone() for name, tensor in _state(model).items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Moves the average towards the present weights of `model`."""
        decay = min(self.decay, (1 + self.n_updates) / (10 + self.n_updates))
        self.n_updates += 1
        averages, currents = [], []
        for name, tensor in _state(model).items():
            if tensor.is_floating_point():
                averages.append(self.weights[name])
                currents.append(tensor)
            else:
                self.weights[name].copy_(tensor)
        torch._foreach_lerp_(averages, currents, 1.0 - decay)

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        """Within the block `model` holds the averaged weights; afterwards its own again."""
        own = {name: tensor.clone() for name, tensor in _state(model).items()}
        _copy_into(model, self.weights)
        try:
            yield
        finally:
            _copy_into(model, own)

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights and the number of updates."""
        return {"weights": self.weights, "n_updates": self.n_updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Returns to a saved average of the same model."""
        for name, tensor in self.weights.items():
            tensor.copy_(state["weights"][name])
        self.n_updates = int(state["n_updates"])


def _state(model: nn.Module) -> dict[str, Tensor]:
    """The model's parameters and persistent buffers, detached but not copied."""
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}


@torch.no_grad()
def _copy_into(model: nn.Module, weights: dict[str, Tensor]) -> None:
    for name, tensor in _state(model).items():
        tensor.copy_(weights[name])
