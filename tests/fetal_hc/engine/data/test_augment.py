import cv2
import numpy as np
import pytest

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.data import augment, geometry
from fetal_hc.errors import ConfigError

IMAGE_HW = (60, 90)


def grey_image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(20, 230, IMAGE_HW, dtype=np.uint8)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("mode", "vertical_too", "expected"),
    [
        ("none", False, {(False, False)}),
        ("none", True, {(False, False), (False, True)}),
        ("horizontal", False, {(False, False), (True, False)}),
        ("vertical", False, {(False, False), (False, True)}),
        ("both", False, {(False, False), (True, False), (False, True), (True, True)}),
        ("horizontal", True, {(False, False), (True, False), (False, True), (True, True)}),
    ],
)
def test_flips_take_all_states_of_their_mode_and_no_other(
    cfg: CfgNode, mode: str, vertical_too: bool, expected: set[tuple[bool, bool]]
):
    cfg.INPUT.RANDOM_FLIP, cfg.INPUT.AUG.VERTICAL_FLIP = mode, vertical_too
    generator = rng()
    assert {augment.draw_flips(cfg.INPUT, generator) for _ in range(60)} == expected


def test_value_of_older_configurations_draws_what_the_two_keys_draw(cfg: CfgNode):
    cfg.INPUT.RANDOM_FLIP, older, newer = "both", rng(), rng()
    before = [augment.draw_flips(cfg.INPUT, older) for _ in range(50)]
    cfg.INPUT.RANDOM_FLIP, cfg.INPUT.AUG.VERTICAL_FLIP = "horizontal", True
    assert [augment.draw_flips(cfg.INPUT, newer) for _ in range(50)] == before


def test_flips_happen_half_of_the_time(cfg: CfgNode):
    generator = rng()
    cfg.INPUT.RANDOM_FLIP = "horizontal"
    share = np.mean([augment.draw_flips(cfg.INPUT, generator)[0] for _ in range(2000)])
    assert share == pytest.approx(0.5, abs=0.04)


def test_everything_is_off_by_default(cfg: CfgNode):
    image = grey_image()
    assert not augment.has_geometry(cfg.INPUT.AUG)
    assert augment.change_grey_values(image, cfg.INPUT.AUG, rng()) is image


@pytest.mark.parametrize(
    ("key", "value"), [("ROTATION_DEG", 5.0), ("SCALE_RANGE", [0.9, 1.1]), ("TRANSLATE_FRAC", 0.1)]
)
def test_each_motion_counts_as_geometry(cfg: CfgNode, key: str, value: object):
    cfg.INPUT.AUG[key] = value
    assert augment.has_geometry(cfg.INPUT.AUG)


def test_rotation_stays_in_its_range_and_about_the_centre(cfg: CfgNode):
    cfg.INPUT.AUG.ROTATION_DEG = 30.0
    matrices = [augment.draw_affine(cfg.INPUT.AUG, IMAGE_HW, rng(seed)) for seed in range(200)]
    angles = np.rad2deg([np.arctan2(matrix[1, 0], matrix[0, 0]) for matrix in matrices])
    assert -30 <= angles.min() < -25
    assert 25 < angles.max() <= 30
    for matrix in matrices:
        np.testing.assert_allclose(matrix @ [45, 30, 1], [45, 30, 1], atol=1e-9)


def test_scale_is_isotropic_and_in_its_range(cfg: CfgNode):
    cfg.INPUT.AUG.SCALE_RANGE = [0.5, 2.0]
    scales = []
    for seed in range(200):
        matrix = augment.draw_affine(cfg.INPUT.AUG, IMAGE_HW, rng(seed))
        scale = matrix[0, 0]
        np.testing.assert_allclose(matrix[:2, :2], scale * np.eye(2), atol=1e-12)
        scales.append(scale)
    assert 0.5 <= min(scales) < 0.55
    assert 1.8 < max(scales) <= 2.0
    assert np.mean(np.log(scales)) == pytest.approx(0, abs=0.1)


def test_translation_is_a_fraction_of_width_and_height(cfg: CfgNode):
    cfg.INPUT.AUG.TRANSLATE_FRAC = 0.2
    shifts = np.array([augment.draw_affine(cfg.INPUT.AUG, IMAGE_HW, rng(seed))[:2, 2] for seed in range(200)])
    assert np.all(abs(shifts) <= [18, 12])
    assert np.all(abs(shifts).max(axis=0) > [16, 10.5])


def test_warp_fills_with_black_from_outside():
    image = np.full(IMAGE_HW, 200, dtype=np.uint8)
    warped = augment.warp_image(image, geometry.translation(30, 0))
    assert warped[:, :28].max() == 0
    assert warped[:, 32:].min() == 200


def test_warp_by_whole_pixels_moves_pixels_exactly():
    image = grey_image()
    warped = augment.warp_image(image, geometry.translation(3, -2))
    np.testing.assert_array_equal(warped[:-2, 3:], image[2:, :-3])


