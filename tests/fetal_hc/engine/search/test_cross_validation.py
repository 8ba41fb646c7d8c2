"""Folds, and one training per fold."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from fetal_hc.engine.data.folds import write_folds
from fetal_hc.engine.search.cross_validation import cross_validate, summarize
from fetal_hc.engine.train.training_job import JobOptions
from fetal_hc.errors import ConfigError, DatasetError
from fetal_hc.io.coco import read_coco, resolve_image_path
from fetal_hc_cli.training.architectures import ARCHITECTURES
from hc18.training.hc_evaluation import POOLED_TASKS
from tests.face_mask.toy_faces import write_config, write_faces
from tests.fetal_hc.engine import toy_heads


def config_of(folder: Path) -> Path:
    write_faces(folder, "a", count=4)
    write_faces(folder, "b", count=4)
    network = {"NAME": "residual_unet", "CHANNELS": [2, 4]}
    changes = {
        "MODEL": {"SEGMENTER": network},
        "INPUT": {"SQUARE": {"SIZE": 16}},
        "DATASETS": {"TRAIN": ["a"], "TEST": ["b"]},
        "SOLVER": {"MAX_ITER": 1},
    }
    return write_config(folder, "Base-Segmenter.yaml", changes)


def test_folds_hold_every_image_once_and_keep_groups_together(tmp_path: Path) -> None:
    path = write_faces(tmp_path / "source", count=6)
    folds = write_folds([path], tmp_path, "data", 3)
    held_out = []
    for fold in folds:
        train, val = (read_coco(tmp_path / f"{name}.json") for name in (fold.train, fold.val))
        names = [{image.file_name for image in part.images} for part in (train, val)]
        groups = [{image.extra["group"] for image in part.images} for part in (train, val)]
        assert not names[0] & names[1]
        assert not groups[0] & groups[1]
        assert len(names[0] | names[1]) == 6
        assert all(resolve_image_path(tmp_path / "data.json", val, image).is_file() for image in val.images)
        held_out += sorted(names[1])
    assert len(held_out) == len(set(held_out)) == 6


def test_same_seed_gives_the_same_folds(tmp_path: Path) -> None:
    path = write_faces(tmp_path, count=6)
    texts = []
    for seed in (1, 1, 2):
        folds = write_folds([path], tmp_path, "data", 2, group_key="file", seed=seed)
        texts.append((tmp_path / f"{folds[0].val}.json").read_text())
    assert texts[0] == texts[1] != texts[2]


def test_more_folds_than_groups_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="4 folds of 3 groups"):
        write_folds([write_faces(tmp_path, count=6)], tmp_path, "data", 4)


def test_one_dataset_twice_is_refused(tmp_path: Path) -> None:
    path = write_faces(tmp_path)
    with pytest.raises(DatasetError, match="is in another of the datasets too"):
        write_folds([path, path], tmp_path, "data", 2)


def test_summary_of_known_values() -> None:
    summary = summarize([{"mask/IoU": 80.0, "x": None}, {"mask/IoU": 84.0, "x": None}])
    assert summary == {"mask/IoU": {"mean": 82.0, "sd": pytest.approx(8**0.5), "n": 2}}


def test_every_fold_is_trained_once(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    config_file = config_of(tmp_path)
    outcome = cross_validate(JobOptions(ARCHITECTURES, config_file), 2)
    assert not isinstance(outcome, int)
    assert outcome.summary["mask/IoU"]["n"] == 2
    written = json.loads((tmp_path / "output" / "cross_validation.json").read_text())
    assert written["datasets"] == ["a", "b"]
    before = (tmp_path / "output" / "fold0" / "model_final.pth").stat().st_mtime_ns
    assert cross_validate(JobOptions(ARCHITECTURES, config_file, resume=True), 2) == outcome
    assert (tmp_path / "output" / "fold0" / "model_final.pth").stat().st_mtime_ns == before


def test_other_training_data_is_part_of_every_fold(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    config_file = config_of(tmp_path)
    assert not isinstance(cross_validate(JobOptions(ARCHITECTURES, config_file), 2, datasets=["b"], only=[1]), int)
    output = tmp_path / "output"
    assert not (output / "fold0").exists()
    config = yaml.safe_load((output / "fold1" / "config.yaml").read_text())
    assert config["DATASETS"]["TRAIN"] == ["data_fold1_train", "a"]
    whole = read_coco(output / "folds" / "a.json")
    assert all(resolve_image_path(output / "folds" / "a.json", whole, image).is_file() for image in whole.images)
    assert json.loads((output / "cross_validation.json").read_text())["only"] == [1]


def test_heads_of_all_folds_are_scored_together(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    config_file = toy_heads.write_config(tmp_path / "data", tmp_path / "output")
    options = JobOptions(ARCHITECTURES, config_file, ("SOLVER.MAX_ITER", "1"))
    outcome = cross_validate(options, 2, datasets=["heads"], pooled_tasks=POOLED_TASKS)
    assert not isinstance(outcome, int)
    assert f"{len(toy_heads.ELLIPSES)}" in outcome.pooled["hc"].to_table()
    written = json.loads((tmp_path / "output" / "cross_validation_hc.json").read_text())
    assert written["overall"]["n_scored"] + written["overall"]["n_failed"] == len(toy_heads.ELLIPSES)


def test_fold_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"fold numbers \[2\]: expected 0 to 1"):
        cross_validate(JobOptions(ARCHITECTURES, config_of(tmp_path)), 2, only=[2])
