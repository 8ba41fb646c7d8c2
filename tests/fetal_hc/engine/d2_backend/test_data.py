"""Detectron2's loaders give the built-in engine's samples, in its order."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from fetal_hc.engine.config import CfgNode, load_config
from fetal_hc.engine.data.loader import build_test_loader, build_train_loader
from fetal_hc_cli.training.architectures import ARCHITECTURES, MASK_RCNN
from tests.fetal_hc.engine.toy_heads import write_config

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]
AUGMENTED = ("INPUT.SOFT_MASKS", "True", "INPUT.AUG.ROTATION_DEG", "20.0", "INPUT.AUG.SPECKLE_SD", "0.2")


@pytest.fixture
def cfg(tmp_path: Path) -> CfgNode:
    return load_config(ARCHITECTURES, write_config(tmp_path / "data", tmp_path / "output"), AUGMENTED)


def prepare(cfg: CfgNode, *overrides: Any) -> Any:
    from fetal_hc.engine.d2_backend.config import to_detectron2_config
    from fetal_hc.engine.d2_backend.data import register_datasets

    changed = cfg.clone()
    for key, value in zip(overrides[::2], overrides[1::2], strict=True):
        changed.DATALOADER[key] = value
    theirs = to_detectron2_config(changed)
    register_datasets(theirs, MASK_RCNN, ["heads"])
    return changed, theirs


def assert_same_batches(theirs: list[Any], ours: list[Any]) -> None:
    assert len(theirs) == len(ours) > 0
    for their_batch, our_batch in zip(theirs, ours, strict=True):
        assert [item["file_name"] for item in their_batch] == [item["file_name"] for item in our_batch]
        for their_item, our_item in zip(their_batch, our_batch, strict=True):
            assert torch.equal(their_item["image"], our_item["image"])
            instances, targets = their_item["instances"], our_item["targets"]
            assert torch.equal(instances.gt_boxes.tensor, targets.boxes)
            assert torch.equal(instances.gt_masks.masks.coverage, targets.masks.coverage)
            assert instances.image_size == tuple(our_item["image"].shape[-2:])


@pytest.mark.parametrize(("grouping", "n_workers"), [(False, 0), (True, 0), (True, 2)])
def test_training_batches_are_those_of_the_builtin_engine(cfg: CfgNode, grouping: bool, n_workers: int) -> None:
    from fetal_hc.engine.d2_backend.data import TrainingData

    changed, theirs = prepare(cfg, "ASPECT_RATIO_GROUPING", grouping, "NUM_WORKERS", n_workers)
    data = TrainingData(theirs, MASK_RCNN)
    assert_same_batches(list(islice(data, 7)), list(islice(build_train_loader(changed, MASK_RCNN), 7)))


def test_stream_goes_on_where_it_was_saved(cfg: CfgNode) -> None:
    from fetal_hc.engine.d2_backend.data import TrainingData

    changed, theirs = prepare(cfg)
    first, second = TrainingData(theirs, MASK_RCNN), TrainingData(theirs, MASK_RCNN)
    list(islice(first, 4))
    second.load_state_dict(first.state_dict())
    assert_same_batches(list(islice(second, 3)), list(islice(build_train_loader(changed, MASK_RCNN), 7))[4:])


def test_test_samples_are_those_of_the_builtin_engine(cfg: CfgNode) -> None:
    from fetal_hc.engine.d2_backend.data import build_test_data

    changed, theirs = prepare(cfg)
    found, expected = list(build_test_data(theirs, "heads")), list(build_test_loader(changed, MASK_RCNN, "heads"))
    assert len(found) == len(expected) == 6
    for their_batch, our_batch in zip(found, expected, strict=True):
        assert torch.equal(their_batch[0]["image"], our_batch[0]["image"])
        assert their_batch[0]["image_id"] == our_batch[0]["image_id"]
        assert "instances" not in their_batch[0]


def test_datasets_are_known_to_detectron2_after_the_call(cfg: CfgNode) -> None:
    from detectron2.data import DatasetCatalog, MetadataCatalog

    prepare(cfg)
    assert len(DatasetCatalog.get("heads")) == 6
    assert MetadataCatalog.get("heads").thing_classes == ["head"]
    prepare(cfg)  # another run in the same process


def test_registered_dataset_may_move(cfg: CfgNode, tmp_path: Path) -> None:
    from detectron2.data import DatasetCatalog

    prepare(cfg)
    moved = load_config(ARCHITECTURES, write_config(tmp_path / "elsewhere", tmp_path / "output"))
    prepare(moved)
    assert "elsewhere" in DatasetCatalog.get("heads")[0]["file_name"]
