"""What models that look at a whole image return for it, in evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hc18.geometry.ellipse import Ellipse


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


@dataclass(frozen=True)
class EllipsePrediction:
    """The outline of the one head in an image, in px of the original; None where there is none."""

    ellipse_px: Ellipse | None
