"""From a batch of model inputs to one normalised tensor, for models whose inputs all have one size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fetal_hc.engine.config import CfgNode


class SquareInput(nn.Module):
    """Stacks "image" (3, S, S), values 0..255, of all inputs to a normalised (N, 3, S, S). Holds no parameters."""

    mean: Tensor
    std: Tensor

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        self.memory_format = torch.channels_last if cfg.MODEL.CHANNELS_LAST else torch.contiguous_format
        self.register_buffer("mean", torch.tensor(cfg.MODEL.PIXEL_MEAN).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(cfg.MODEL.PIXEL_STD).view(-1, 1, 1), persistent=False)

    def forward(self, inputs: list[dict[str, Any]]) -> Tensor:
        images = torch.stack([item["image"] for item in inputs]).to(self.mean.device)
        return ((images - self.mean) / self.std).contiguous(memory_format=self.memory_format)


def stack_targets(inputs: list[dict[str, Any]], key: str, device: torch.device) -> Tensor:
    """The targets `key` of all inputs as one tensor with the batch first."""
    return torch.stack([torch.as_tensor(item[key]) for item in inputs]).to(device)
