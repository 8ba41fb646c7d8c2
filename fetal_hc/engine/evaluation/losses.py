"""Training losses on a dataset that is not trained on: what early stopping and learning-rate plateaus often follow."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.config.defaults import OWN_KEYS
from fetal_hc.engine.train import distributed

TASK = "loss"
# The one metric that every model reports: the sum of its losses.
TOTAL = "total_loss"


def without_augmentation(cfg: CfgNode) -> CfgNode:
    """The configuration whose training samples are the images as evaluation sees them, with their targets."""
    plain = cfg.clone()
    plain.INPUT.AUG.update(OWN_KEYS["INPUT"]["AUG"])
    plain.INPUT.RANDOM_FLIP = "none"
    plain.INPUT.MIN_SIZE_TRAIN, plain.INPUT.MIN_SIZE_TRAIN_SAMPLING = [plain.INPUT.MIN_SIZE_TEST], "choice"
    plain.INPUT.MAX_SIZE_TRAIN = plain.INPUT.MAX_SIZE_TEST
    return plain.freeze()


@torch.no_grad()
def evaluate_losses(model: nn.Module, loader: Iterable[list[dict[str, Any]]]) -> dict[str, float]:
    """Mean of every loss over the images of all processes, and their sum as "total_loss"; NaN where it is not finite.

    Args:
        model: in training mode a batch gives a dictionary of scalar losses; its modes are put back afterwards.
        loader: batches of training samples; in a group of processes each loader gives its own share of the dataset.
    """
    sums: dict[str, float] = defaultdict(float)
    n_images = 0
    with _losses_only(model):
        for batch in loader:
            try:
                losses = model(batch)
            except FloatingPointError:  # a network that has diverged
                losses = {TOTAL: torch.tensor(math.nan)}
            for name, loss in losses.items():
                sums[name] += float(loss) * len(batch)
            n_images += len(batch)
    gathered = distributed.all_gather_objects((dict(sums), n_images))
    count = sum(number for _, number in gathered)
    names = dict.fromkeys(name for part, _ in gathered for name in part)
    means = {name: sum(part.get(name, 0.0) for part, _ in gathered) / count for name in names if name != TOTAL}
    total = sum(value for part, _ in gathered for value in part.values()) / count if count else math.nan
    return {TOTAL: total, **means}


@contextmanager
def _losses_only(model: nn.Module) -> Iterator[None]:
    """Within the block the model gives losses, but drops nothing and neither uses nor changes batch statistics."""
    modes = [(module, module.training) for module in model.modules()]
    model.train()
    for module, _ in modes:
        if isinstance(module, (_BatchNorm, _DropoutNd)):
            module.training = False
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
