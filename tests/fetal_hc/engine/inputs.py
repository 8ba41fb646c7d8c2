"""Inputs of a small Mask R-CNN; imports no domain, so that processes which need nothing else start quickly."""

from __future__ import annotations

import numpy as np
import torch

from fetal_hc.engine.structures import PolygonMasks, Targets

SMALL = ["MODEL.FPN.OUT_CHANNELS", "32", "MODEL.ROI_BOX_HEAD.FC_DIM", "32", "MODEL.ROI_MASK_HEAD.CONV_DIM", "32"]


def ellipse_polygon(center_x: float, center_y: float, semi_axis_a: float, semi_axis_b: float) -> np.ndarray:
    """Flat polygon x0, y0, x1, y1, ... of an upright ellipse."""
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    return np.stack([center_x + semi_axis_a * np.cos(angle), center_y + semi_axis_b * np.sin(angle)], axis=1).ravel()


def make_check_images() -> tuple[np.ndarray, ...]:
    """Two small RGB images of different shape, to compare an exported with its eager network on."""
    inputs = (make_input(1), make_input(2, (128, 96)))
    return tuple(item["image"].permute(1, 2, 0).numpy().astype(np.uint8) for item in inputs)


def make_input(seed: int = 0, image_hw: tuple[int, int] = (96, 128), *, with_targets: bool = False) -> dict:
    """One model input with smooth random grey values and, if asked, one ellipse to find."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 8, generator=generator) * 255
    image = torch.nn.functional.interpolate(coarse, image_hw, mode="bilinear")[0].round()
    item = {"image": image, "height": 2 * image_hw[0], "width": 2 * image_hw[1]}
    if with_targets:
        polygon = ellipse_polygon(60, 50, 36, 28)
        item["targets"] = Targets(
            torch.tensor([[24.0, 22.0, 96.0, 78.0]]),
            torch.tensor([0]),
            PolygonMasks([[polygon]]),
            torch.tensor([True]),
        )
    return item
