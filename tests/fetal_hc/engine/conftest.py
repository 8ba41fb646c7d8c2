"""A small Mask R-CNN and inputs for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fetal_hc.engine.architecture import build_model
from fetal_hc.engine.config import CfgNode, load_config
from fetal_hc.engine.modeling.rcnn import GeneralizedRCNN
from fetal_hc_cli.training.architectures import ARCHITECTURES, MASK_RCNN
from tests.fetal_hc.engine.inputs import SMALL


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
