"""Masks without learning, on drawn faces."""

import numpy as np
import pytest
from numpy.typing import NDArray

from face_mask.predict.classical import METHODS


def drawn_face() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Skin with a blue mask in the middle and a blue corner outside, all with some noise."""
    image = np.full((120, 120, 3), (200, 140, 110), dtype=np.int16)
    mask = np.zeros((120, 120), dtype=bool)
    mask[60:100, 30:90] = True
    image[mask] = (110, 150, 210)
    image[:12, :12] = (110, 150, 210)
    noise = np.random.default_rng(5).normal(0, 6, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8), mask


@pytest.mark.parametrize("method", sorted(METHODS))
def test_mask_of_a_drawn_face_is_found(method: str) -> None:
    image, mask = drawn_face()
    found = METHODS[method](image)
    assert (found & mask).sum() / (found | mask).sum() > 0.9
    assert not found[:12, :12].any()


@pytest.mark.parametrize("method", sorted(METHODS))
def test_blank_photo_has_no_crash_and_one_answer(method: str) -> None:
    found = METHODS[method](np.full((40, 50, 3), 128, dtype=np.uint8))
    assert found.shape == (40, 50)
    assert found.dtype == bool
    assert found.all() or not found.any()
