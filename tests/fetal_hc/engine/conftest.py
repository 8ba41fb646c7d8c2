"""A small Mask R-CNN and inputs for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fetal_hc.engine.architecture import build_model
from fetal_hc.engine.config import CfgNode, load_config
from fetal_hc.engine.modeling.rcnn import GeneralizedRCNN
from fetal_hc.engine.structures import PolygonMasks, Targets
from fetal_hc_cli.training.architectures import ARCHITECTURES, MASK_RCNN

SMALL = ["MODEL.FPN.OUT_CHANNELS", "32", "MODEL.ROI_BOX_HEAD.FC_DIM", "32", "MODEL.ROI_MASK_HEAD.CONV_DIM", "32"]


def ellipse_polygon(center_x: float, center_y: float, semi_axis_a: float, semi_axis_b: float) -> np.ndarray:
    """Flat polygon x0, y0, x1, y1, ... of an upright ellipse."""
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    return np.stack([center_x + semi_axis_a * np.cos(angle), center_y + semi_axis_b * np.sin(angle)], axis=1).ravel()


@pytest.fixture(scope="session")
def make_config(repository_root: Path) -> Callable[..., CfgNode]:
    """A configuration from `configs/hc18/mask_rcnn_R_18_FPN.yaml`, shrunk, with `KEY VALUE` changes."""

    def make(*overrides: str, file: str = "hc18/mask_rcnn_R_18_FPN.yaml") -> CfgNode:
        return load_config(
            ARCHITECTURES, repository_root / "configs" / file, ["MODEL.DEVICE", "cpu", *SMALL, *overrides]
        )

    return make


@pytest.fixture(scope="session")
def make_model(make_config: Callable[..., CfgNode]) -> Callable[..., GeneralizedRCNN]:
    """A seeded network in evaluation mode whose random scores are spread enough to detect something."""

    def make(*overrides: str, seed: int = 0) -> GeneralizedRCNN:
        torch.manual_seed(seed)
        model = build_model(make_config("MODEL.CHANNELS_LAST", "False", *overrides), MASK_RCNN)
        assert isinstance(model, GeneralizedRCNN)
        model.roi_heads.box_predictor.cls_score.weight.data *= 30
        return model.eval()

    return make


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
