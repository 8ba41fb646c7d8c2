from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.data import geometry
from fetal_hc.engine.data.mapper import DatasetMapper, ImageCache
from fetal_hc.errors import ConfigError, DatasetError, ImageError
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.outline_fit import fit_outline_points

MakeRecord = Callable[..., dict[str, Any]]
SMALL_HEAD = Ellipse.from_axes(380.3, 262.8, 131.4, 98.6, 0.6)


def pillow_resize(path: str, size_wh: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB").resize(size_wh, Image.Resampling.BILINEAR))


def crossings_xy(image: np.ndarray, level: float) -> np.ndarray:
    """Points (n, 2), pixel centres at integers, where rows and columns of an image cross a level."""
    points = []
    for lines in (image, image.T):
        line, before = np.nonzero((lines[:, :-1] >= level) != (lines[:, 1:] >= level))
        low, high = lines[line, before], lines[line, before + 1]
        points.append(np.stack([before + (level - low) / (high - low), line], axis=1))
    return np.concatenate([points[0], points[1][:, ::-1]])


def write_colour_image(record: dict[str, Any], seed: int = 0) -> None:
    shape = (record["height"], record["width"], 3)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(record["file_name"])


@pytest.mark.parametrize("is_colour", [False, True])
def test_test_image_is_pillows_resize_in_bgr_order(cfg: CfgNode, make_record: MakeRecord, is_colour: bool):
    record = make_record()
    if is_colour:
        write_colour_image(record)
    image = DatasetMapper(cfg, is_train=False)(record)["image"].numpy()
    expected = pillow_resize(record["file_name"], (320, 216))[..., ::-1].transpose(2, 0, 1)
    np.testing.assert_array_equal(image, expected)


def test_channel_order_follows_the_configuration(cfg: CfgNode, make_record: MakeRecord):
    record = make_record()
    write_colour_image(record)
    bgr = DatasetMapper(cfg, is_train=False)(record)["image"]
    cfg.INPUT.FORMAT = "RGB"
    rgb = DatasetMapper(cfg, is_train=False)(record)["image"]
    np.testing.assert_array_equal(bgr, rgb.flip(0))


def test_test_sample_keeps_the_fields_of_the_record_but_no_annotations(cfg: CfgNode, make_record: MakeRecord):
    record = make_record()
    sample = DatasetMapper(cfg, is_train=False)(record)
    assert set(sample) == set(record) - {"annotations"} | {"image"}
    assert (sample["height"], sample["width"], sample["pixel_size_mm"]) == (540, 800, 0.1)


@pytest.mark.parametrize("seed", range(6))
def test_plain_training_is_resize_then_flip(cfg: CfgNode, make_record: MakeRecord, seed: int):
    cfg.INPUT.RANDOM_FLIP = "both"
    record = make_record(image_hw=(541, 738))
    sample = DatasetMapper(cfg, is_train=True)(record, (seed,))
    matrix = sample["affine_to_input"]
    flips = matrix[1, 1] < 0, matrix[0, 0] < 0
    resized = pillow_resize(record["file_name"], (295, 216))
    expected = resized[:: -1 if flips[0] else 1, :: -1 if flips[1] else 1].transpose(2, 0, 1)
    np.testing.assert_array_equal(sample["image"], expected)
    x0, y0, width, height = record["annotations"][0]["bbox"]
    box = np.array([x0 * 295 / 738, y0 * 216 / 541, (x0 + width) * 295 / 738, (y0 + height) * 216 / 541])
    if flips[1]:
        box[[0, 2]] = 295 - box[[2, 0]]
    if flips[0]:
        box[[1, 3]] = 216 - box[[3, 1]]
    np.testing.assert_allclose(sample["targets"].boxes[0], box, rtol=1e-6)


@pytest.mark.parametrize("moving", ["flips", "rotation", "scale", "translation", "all"])
@pytest.mark.parametrize("seed", range(4))
def test_image_and_outline_stay_together(cfg: CfgNode, make_record: MakeRecord, moving: str, seed: int):
    aug = cfg.INPUT.AUG
    cfg.INPUT.RANDOM_FLIP = "both" if moving in ("flips", "all") else "none"
    aug.ROTATION_DEG = 180.0 if moving in ("rotation", "all") else 0.0
    aug.SCALE_RANGE = [0.7, 1.3] if moving in ("scale", "all") else [1.0, 1.0]
    aug.TRANSLATE_FRAC = 0.1 if moving in ("translation", "all") else 0.0
    sample = DatasetMapper(cfg, is_train=True)(make_record(SMALL_HEAD), (seed,))
    seen = fit_outline_points(crossings_xy(sample["image"][0].numpy().astype(float), level=100)).ellipse
    expected = SMALL_HEAD.transformed(geometry.to_center_convention(sample["affine_to_input"]))
    assert seen is not None
    for field in ("center_x", "center_y", "semi_axis_a", "semi_axis_b"):
        assert getattr(seen, field) == pytest.approx(getattr(expected, field), abs=0.05), field


@pytest.mark.parametrize("seed", range(4))
def test_circumference_changes_by_the_scale_alone(all_augmentations: CfgNode, make_record: MakeRecord, seed: int):
    sample = DatasetMapper(all_augmentations, is_train=True)(make_record(SMALL_HEAD), (seed,))
    matrix = sample["affine_to_input"]
    outline = geometry.transform_points(SMALL_HEAD.outline(4000) + 0.5, matrix)
    length = np.hypot(*(np.roll(outline, -1, axis=0) - outline).T).sum()
    scale = np.sqrt(abs(np.linalg.det(matrix[:2, :2])))
    assert length == pytest.approx(SMALL_HEAD.circumference() * scale, rel=1e-5)
    assert 0.8 * 0.4 <= scale <= 1.25 * 0.4


@pytest.mark.parametrize("seed", range(6))
def test_augmented_targets_lie_on_the_moved_outline(all_augmentations: CfgNode, make_record: MakeRecord, seed: int):
    record = make_record(SMALL_HEAD)
    sample = DatasetMapper(all_augmentations, is_train=True)(record, (seed,))
    polygon = np.array(record["annotations"][0]["segmentation"][0]).reshape(-1, 2)
    moved = geometry.clip_polygon(geometry.transform_points(polygon, sample["affine_to_input"]), (216, 320))
    np.testing.assert_allclose(
        sample["targets"].boxes[0], [*moved.min(axis=0), *moved.max(axis=0)], rtol=1e-5, atol=1e-4
    )
    coverage = sample["targets"].masks.coverage[0].numpy()
    y, x = np.mgrid[:216, :320] + 0.5
    x0, y0, x1, y1 = sample["targets"].boxes[0].tolist()
    outside = (x < x0 - 1) | (x > x1 + 1) | (y < y0 - 1) | (y > y1 + 1)
    assert coverage[outside].max() == 0


def test_a_sample_follows_its_seed(all_augmentations: CfgNode, make_record: MakeRecord):
    record, train = make_record(), DatasetMapper(all_augmentations, is_train=True)
    first, again, other = (train(record, seed)["image"].numpy() for seed in ((1, 1, 5), (1, 1, 5), (1, 1, 6)))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_mapping_leaves_the_record_unchanged(all_augmentations: CfgNode, make_record: MakeRecord):
    record = make_record()
    before = repr(record)
    DatasetMapper(all_augmentations, is_train=True)(record)
    assert repr(record) == before


@pytest.mark.parametrize("style", ["choice", "range"])
def test_training_sizes_are_drawn_by_their_style(cfg: CfgNode, make_record: MakeRecord, style: str):
    cfg.INPUT.MIN_SIZE_TRAIN = [54, 64]
    cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING = style
    cfg.DATALOADER.CACHE_IMAGES = True
    record, train = make_record(SMALL_HEAD), DatasetMapper(cfg, is_train=True)
    heights = {train(record, (seed,))["image"].shape[1] for seed in range(60)}
    assert heights == ({54, 64} if style == "choice" else set(range(54, 65)))


@pytest.mark.parametrize("sizes", [[64], [54, 64]])
def test_cached_images_are_read_once(cfg: CfgNode, make_record: MakeRecord, sizes: list[int]):
    cfg.INPUT.MIN_SIZE_TRAIN = sizes
    cfg.DATALOADER.CACHE_IMAGES = True
    record, train = make_record(), DatasetMapper(cfg, is_train=True)
    before = train(record, (1,))["image"].numpy()
    Path(record["file_name"]).unlink()
    np.testing.assert_array_equal(train(record, (1,))["image"].numpy(), before)


def test_images_are_read_again_without_a_cache(cfg: CfgNode, make_record: MakeRecord):
    cfg.DATALOADER.CACHE_IMAGES = False
    record, train = make_record(), DatasetMapper(cfg, is_train=True)
    train(record, (1,))
    Path(record["file_name"]).unlink()
    with pytest.raises((DatasetError, ImageError), match="cannot be read"):
        train(record, (1,))


@pytest.mark.parametrize("is_colour", [False, True])
def test_a_changed_sample_does_not_change_the_cache(cfg: CfgNode, make_record: MakeRecord, is_colour: bool):
    cfg.DATALOADER.CACHE_IMAGES = True
    record, train = make_record(), DatasetMapper(cfg, is_train=True)
    if is_colour:
        write_colour_image(record)
    first = train(record)["image"]
    before = first.clone()
    first.zero_()
    np.testing.assert_array_equal(train(record)["image"], before)


def test_cache_stops_growing_at_its_limit():
    cache, image = ImageCache(250), np.zeros((10, 10), dtype=np.uint8)
    made: list[str] = []

    def make(key: str) -> np.ndarray:
        return cache.get(key, lambda: made.append(key) or image)

    for key in "abcabc":
        make(key)
    assert made == ["a", "b", "c", "c"]


def test_an_image_of_another_size_is_refused(cfg: CfgNode, make_record: MakeRecord):
    record = {**make_record(), "width": 801}
    with pytest.raises(DatasetError, match=r"head\.png: image is 540 x 800 px .* 540 x 801"):
        DatasetMapper(cfg, is_train=False)(record)


def test_an_unreadable_image_is_refused(cfg: CfgNode, make_record: MakeRecord):
    record = make_record()
    Path(record["file_name"]).write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"head\.png"):
        DatasetMapper(cfg, is_train=False)(record)


