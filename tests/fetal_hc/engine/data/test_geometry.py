import cv2
import numpy as np
import pytest

from fetal_hc.engine.data import geometry

SQUARE = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])


def shoelace(polygon_xy: np.ndarray) -> float:
    x, y = polygon_xy.T
    return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def test_image_centre_is_the_fixed_point_of_a_rotation_about_it():
    matrix = geometry.about_center(geometry.rotation(0.7), (30, 50))
    np.testing.assert_allclose(geometry.transform_points(np.array([[25.0, 15.0]]), matrix), [[25.0, 15.0]], atol=1e-12)


def test_rotation_turns_from_x_towards_y():
    moved = geometry.transform_points(np.array([[1.0, 0.0]]), geometry.rotation(np.pi / 2))
    np.testing.assert_allclose(moved, [[0.0, 1.0]], atol=1e-12)


def test_centre_convention_of_a_mirror_maps_the_first_pixel_to_the_last():
    mirror = geometry.about_center(geometry.scaling(-1, 1), (6, 10))
    matrix = geometry.to_center_convention(mirror)
    np.testing.assert_allclose(matrix @ [0, 2, 1], [9, 2], atol=1e-12)


def test_opencv_warp_by_the_converted_matrix_equals_an_exact_flip():
    image = np.random.default_rng(0).integers(0, 256, (6, 10), dtype=np.uint8)
    matrix = geometry.to_center_convention(geometry.about_center(geometry.scaling(-1, -1), (6, 10)))
    np.testing.assert_array_equal(cv2.warpAffine(image, matrix, (10, 6)), image[::-1, ::-1])


def test_clip_keeps_a_polygon_inside_as_it_is():
    np.testing.assert_array_equal(geometry.clip_polygon(SQUARE, (10, 10)), SQUARE)


def test_clip_cuts_at_all_four_borders():
    clipped = geometry.clip_polygon(SQUARE * 10 - 15, (8, 6))
    assert clipped.min(axis=0).tolist() == [0, 0]
    assert clipped.max(axis=0).tolist() == [6, 8]
    assert shoelace(clipped) == pytest.approx(48)


def test_clip_of_a_diagonal_edge_has_the_crossing_point():
    clipped = geometry.clip_polygon(np.array([[-2.0, 1.0], [2.0, 3.0], [2.0, 5.0]]), (10, 10))
    assert [0.0, 2.0] in clipped.tolist()


@pytest.mark.parametrize("shift", [(-9, 0), (0, -9), (20, 0), (0, 20)])
def test_clip_of_a_polygon_outside_is_empty(shift: tuple[int, int]):
    assert len(geometry.clip_polygon(SQUARE + shift, (10, 10))) == 0
