"""Saturation and hue of training images."""

import numpy as np
import pytest

from fetal_hc.engine.config import CfgNode, get_default_config
from fetal_hc.engine.data.colour import change_colours, check_colour
from fetal_hc.errors import ConfigError
from fetal_hc_cli.training.architectures import ARCHITECTURES

RED = np.full((4, 4, 3), (200, 40, 40), dtype=np.uint8)


def augmentation(saturation: tuple[float, float] = (1.0, 1.0), hue_deg: float = 0.0) -> CfgNode:
    aug = get_default_config(ARCHITECTURES).INPUT.AUG
    aug.SATURATION_RANGE, aug.HUE_DEG = list(saturation), hue_deg
    return aug


def test_no_saturation_is_the_grey_of_equal_brightness() -> None:
    changed = change_colours(RED, augmentation((0.0, 0.0)), np.random.default_rng(0))
    assert np.unique(changed).tolist() == [round(0.299 * 200 + 0.701 * 40)]


def test_hue_turns_about_the_grey_axis() -> None:
    pale = np.full((4, 4, 3), (160, 100, 100), dtype=np.uint8)
    for seed in range(5):
        changed = change_colours(pale, augmentation(hue_deg=40.0), np.random.default_rng(seed)).astype(int)
        assert abs(int(changed[0, 0].sum()) - 360) <= 3
        assert abs(float(np.linalg.norm(changed[0, 0] - 120)) - np.linalg.norm([40, -20, -20])) < 2.0
        assert changed[0, 0, 1] != 100


@pytest.mark.parametrize("image", [RED, RED[..., 0]])
def test_nothing_changes_where_nothing_is_asked_for_or_there_is_no_colour(image: np.ndarray) -> None:
    aug = augmentation() if image.ndim == 3 else augmentation((0.0, 0.0), 90.0)
    assert change_colours(image, aug, np.random.default_rng(0)) is image


@pytest.mark.parametrize("aug", [augmentation((2.0, 1.0)), augmentation((-1.0, 1.0)), augmentation(hue_deg=181.0)])
def test_values_out_of_range_are_refused(aug: CfgNode) -> None:
    with pytest.raises(ConfigError, match=r"INPUT\.AUG"):
        check_colour(aug)
