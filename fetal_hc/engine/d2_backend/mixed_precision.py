"""Detectron2's training step under automatic mixed precision (AMP), on any device and with correct clipping."""

from __future__ import annotations

import logging
import time
from typing import Any

import torch
from detectron2.engine import AMPTrainer, SimpleTrainer
from torch import nn

logger = logging.getLogger(__name__)


class MixedPrecisionStep(AMPTrainer):
    """`AMPTrainer` that unscales gradients before they are clipped, and that runs without a GPU too.

    Detectron2 clips inside the optimiser's `step`. `GradScaler.step` leaves the gradients of a fused optimiser scaled,
    because its kernel divides by the scale itself, so the clipping would see them too large by that scale.

    Args:
        model: gives a dictionary of losses in training mode.
        data: endless batches.
        optimizer: may be wrapped by Detectron2's gradient clipping.
        device_type: "cuda" or "cpu".
        precision: type of the matrix products; only float16 needs a loss scale.
        grad_scaler: the loss scale; None for the usual one of `precision`.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Any,
        optimizer: torch.optim.Optimizer,
        *,
        device_type: str,
        precision: torch.dtype,
        grad_scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        scaler = grad_scaler or torch.amp.GradScaler(device_type, enabled=precision == torch.float16)
        super().__init__(model, data, optimizer, grad_scaler=scaler, precision=precision)
        self._device_type = device_type

    def run_step(self) -> None:
        """One batch: forward under autocast, backward on the scaled loss, one step of the optimiser."""
        start = time.perf_counter()
        batch = next(self._data_loader_iter)
        data_time_s = time.perf_counter() - start
        with torch.autocast(self._device_type, self.precision):
            losses = self.model(batch)
        self.optimizer.zero_grad()
        self.grad_scaler.scale(sum(losses.values())).backward()
        self.after_backward()
        self._write_metrics(losses, data_time_s)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def after_backward(self) -> None:
        """Divides the gradients by the loss scale; `GradScaler.step` then knows that this is done."""
        super().after_backward()
        self.grad_scaler.unscale_(self.optimizer)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from a saved state; a state without loss scale (bfloat16, no AMP) leaves the scale at its start."""
        SimpleTrainer.load_state_dict(self, state_dict)
        saved = state_dict.get("grad_scaler")
        if saved:
            self.grad_scaler.load_state_dict(saved)
        elif self.grad_scaler.is_enabled():
            logger.warning("the checkpoint has no loss scale (it was not trained in float16); the scale starts afresh")
