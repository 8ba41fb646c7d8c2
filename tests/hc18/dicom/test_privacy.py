"""What is left of an image that is shown and stored, and its key."""

import hashlib

import numpy as np
import pytest

from hc18.dicom.privacy import hide_outside, pixel_sha256

IMAGE = np.random.default_rng(0).integers(1, 256, (6, 8, 3), dtype=np.uint8)


def test_nothing_is_left_outside_the_box() -> None:
    shown = hide_outside(IMAGE, (2, 1, 5, 4))
    np.testing.assert_array_equal(shown[1:4, 2:5], IMAGE[1:4, 2:5])
    shown[1:4, 2:5] = 0
    assert not shown.any()


def test_size_stays_so_that_coordinates_stay() -> None:
    assert hide_outside(IMAGE, (2, 1, 5, 4)).shape == IMAGE.shape


def test_gap_between_two_boxes_is_hidden() -> None:
    shown = hide_outside(IMAGE, (0, 0, 3, 6), (5, 0, 8, 6))
    assert not shown[:, 3:5].any()
    np.testing.assert_array_equal(shown[:, 5:], IMAGE[:, 5:])


def test_without_a_box_everything_is_hidden() -> None:
    assert not hide_outside(IMAGE).any()


@pytest.mark.parametrize("box", [(-3, -2, 4, 3), (4, 3, 99, 99), (-9, -9, 99, 99)])
def test_box_beyond_the_image_is_cut(box: tuple[int, int, int, int]) -> None:
    x0, y0, x1, y1 = box
    expected = IMAGE.copy()
    rows, columns = np.indices(IMAGE.shape[:2])
    expected[(columns < x0) | (columns >= x1) | (rows < y0) | (rows >= y1)] = 0
    np.testing.assert_array_equal(hide_outside(IMAGE, box), expected)


def test_box_wholly_outside_shows_nothing() -> None:
    assert not hide_outside(IMAGE, (-8, -8, -2, -2)).any()


def test_original_is_not_changed() -> None:
    before = IMAGE.copy()
    hide_outside(IMAGE, (0, 0, 1, 1))
    np.testing.assert_array_equal(IMAGE, before)


def test_key_is_the_hash_of_shape_and_bytes() -> None:
    assert pixel_sha256(IMAGE) == hashlib.sha256(b"6x8x3 uint8 " + IMAGE.tobytes()).hexdigest()


def test_key_depends_on_the_shape() -> None:
    assert pixel_sha256(IMAGE) != pixel_sha256(IMAGE.reshape(8, 6, 3))


def test_key_depends_on_every_pixel() -> None:
    changed = IMAGE.copy()
    changed[5, 7, 2] ^= 1
    assert pixel_sha256(IMAGE) != pixel_sha256(changed)


def test_key_does_not_depend_on_the_memory_layout() -> None:
    assert pixel_sha256(np.asfortranarray(IMAGE)) == pixel_sha256(IMAGE)


@pytest.mark.parametrize("image", [IMAGE.astype(np.float32), IMAGE[:, :, 0], IMAGE[:, :, :2]], ids=["f", "2d", "la"])
def test_other_arrays_have_no_key(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \(H, W, 3\)"):
        pixel_sha256(image)
