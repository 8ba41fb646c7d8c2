import numpy as np
import pytest

from fetal_hc.engine.data.jigsaw import draw_jigsaw


def striped_image(image_hw: tuple[int, int]) -> np.ndarray:
    rows, columns = np.mgrid[: image_hw[0], : image_hw[1]]
    return np.rint(127 + 120 * np.sin(rows / 3) * np.sin(columns / 4)).astype(np.uint8)


@pytest.mark.parametrize("shape", [(216, 320), (320, 216), (97, 131), (120, 120, 3)])
def test_puzzle_has_the_shape_and_type_of_its_image(shape: tuple[int, ...]):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    puzzle = draw_jigsaw(image, np.random.default_rng(1))
    assert puzzle.shape == shape
    assert puzzle.dtype == np.uint8


def test_puzzle_keeps_brightness_and_texture_but_not_the_outline():
    image = striped_image((216, 320))
    rows, columns = np.mgrid[:216, :320]
    inside = ((rows - 108) / 80) ** 2 + ((columns - 160) / 110) ** 2 < 1
    image[~inside] = 0
    puzzle = draw_jigsaw(image, np.random.default_rng(3))
    assert puzzle.mean() == pytest.approx(image.mean(), rel=0.1)
    share_inside = puzzle[inside].sum() / puzzle.sum()
    assert share_inside < 0.75  # all of the image's brightness was inside
    assert puzzle.max() > 200


def test_seams_are_invisible():
    ramp = np.repeat(np.linspace(0, 255, 320).astype(np.uint8)[None], 216, axis=0)
    steps = np.abs(np.diff(draw_jigsaw(ramp, np.random.default_rng(5)).astype(int), axis=1))
    steepest_blend = 255 * np.pi / (320 / 8)  # slope of the blend across the smallest piece; a seam would be a step
    assert steps.max() <= steepest_blend + 2


def test_same_seed_gives_the_same_puzzle():
    image = striped_image((60, 90))
    puzzles = [draw_jigsaw(image, np.random.default_rng(seed)) for seed in (7, 7, 8)]
    np.testing.assert_array_equal(puzzles[0], puzzles[1])
    assert not np.array_equal(puzzles[0], puzzles[2])
