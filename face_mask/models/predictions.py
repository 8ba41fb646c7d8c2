"""Predictions of the face-mask models for one image, and their mean over several models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


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
