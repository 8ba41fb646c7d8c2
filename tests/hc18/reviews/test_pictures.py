import numpy as np
import pytest

from hc18.reviews.models import SoftMask, StoreError
from hc18.reviews.pictures import from_mask_content, from_png, to_mask_content, to_png
from tests.hc18.reviews.cases import image_of


def test_colours_are_kept() -> None:
    image = image_of(1)
    np.testing.assert_array_equal(from_png(to_png(image)), image)


def test_grey_image_takes_one_channel() -> None:
    grey = np.repeat(image_of(1)[:, :, :1], 3, axis=2)
    png = to_png(grey)
    np.testing.assert_array_equal(from_png(png), grey)
    assert len(png) < 0.4 * len(to_png(image_of(1)))


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n torn", "text", None])
def test_damaged_image_is_said_to_be_damaged(content: object) -> None:
    with pytest.raises(StoreError, match="a stored image is damaged"):
        from_png(content)


@pytest.mark.parametrize("content", [b"", b"short", "text", None, bytes(40)])
def test_damaged_mask_is_said_to_be_damaged(content: object) -> None:
    with pytest.raises(StoreError, match="is damaged"):
        from_mask_content(content)


def test_empty_image_is_refused() -> None:
    with pytest.raises(StoreError, match="cannot be stored"):
        to_png(np.zeros((0, 5, 3), np.uint8))


def test_mask_values_outside_the_range_are_clipped() -> None:
    mask = SoftMask(np.zeros(4, np.float32), np.array([[-1.0, 2.0]], dtype=np.float32))
    np.testing.assert_array_equal(from_mask_content(to_mask_content(mask)).mask, [[0.0, 1.0]])
