"""Hooks of the project's trainings between Detectron2's steps."""

from __future__ import annotations

import logging
import signal

import torch
from detectron2.engine import HookBase

from fetal_hc.engine.checkpoints import checkpoint
from fetal_hc.engine.train import distributed
from fetal_hc.io.interruption import StopRequest

logger = logging.getLogger(__name__)


class TrainingStopped(BaseException):
    """SIGTERM or SIGINT ended the training after a checkpoint.

    Not an Exception, for Detectron2's loop logs those as failures.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


class MovingAverage(HookBase):
    """Updates the moving average of the weights after each step."""

    def after_step(self) -> None:
        self.trainer.ema.update_parameters(self.trainer.own_model)


class Checkpoints(HookBase):
    """Writes a checkpoint every `period` iterations and model_final.pth; all processes take part."""

    def __init__(self, period: int) -> None:
        self._period = period

    def after_step(self) -> None:
        done = self.trainer.iter + 1
        if done == self.trainer.max_iter:
            self.trainer.save(checkpoint.FINAL_NAME)
        elif self._period > 0 and done % self._period == 0:
            self.trainer.save(checkpoint.periodic_name(self.trainer.iter))


class StopOnSignal(HookBase):
    """Saves and ends the training after the iteration in which any process received SIGTERM or SIGINT."""

    def __init__(self, request: StopRequest, device: torch.device) -> None:
        self._request = request
        self._device = device

    def after_step(self) -> None:
        number = self._shared_number()
        if not number or self.trainer.iter + 1 == self.trainer.max_iter:
            return
        self.trainer.save(checkpoint.periodic_name(self.trainer.iter))
        logger.info("stopped after iteration %d; continue with --resume", self.trainer.iter + 1)
        raise TrainingStopped(number)

    def _shared_number(self) -> int:
        own = self._request.signal_number
        if not distributed.is_active():
            return own
        received = distributed.all_reduce_mean(torch.tensor([float(own)], device=self._device)).item()
        return (own or int(signal.SIGTERM)) if received else 0
