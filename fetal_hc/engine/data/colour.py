"""Random changes of colour: saturation and hue. Grey values are the business of `fetal_hc.engine.data.augment`."""

from __future__ import annotations

import cv2
import numpy as np
from cv2.typing import MatLike

from fetal_hc.engine.config import CfgNode
from fetal_hc.errors import ConfigError, raise_problems

MAX_HUE_DEG = 180.0


def check_colour(aug: CfgNode) -> None:
    """Refuses values of INPUT.AUG.SATURATION_RANGE and HUE_DEG outside their ranges.

    Raises:
        ConfigError: listing them.
    """
    problems, bounds = [], aug.SATURATION_RANGE
    if len(bounds) != 2 or not 0.0 <= bounds[0] <= bounds[1]:
        problems.append(f"INPUT.AUG.SATURATION_RANGE: {list(bounds)} is not [low, high] with 0 <= low <= high")
    if not 0.0 <= aug.HUE_DEG <= MAX_HUE_DEG:
        problems.append(f"INPUT.AUG.HUE_DEG: {aug.HUE_DEG} is not in 0..{MAX_HUE_DEG:g}")
    if problems:
        raise_problems(ConfigError, problems, "augmentation of training images")


def change_colours(image: MatLike, aug: CfgNode, rng: np.random.Generator) -> MatLike:
    """The image with another saturation and hue; as it is when it has no colour or neither is to change.

    Args:
        image: uint8, (H, W) or RGB (H, W, 3).
        aug: the node INPUT.AUG.
        rng: source of all randomness.
    """
    if image.ndim == 2 or (tuple(aug.SATURATION_RANGE) == (1.0, 1.0) and not aug.HUE_DEG):
        return image
    matrix = _saturation_matrix(rng.uniform(*aug.SATURATION_RANGE)) @ _hue_matrix(
        rng.uniform(-aug.HUE_DEG, aug.HUE_DEG)
    )
    return cv2.transform(image, matrix)


def _saturation_matrix(factor: float) -> np.ndarray:
    """(3, 3) on RGB columns: distance from the grey value (ITU-R BT.601 luma) times `factor`."""
    grey = np.tile([0.299, 0.587, 0.114], (3, 1))
    return grey + factor * (np.eye(3) - grey)


def _hue_matrix(angle_deg: float) -> np.ndarray:
    """(3, 3) on RGB columns: rotation about the grey axis (Rodrigues' formula)."""
    angle_rad = np.deg2rad(angle_deg)
    axis = np.full(3, 1.0 / np.sqrt(3.0))
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle_rad) * cross + (1.0 - np.cos(angle_rad)) * (cross @ cross)
