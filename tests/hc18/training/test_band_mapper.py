"""Bands for training and rough outlines for evaluation, from records and details files."""

from pathlib import Path

import numpy as np
import pytest

from fetal_hc.engine.config import load_config
from fetal_hc.engine.data.datasets import load_dataset_dicts
from fetal_hc.errors import ConfigError, DatasetError
from fetal_hc_cli.training.architectures import ARCHITECTURES
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.polar_band import N_ANGLES, N_CHANNELS, N_RADII, RADIUS_RANGE, sample_band
from hc18.training.architectures import OUTLINE_REFINER
from hc18.training.band_mapper import PolarBandMapper, cut_head
from tests.hc18.toy_bands import IMAGE_HW, START_FACTOR, write_bands_config


@pytest.fixture(scope="module")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bands")
    return write_bands_config(root / "data", root / "output", missed=1)


def test_a_training_sample_is_a_band_and_the_reference_in_it(config_file: Path) -> None:
    cfg = load_config(ARCHITECTURES, config_file)
    sample = PolarBandMapper(cfg, is_train=True)(load_dataset_dicts(cfg, OUTLINE_REFINER, "heads")[2], (1,))
    assert sample["band"].shape == (N_CHANNELS, N_RADII, N_ANGLES)
    assert sample["radii"].shape == (N_ANGLES,)
    low, high = RADIUS_RANGE
    assert low < float(sample["radii"].min()) <= float(sample["radii"].max()) < high
    assert "annotations" not in sample


def test_the_seed_fixes_a_training_sample(config_file: Path) -> None:
    cfg = load_config(ARCHITECTURES, config_file)
    mapper, record = PolarBandMapper(cfg, is_train=True), load_dataset_dicts(cfg, OUTLINE_REFINER, "heads")[2]
    one, same, other = (mapper(record, seed) for seed in ((1, 5), (1, 5), (1, 6)))
    np.testing.assert_array_equal(one["band"], same["band"])
    assert not np.array_equal(one["radii"], other["radii"])


def test_starts_are_centred_on_the_reference(config_file: Path) -> None:
    cfg = load_config(ARCHITECTURES, config_file)
    mapper, record = PolarBandMapper(cfg, is_train=True), load_dataset_dicts(cfg, OUTLINE_REFINER, "heads")[2]
    means = [float(mapper(record, (0, k))["radii"].mean()) for k in range(200)]
    assert np.mean(means) == pytest.approx(1.0, abs=0.01)
    assert 0.03 < np.std(means) < 0.06  # two semi-axes of 4 % each, one start in five twice as far off


def test_the_edge_is_where_the_reference_says_after_mirroring_and_turning(config_file: Path) -> None:
    """Whatever was done to a band, its skull is brighter just inside the reference than just outside."""
    cfg = load_config(ARCHITECTURES, config_file)
    mapper, record = PolarBandMapper(cfg, is_train=True), load_dataset_dicts(cfg, OUTLINE_REFINER, "heads")[3]
    low, high = RADIUS_RANGE
    for k in range(20):
        sample = mapper(record, (3, k))
        rows = (np.asarray(sample["radii"]) - low) / (high - low) * N_RADII - 0.5
        grey = np.asarray(sample["band"])[0]
        columns = np.arange(N_ANGLES)
        inside = np.mean([grey[np.rint(rows - shift).astype(int), columns].mean() for shift in (1, 2, 3)])
        outside = np.mean([grey[np.rint(rows + shift).astype(int), columns].mean() for shift in (3, 4, 5)])
        assert inside > outside


def test_an_evaluation_sample_is_the_image_and_the_rough_outline(config_file: Path) -> None:
    cfg = load_config(ARCHITECTURES, config_file)
    mapper, records = PolarBandMapper(cfg, is_train=False), load_dataset_dicts(cfg, OUTLINE_REFINER, "heads")
    found = mapper(records[1])
    assert found["image_grey"].shape == IMAGE_HW
    reference = records[1]["annotations"][0]["ellipse_px"]
    assert found["start"].semi_axis_a == pytest.approx(START_FACTOR * reference["semi_axis_a"], abs=1e-3)
    assert mapper(records[0])["start"] is None  # its row has no outline


def test_an_image_without_a_row_is_named(config_file: Path) -> None:
    cfg = load_config(ARCHITECTURES, config_file)
    record = {**load_dataset_dicts(cfg, OUTLINE_REFINER, "heads")[1]}
    mapper = PolarBandMapper(cfg, is_train=False)
    mapper.starts.pop("002_HC.png")
    with pytest.raises(DatasetError, match=r"002_HC\.png: no file of DATASETS\.START_OUTLINES"):
        mapper(record)


def test_two_rows_about_one_image_are_refused(config_file: Path) -> None:
    details = str(config_file.parent / "details.csv")
    cfg = load_config(ARCHITECTURES, config_file, ["DATASETS.START_OUTLINES", str([details, details])])
    with pytest.raises(DatasetError, match=r"001_HC\.png has a second row"):
        PolarBandMapper(cfg, is_train=False)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (["DATASETS.START_OUTLINES", "[]"], "START_OUTLINES: empty"),
        (["INPUT.RANDOM_FLIP", "both"], "sound comes from the top"),
        (["INPUT.AUG.VERTICAL_FLIP", "True"], "sound comes from the top"),
        (["INPUT.BAND.AXES_SD", "0.2"], "INPUT.BAND"),
        (["INPUT.BAND.CUT_PROB", "1.5"], "CUT_PROB: 1.5 must be in"),
        (["MODEL.OUTLINE_REFINER.CHANNELS", "0"], "CHANNELS: 0 must be at least 1"),
        (["MODEL.OUTLINE_REFINER.DROPOUT", "1.0"], "DROPOUT: 1.0 must be in"),
    ],
)
def test_impossible_settings_are_refused(config_file: Path, override: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(ARCHITECTURES, config_file, override)


@pytest.mark.parametrize("seed", range(12))
def test_a_cut_takes_part_of_the_head_and_moves_nothing(seed: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 300), dtype=np.uint8)
    head = Ellipse(150.3, 90.7, 70.2, 50.1, 0.3)
    cut, moved = cut_head(image, head, np.random.default_rng(seed))
    assert cut.size < image.size
    assert cut.flags.c_contiguous
    before, after = sample_band(image, head), sample_band(cut, moved)
    lost = after.inside < before.inside
    assert 0 < lost.mean() < 0.6
    kept = after.inside == 1.0
    np.testing.assert_allclose(after.grey[kept], before.grey[kept], atol=4.0)  # thirty-seconds of a pixel


def test_a_head_that_is_cut_is_still_drawn_whole(config_file: Path) -> None:
    cfg = load_config(ARCHITECTURES, config_file, ["INPUT.BAND.CUT_PROB", "1.0"])
    sample = PolarBandMapper(cfg, is_train=True)(load_dataset_dicts(cfg, OUTLINE_REFINER, "heads")[2], (1,))
    assert float(sample["band"][1].min()) == -0.5  # outside the image
    assert float(sample["radii"].std()) < 0.2
