"""A configuration with masks on, and images of one ellipse whose geometry is known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fetal_hc.engine.config import CfgNode, get_default_config
from fetal_hc.io.masks import polygon_to_coverage
from fetal_hc_cli.training.architectures import ARCHITECTURES
from hc18.geometry.ellipse import Ellipse

MakeRecord = Callable[..., dict[str, Any]]


@pytest.fixture
def cfg() -> CfgNode:
    """Defaults of the engine with a mask head, one class, soft masks and an input of at most 240 x 320 px."""
    cfg = get_default_config(ARCHITECTURES)
    cfg.MODEL.MASK_ON = True
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 1
    cfg.INPUT.MIN_SIZE_TRAIN = [216]
    cfg.INPUT.MAX_SIZE_TRAIN = 320
    cfg.INPUT.MIN_SIZE_TEST = 216
    cfg.INPUT.MAX_SIZE_TEST = 320
    cfg.INPUT.SOFT_MASKS = True
    cfg.INPUT.RANDOM_FLIP = "none"
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.SOLVER.IMS_PER_BATCH = 4
    cfg.SEED = 7
    return cfg


@pytest.fixture
def all_augmentations(cfg: CfgNode) -> CfgNode:
    """The same configuration with every augmentation on."""
    cfg.INPUT.RANDOM_FLIP = "both"
    values = {
        "ROTATION_DEG": 180.0,
        "SCALE_RANGE": [0.8, 1.25],
        "TRANSLATE_FRAC": 0.1,
        "GAMMA_RANGE": [0.7, 1.4],
        "CONTRAST_RANGE": [0.7, 1.3],
        "BRIGHTNESS_RANGE": [0.7, 1.3],
        "SPECKLE_SD": 0.2,
        "BLUR_SIGMA_MAX": 1.0,
        "OCCLUSION_PROB": 0.5,
    }
    for key, value in values.items():
        cfg.INPUT.AUG[key] = value
    return cfg


def polygon_of(ellipse: Ellipse, n_points: int = 240) -> np.ndarray:
    """Outline (n, 2) in the corner convention."""
    return ellipse.outline(n_points) + 0.5


@pytest.fixture
def make_record(tmp_path: Path) -> MakeRecord:
    """Writes the image of a grey ellipse (0 outside, 200 inside, exact coverage between) and returns its record."""

    def make(
        ellipse: Ellipse | None = None, image_hw: tuple[int, int] = (540, 800), name: str = "head.png"
    ) -> dict[str, Any]:
        ellipse = ellipse or Ellipse.from_axes(388.3, 262.8, 171.4, 128.6, 0.6)
        polygon = polygon_of(ellipse)
        image = np.rint(200 * polygon_to_coverage(polygon, image_hw, 16)).astype(np.uint8)
        path = tmp_path / name
        Image.fromarray(image).save(path)
        low, size = polygon.min(axis=0), np.ptp(polygon, axis=0)
        annotation = {
            "bbox": [*low.tolist(), *size.tolist()],
            "category_id": 0,
            "iscrowd": 0,
            "segmentation": [polygon.ravel().tolist()],
        }
        return {
            "file_name": str(path),
            "image_id": 1,
            "height": image_hw[0],
            "width": image_hw[1],
            "pixel_size_mm": 0.1,
            "annotations": [annotation],
        }

    return make
