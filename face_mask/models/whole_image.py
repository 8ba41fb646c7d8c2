"""Input and output of the models that look at a whole image: one normalised tensor in, one prediction per image out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
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


@dataclass(frozen=True)
class ImagePrediction:
    """Class of an image, and the box of its one object from a model that also finds that.

    Attributes:
        probabilities: (K,) float32 on the CPU, sum 1.
        box_xyxy: (4,) float32 on the CPU, px of the original image, corner convention; None without a box head.
    """

    probabilities: Tensor
    box_xyxy: Tensor | None = None


@dataclass(frozen=True)
class MaskPrediction:
    """Probability of the mask at each pixel of the original image: (H, W) float32 in [0, 1]."""

    probability: NDArray[np.float32]


def average_images(predictions: Sequence[ImagePrediction]) -> ImagePrediction:
    """Mean of the probabilities and boxes of several models for one image."""
    boxes = [item.box_xyxy for item in predictions if item.box_xyxy is not None]
    mean_box = torch.stack(boxes).mean(dim=0) if boxes else None
    return ImagePrediction(torch.stack([item.probabilities for item in predictions]).mean(dim=0), mean_box)


def average_masks(predictions: Sequence[MaskPrediction]) -> MaskPrediction:
    """Mean of the masks of several models for one image."""
    return MaskPrediction(np.mean([item.probability for item in predictions], axis=0, dtype=np.float32))
