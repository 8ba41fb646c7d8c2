"""Single-face crops: partition, rectangles, moved boxes."""

import numpy as np
import pytest

from face_mask.data.crops import NOT_LOOKED_AT, flipped_box, nearest_box_partition, single_face_crops


def test_pixels_of_the_grid_belong_to_the_nearest_box_by_manhattan_distance() -> None:
    boxes = [(2.0, 3.0, 14.0, 20.0), (40.0, 30.0, 52.0, 41.0), (30.0, 5.0, 33.0, 9.0)]
    owner = nearest_box_partition(boxes, (48, 64))
    for row, column in np.ndindex(owner.shape):
        if (row + column) % 5 != 2:
            assert owner[row, column] == NOT_LOOKED_AT
            continue
        x, y = column + 0.5, row + 0.5
        distances = [max(x0 - x, 0, x - x1) + max(y0 - y, 0, y - y1) for x0, y0, x1, y1 in boxes]
        assert distances[owner[row, column]] == min(distances)


def test_two_faces_share_the_photo_half_and_half() -> None:
    left, right = single_face_crops([(8.0, 20.0, 24.0, 40.0), (72.0, 20.0, 88.0, 40.0)], (64, 96))
    assert left.crop_xyxy == (0, 0, 48, 64)
    assert right.crop_xyxy == (48, 0, 96, 64)
    assert right.box_xyxy == (24.0, 20.0, 40.0, 40.0)


def test_only_face_gets_the_whole_photo_though_the_grid_does_not_fit() -> None:
    (crop,) = single_face_crops([(10.0, 10.0, 30.0, 30.0)], (50, 61))
    assert crop.crop_xyxy == (0, 0, 61, 50)
    assert crop.area_px == 61 * 50


def test_crop_holds_its_box_even_without_cells() -> None:
    boxes = [(0.0, 0.0, 60.0, 60.0), (29.0, 29.5, 30.0, 31.0)]
    crops = single_face_crops(boxes, (64, 64), min_area_px=1)
    assert crops[1].crop_xyxy[0] <= 29
    assert crops[1].crop_xyxy[3] >= 31
    x0, y0 = crops[1].crop_xyxy[:2]
    assert crops[1].box_xyxy == (29.0 - x0, 29.5 - y0, 30.0 - x0, 31.0 - y0)


@pytest.mark.parametrize(("min_area_px", "indices"), [(1, [0, 1, 2]), (64 * 16 + 1, [0, 2])])
def test_small_rectangles_are_left_out(min_area_px: int, indices: list[int]) -> None:
    boxes = [(10.0, 8.0, 40.0, 40.0), (44.0, 8.0, 52.0, 40.0), (56.0, 8.0, 90.0, 40.0)]
    crops = single_face_crops(boxes, (64, 96), min_area_px=min_area_px)
    assert [crop.box_index for crop in crops] == indices


def test_photo_without_faces_has_no_crops() -> None:
    assert single_face_crops([], (64, 64)) == []


def test_flip_mirrors_the_box_and_twice_gives_it_back() -> None:
    box = (3.0, 4.0, 10.0, 12.0)
    assert flipped_box(box, 32) == (22.0, 4.0, 29.0, 12.0)
    assert flipped_box(flipped_box(box, 32), 32) == box
