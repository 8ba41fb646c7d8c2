"""Reading of mask files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_mask.data.masks import mask_box, read_binary_mask, read_colour_mask, to_label
from fetal_hc.io.masks import rle_to_mask
from tests.synthetic_face_mask import binary_mask, colour_mask


def test_colours_are_face_and_mask(tmp_path: Path) -> None:
    Image.fromarray(colour_mask()).save(tmp_path / "m.png")
    masks, fault = read_colour_mask(tmp_path / "m.png")
    assert fault == ""
    assert masks["face"].dtype == np.bool_
    assert masks["face"].sum() == 20 * 40
    assert mask_box([masks["mask"]]) == (10.0, 25.0, 50.0, 45.0)


def test_other_colour_is_named_with_its_number_of_pixels(tmp_path: Path) -> None:
    mask = colour_mask()
    mask[0, :3] = (1, 2, 3)
    Image.fromarray(mask).save(tmp_path / "m.png")
    assert "1 unexpected colours, such as RGB (1, 2, 3) on 3 px" in read_colour_mask(tmp_path / "m.png").fault


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_binary_mask_survives_compression(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(binary_mask()).save(tmp_path / f"m.{suffix}")
    masks, fault = read_binary_mask(tmp_path / f"m.{suffix}")
    assert fault == ""
    np.testing.assert_array_equal(masks["mask"], binary_mask() > 0)


def test_mask_of_zeros_and_ones_is_read(tmp_path: Path) -> None:
    Image.fromarray(binary_mask() // 255).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_binary_mask(tmp_path / "m.png").masks["mask"], binary_mask() > 0)


def test_coloured_picture_is_no_binary_mask(tmp_path: Path) -> None:
    Image.fromarray(colour_mask()).save(tmp_path / "m.png")
    fault = read_binary_mask(tmp_path / "m.png").fault
    assert "neither black nor white, such as RGB (128, 0, 0)" in fault


def test_label_keeps_every_pixel() -> None:
    mask = binary_mask() > 0
    label = to_label("mask", mask, (0.0, 0.0, 80.0, 60.0))
    assert label.mask_rle is not None
    np.testing.assert_array_equal(rle_to_mask(label.mask_rle), mask)
    assert label.mask_area_px == 30 * 40


def test_empty_mask_has_no_box() -> None:
    assert mask_box([np.zeros((4, 5), dtype=np.bool_)]) is None