@pytest.mark.parametrize(("sizes", "style"), [([], "choice"), ([64], "range"), ([64, 54], "range")])
def test_unusable_training_sizes_are_refused(cfg: CfgNode, sizes: list[int], style: str):
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING = sizes, style
    with pytest.raises(ConfigError, match=r"INPUT\.MIN_SIZE_TRAIN"):
        DatasetMapper(cfg, is_train=True)


def test_unusable_augmentation_is_refused(cfg: CfgNode):
    cfg.INPUT.AUG.ROTATION_DEG = 400.0
    with pytest.raises(ConfigError, match="ROTATION_DEG"):
        DatasetMapper(cfg, is_train=True)


def test_puzzle_has_no_targets(cfg: CfgNode, make_record: MakeRecord):
    record = make_record()
    assert len(DatasetMapper(cfg, is_train=True)(record)["targets"].boxes) == 1
    cfg.INPUT.AUG.JIGSAW_PROB = 1.0
    sample = DatasetMapper(cfg, is_train=True)(record)
    assert len(sample["targets"].boxes) == 0
    assert len(record["annotations"]) == 1


def test_grey_augmentation_makes_the_channels_equal(cfg: CfgNode, make_record: MakeRecord):
    record = make_record()
    write_colour_image(record)
    cfg.INPUT.AUG.GREY_PROB = 1.0
    image = DatasetMapper(cfg, is_train=True)(record)["image"]
    assert bool((image[0] == image[1]).all())
    assert bool((image[0] == image[2]).all())
    assert image.float().std() > 1
