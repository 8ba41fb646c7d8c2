"""The network input follows Detectron2's test-time resize to the last bit."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fetal_hc.model.preprocess import InputSpec, resize_image, resized_hw, to_network_input

RGB_SPEC = InputSpec(channel_order="RGB", min_size=64, max_size=100)


def _noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _detectron2_shape(old_h: int, old_w: int, short_edge: int, max_size: int) -> tuple[int, int]:
    """`ResizeShortestEdge.get_output_shape`, restated as an independent reference."""
    scale = short_edge * 1.0 / min(old_h, old_w)
    new_h, new_w = (short_edge * 1.0, scale * old_w) if old_h < old_w else (scale * old_h, short_edge * 1.0)
    if max(new_h, new_w) > max_size:
        shrink = max_size * 1.0 / max(new_h, new_w)
        new_h, new_w = new_h * shrink, new_w * shrink
    return int(np.floor(new_h + 0.5)), int(np.floor(new_w + 0.5))


@pytest.mark.parametrize(
    ("image_hw", "min_size", "max_size", "expected"),
    [
        ((540, 800), 800, 1333, (800, 1185)),  # 1185.185 rounds down
        ((540, 800), 216, 320, (216, 320)),
        ((540, 800), 224, 320, (216, 320)),  # the longer side decides
        ((800, 540), 216, 320, (320, 216)),
        ((563, 799), 320, 1333, (320, 454)),
        ((100, 100), 100, 100, (100, 100)),
        ((100, 101), 50, 1000, (50, 51)),  # 50.5 rounds up
        ((540, 800), 0, 1333, (540, 800)),  # 0: no resize
        ((1, 20000), 216, 320, (1, 320)),  # one pixel stays where Detectron2 would round to none
    ],
)
def test_resized_size(image_hw: tuple[int, int], min_size: int, max_size: int, expected: tuple[int, int]) -> None:
    assert resized_hw(image_hw, min_size, max_size) == expected


def test_resized_size_agrees_with_detectron2_for_many_sizes() -> None:
    rng = np.random.default_rng(1)
    for height, width in rng.integers(200, 1200, (2000, 2)).tolist():
        assert resized_hw((height, width), 216, 320) == _detectron2_shape(height, width, 216, 320)


def test_resize_is_pillows_bilinear_on_uint8() -> None:
    image = _noise(54, 80)
    expected = np.asarray(Image.fromarray(image).resize((40, 27), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(resize_image(image, (27, 40)), expected)


def test_resize_antialiases_when_shrinking() -> None:
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    inner = resize_image(stripes, (16, 16))[:, 1:-1]
    assert np.abs(inner.astype(int) - 127).max() <= 4


def test_grey_image_gives_the_same_input_as_the_three_channel_resize() -> None:
    grey = np.repeat(_noise(54, 80)[..., :1], 3, axis=2)
    reference = resize_image(grey, resized_hw((54, 80), 64, 100)).transpose(2, 0, 1).astype(np.float32)
    np.testing.assert_array_equal(to_network_input(grey, RGB_SPEC), reference)


@pytest.mark.parametrize("changed_channel", [0, 1, 2])
def test_one_coloured_pixel_is_not_lost(changed_channel: int) -> None:
    image = np.full((64, 64, 3), 100, np.uint8)
    image[10, 20, changed_channel] = 200
    planes = to_network_input(image, RGB_SPEC)
    assert planes[changed_channel, 10, 20] == 200
    assert planes.sum() == 100 * 64 * 64 * 3 + 100


@pytest.mark.parametrize(("order", "first_plane"), [("RGB", 0), ("BGR", 2)])
def test_channel_order(order: str, first_plane: int) -> None:
    image = _noise(64, 64)
    spec = InputSpec(channel_order=order, min_size=0, max_size=0)  # type: ignore[arg-type]
    planes = to_network_input(image, spec)
    np.testing.assert_array_equal(planes[0], image[..., first_plane])
    np.testing.assert_array_equal(planes[2], image[..., 2 - first_plane])


def test_input_is_contiguous_float32_in_byte_range() -> None:
    planes = to_network_input(_noise(54, 80), RGB_SPEC)
    assert planes.dtype == np.float32
    assert planes.flags.c_contiguous
    assert planes.shape == (3, 64, 95)
    assert planes.min() >= 0
    assert 200 < planes.max() <= 255


@pytest.mark.parametrize(
    ("order", "min_size", "max_size", "message"),
    [("GRAY", 216, 320, "'GRAY'"), ("RGB", -1, 320, "-1 px"), ("RGB", 216, 0, "0 px")],
)
def test_invalid_spec_is_refused(order: str, min_size: int, max_size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InputSpec(channel_order=order, min_size=min_size, max_size=max_size)  # type: ignore[arg-type]