def test_shrinking_warp_does_not_alias():
    stripes = np.tile(np.array([0, 200], dtype=np.uint8), (60, 45))
    warped = augment.warp_image(stripes, geometry.about_center(geometry.scaling(0.5, 0.5), IMAGE_HW))
    middle = warped[20:40, 30:60].astype(float)
    assert middle.mean() == pytest.approx(100, abs=3)
    assert middle.std() < 35


def test_gamma_bends_grey_values_and_keeps_black_and_white(cfg: CfgNode):
    cfg.INPUT.AUG.GAMMA_RANGE = [2.0, 2.0]
    image = np.array([[0, 128, 255]], dtype=np.uint8)
    assert augment.change_grey_values(image, cfg.INPUT.AUG, rng()).tolist() == [[0, 64, 255]]


def test_contrast_keeps_the_mean(cfg: CfgNode):
    cfg.INPUT.AUG.CONTRAST_RANGE = [0.5, 0.5]
    image = grey_image()
    changed = augment.change_grey_values(image, cfg.INPUT.AUG, rng())
    assert changed.mean() == pytest.approx(image.mean(), abs=0.5)
    assert changed.std() == pytest.approx(image.std() / 2, rel=0.02)


def test_brightness_multiplies_and_saturates(cfg: CfgNode):
    cfg.INPUT.AUG.BRIGHTNESS_RANGE = [1.5, 1.5]
    image = np.array([[0, 100, 200]], dtype=np.uint8)
    assert augment.change_grey_values(image, cfg.INPUT.AUG, rng()).tolist() == [[0, 150, 255]]


def test_blur_softens_without_changing_the_mean(cfg: CfgNode):
    cfg.INPUT.AUG.BLUR_SIGMA_MAX = 3.0
    image = grey_image()
    changed = augment.change_grey_values(image, cfg.INPUT.AUG, rng())
    assert changed.std() < image.std() / 2
    assert changed.mean() == pytest.approx(image.mean(), abs=1)


def test_speckle_has_the_asked_deviation_about_one():
    field = augment.draw_speckle((200, 300), 0.2, rng())
    assert field.mean() == pytest.approx(1, abs=1e-3)
    assert field.std() == pytest.approx(0.2, abs=2e-3)


def test_speckle_of_neighbouring_pixels_is_correlated():
    correlations = [
        np.corrcoef(field[:, :-1].ravel(), field[:, 1:].ravel())[0, 1]
        for field in (augment.draw_speckle((100, 150), 0.2, rng(seed)) for seed in range(10))
    ]
    assert np.mean(correlations) > 0.3


def test_speckle_is_never_negative():
    assert augment.draw_speckle((100, 150), 1.0, rng()).min() >= 0


def test_speckle_leaves_black_background_black(cfg: CfgNode):
    cfg.INPUT.AUG.SPECKLE_SD = 0.3
    image = grey_image()
    image[:, :40] = 0
    changed = augment.change_grey_values(image, cfg.INPUT.AUG, rng())
    assert changed[:, :40].max() == 0
    assert not np.array_equal(changed[:, 40:], image[:, 40:])


@pytest.mark.parametrize("seed", range(8))
def test_occlusion_darkens_a_part_of_the_image(seed: int):
    field = augment.draw_occlusion(IMAGE_HW, rng(seed))
    assert field.min() >= 0
    assert field.max() == 1
    assert 0.001 < (field < 0.9).mean() < 0.5


def test_occlusion_comes_as_often_as_asked(cfg: CfgNode):
    cfg.INPUT.AUG.OCCLUSION_PROB = 0.25
    image = np.full(IMAGE_HW, 200, dtype=np.uint8)
    share = np.mean([augment.change_grey_values(image, cfg.INPUT.AUG, rng(seed)) is not image for seed in range(400)])
    assert share == pytest.approx(0.25, abs=0.06)


def test_colour_channels_change_alike(all_augmentations: CfgNode):
    image = cv2.merge([grey_image()] * 3)
    changed = augment.change_grey_values(image, all_augmentations.INPUT.AUG, rng(3))
    np.testing.assert_array_equal(changed[..., 0], changed[..., 2])
    np.testing.assert_array_equal(
        changed[..., 0], augment.change_grey_values(grey_image(), all_augmentations.INPUT.AUG, rng(3))
    )


def test_grey_values_follow_the_generator(all_augmentations: CfgNode):
    aug, image = all_augmentations.INPUT.AUG, grey_image()
    first, again, other = (augment.change_grey_values(image, aug, rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_faulty_ranges_are_all_listed(cfg: CfgNode):
    cfg.INPUT.AUG.GAMMA_RANGE = [0.0, 1.0]
    cfg.INPUT.AUG.SCALE_RANGE = [1.2, 0.8]
    cfg.INPUT.AUG.OCCLUSION_PROB = 1.5
    cfg.INPUT.AUG.CONTRAST_RANGE = [0.0, 1.0]
    with pytest.raises(ConfigError) as caught:
        augment.check_augmentation(cfg.INPUT.AUG)
    assert len(caught.value.problems) == 3
    for text in ("GAMMA_RANGE: [0.0, 1.0]", "SCALE_RANGE: [1.2, 0.8]", "OCCLUSION_PROB: 1.5 is not in 0..1"):
        assert text in str(caught.value)
