"""A model, a loader and a configuration small enough to train in milliseconds, and quick to import in new processes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fetal_hc.engine.config import CfgNode, get_default_config

BATCH_SIZE = 4


class ToyModel(nn.Module):
    """Regression with a normalised hidden layer and a random loss term, behind the contract of the real models."""

    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__()
        self.hidden = nn.Linear(3, 8)
        self.norm = nn.BatchNorm1d(8) if dropout else nn.LayerNorm(8)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(8, 1)

    def forward(self, inputs: list[dict[str, Any]]) -> dict[str, Tensor] | list[Tensor]:
        x = torch.stack([item["image"] for item in inputs]).to(self.hidden.weight.device)
        predicted = self.output(self.dropout(self.norm(self.hidden(x))))[:, 0]
        if not self.training:
            return list(predicted)
        target = torch.stack([item["target"] for item in inputs]).to(x.device)
        return {"loss_fit": (predicted - target).square().mean(), "loss_size": 0.01 * predicted.abs().mean()}


class ToyLoader:
    """Batch k holds the samples k * n ... of an endless stream; of each batch, every process takes its share."""

    def __init__(self, rank: int = 0, world_size: int = 1) -> None:
        self.n_batches = 0
        self.rank, self.world_size = rank, world_size

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        torch.rand(())  # a DataLoader draws from the global generator when it starts
        while True:
            start = self.n_batches * BATCH_SIZE
            self.n_batches += 1
            yield [toy_sample(index) for index in range(start + self.rank, start + BATCH_SIZE, self.world_size)]

    def state_dict(self) -> dict[str, Any]:
        return {"n_batches": self.n_batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.n_batches = state["n_batches"]


def toy_sample(index: int) -> dict[str, Any]:
    image = torch.from_numpy(np.random.default_rng(index).normal(size=3).astype(np.float32))
    return {"image": image, "target": image.sum(), "file_name": f"sample_{index}.png", "image_id": index}


def toy_config(output_dir: Path | str, max_iter: int = 10, **solver: Any) -> CfgNode:
    """Frozen defaults for a toy training on the CPU; `solver` sets keys of SOLVER."""
    cfg = get_default_config(())
    cfg.MODEL.DEVICE = "cpu"
    cfg.OUTPUT_DIR = str(output_dir)
    cfg.SEED = 1
    cfg.SOLVER.MAX_ITER = max_iter
    cfg.SOLVER.STEPS = [max(max_iter - 2, 1)]
    cfg.SOLVER.BASE_LR = 0.01
    cfg.SOLVER.WARMUP_ITERS = 3
    for key, value in solver.items():
        if isinstance(value, dict):
            cfg.SOLVER[key].update(value)
        else:
            cfg.SOLVER[key] = value
    return cfg.freeze()
