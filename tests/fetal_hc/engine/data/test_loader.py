import itertools
import signal
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.data.loader import Batch, TrainLoader, build_test_loader, build_train_loader
from fetal_hc.engine.structures import CoverageMasks
from fetal_hc.engine.train.distributed import Place
from fetal_hc.errors import ConfigError
from fetal_hc_cli.training.architectures import MASK_RCNN
from hc18.geometry.ellipse import Ellipse

MakeRecord = Callable[..., dict[str, Any]]


@pytest.fixture
def records(make_record: MakeRecord) -> list[dict[str, Any]]:
    """Six small images, two of them upright."""
    found = []
    for index in range(6):
        image_hw = (60, 90) if index % 3 else (90, 60)
        ellipse = Ellipse.from_axes(image_hw[1] / 2, image_hw[0] / 2, 20 + index, 15, 0.3)
        found.append({**make_record(ellipse, image_hw, f"{index}.png"), "image_id": index})
    return found


@pytest.fixture
def small(all_augmentations: CfgNode) -> CfgNode:
    """Every augmentation on, images of 48 px, batches of 4 in stream order."""
    all_augmentations.INPUT.MIN_SIZE_TRAIN = [48]
    all_augmentations.DATALOADER.ASPECT_RATIO_GROUPING = False
    return all_augmentations


def test_loading_leaves_the_callers_opencv_threads_alone(small: CfgNode, records: list[dict[str, Any]]) -> None:
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(3)
        take(build_train_loader(small, MASK_RCNN, records), 1)
        next(iter(build_test_loader(small, MASK_RCNN, "", records)))
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_workers_start_after_opencv_has_used_threads(small: CfgNode, records: list[dict[str, Any]]) -> None:
    """A forked worker that changed the number of threads waited for ever for threads that it does not have."""

    def give_up(_signal: int, _frame: object) -> None:
        raise TimeoutError("the workers give no batch")

    small.DATALOADER.NUM_WORKERS = 2
    before, handler = cv2.getNumThreads(), signal.signal(signal.SIGALRM, give_up)
    try:
        cv2.setNumThreads(4)
        cv2.GaussianBlur(np.zeros((4000, 4000, 3), np.uint8), (31, 31), 5)
        signal.alarm(120)
        assert len(take(build_train_loader(small, MASK_RCNN, records), 2)) == 2
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        cv2.setNumThreads(before)


def take(loader: TrainLoader, n_batches: int) -> list[Batch]:
    return list(itertools.islice(loader, n_batches))


def ids(batches: list[Batch]) -> list[list[int]]:
    return [[sample["image_id"] for sample in batch] for batch in batches]


def assert_same(first: list[Batch], second: list[Batch]) -> None:
    assert ids(first) == ids(second)
    for sample, other in zip(itertools.chain(*first), itertools.chain(*second), strict=True):
        assert torch.equal(sample["image"], other["image"])
        assert torch.equal(sample["targets"].boxes, other["targets"].boxes)
        if isinstance(sample["targets"].masks, CoverageMasks):
            assert torch.equal(sample["targets"].masks.coverage, other["targets"].masks.coverage)


def test_batches_are_lists_of_samples_with_targets(small: CfgNode, records: list[dict[str, Any]]):
    (batch,) = take(build_train_loader(small, MASK_RCNN, records), 1)
    assert isinstance(batch, list)
    assert len(batch) == 4
    assert all(sample["image"].dtype == torch.uint8 for sample in batch)
    assert all(len(sample["targets"]) == len(sample["targets"].boxes) <= 1 for sample in batch)


@pytest.mark.parametrize("is_grouped", [False, True])
def test_a_resumed_loader_goes_on_exactly(small: CfgNode, records: list[dict[str, Any]], is_grouped: bool):
    small.DATALOADER.ASPECT_RATIO_GROUPING = is_grouped
    expected = take(build_train_loader(small, MASK_RCNN, records), 5)[3:]
    stopped = build_train_loader(small, MASK_RCNN, records)
    take(stopped, 3)
    small.SEED = 12345
    resumed = build_train_loader(small, MASK_RCNN, records)
    resumed.load_state_dict(stopped.state_dict())
    assert_same(take(resumed, 2), expected)


def test_iterating_again_goes_on(small: CfgNode, records: list[dict[str, Any]]):
    loader = build_train_loader(small, MASK_RCNN, records)
    assert_same(take(loader, 2) + take(loader, 2), take(build_train_loader(small, MASK_RCNN, records), 4))


def test_samples_do_not_depend_on_the_number_of_workers(small: CfgNode, records: list[dict[str, Any]]):
    alone = take(build_train_loader(small, MASK_RCNN, records), 4)
    small.DATALOADER.NUM_WORKERS = 2
    loader = build_train_loader(small, MASK_RCNN, records)
    assert_same(take(loader, 4), alone)
    assert loader.state_dict()["n_samples"] == 16


def test_state_survives_a_change_of_the_batch_size(small: CfgNode, records: list[dict[str, Any]]):
    loader = build_train_loader(small, MASK_RCNN, records)
    take(loader, 3)
    small.SOLVER.IMS_PER_BATCH = 6
    resumed = build_train_loader(small, MASK_RCNN, records)
    resumed.load_state_dict(loader.state_dict())
    assert sorted(ids(take(resumed, 1))[0]) == list(range(6))
    assert resumed.state_dict()["n_samples"] == 18


def test_resuming_with_another_dataset_is_refused(small: CfgNode, records: list[dict[str, Any]]):
    state = build_train_loader(small, MASK_RCNN, records).state_dict()
    with pytest.raises(ConfigError, match=r"trained on 6 images, DATASETS\.TRAIN now has 5"):
        build_train_loader(small, MASK_RCNN, records[:5]).load_state_dict(state)


def test_grouped_batches_hold_one_orientation(small: CfgNode, records: list[dict[str, Any]]):
    small.DATALOADER.ASPECT_RATIO_GROUPING = True
    for batch in take(build_train_loader(small, MASK_RCNN, records), 6):
        assert len({sample["width"] > sample["height"] for sample in batch}) == 1


def test_processes_split_the_batch(small: CfgNode, records: list[dict[str, Any]]):
    whole = ids(take(build_train_loader(small, MASK_RCNN, records), 3))
    parts = []
    for rank in range(2):
        loader = build_train_loader(small, MASK_RCNN, records, Place(rank, 2))
        parts.append(ids(take(loader, 3)))
        assert loader.state_dict()["n_samples"] == 12
    for together, first, second in zip(whole, *parts, strict=True):
        assert together == [first[0], second[0], first[1], second[1]]


def test_a_batch_that_does_not_divide_is_refused(small: CfgNode, records: list[dict[str, Any]]):
    with pytest.raises(ConfigError, match=r"SOLVER\.IMS_PER_BATCH 4 does not divide among 3 processes"):
        build_train_loader(small, MASK_RCNN, records, Place(0, 3))


def test_a_negative_seed_draws_a_new_one(small: CfgNode, records: list[dict[str, Any]]):
    small.SEED = -1
    seeds = {build_train_loader(small, MASK_RCNN, records).state_dict()["seed"] for _ in range(3)}
    assert len(seeds) == 3
    assert min(seeds) >= 0


def test_test_loader_gives_each_image_once_in_order(cfg: CfgNode, records: list[dict[str, Any]]):
    loader = build_test_loader(cfg, MASK_RCNN, "any", records)
    assert len(loader) == 6
    assert ids(list(loader)) == [[index] for index in range(6)]


def test_test_loader_splits_among_processes(cfg: CfgNode, records: list[dict[str, Any]]):
    seen = []
    for rank in range(4):
        seen += ids(list(build_test_loader(cfg, MASK_RCNN, "any", records, Place(rank, 4))))
    assert seen == [[index] for index in range(6)]


def test_test_images_are_not_augmented(all_augmentations: CfgNode, records: list[dict[str, Any]]):
    first, second = (list(build_test_loader(all_augmentations, MASK_RCNN, "any", records)) for _ in range(2))
    np.testing.assert_array_equal(first[0][0]["image"], second[0][0]["image"])
    assert "targets" not in first[0][0]


@pytest.mark.parametrize(("device", "pinned"), [("cpu", False), ("cuda", True)])
def test_memory_is_pinned_for_a_gpu_alone(
    small: CfgNode, records: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, device: str, pinned: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    small.MODEL.DEVICE = device
    assert build_train_loader(small, MASK_RCNN, records).pin_memory == pinned
    assert build_test_loader(small, MASK_RCNN, "heads", records).pin_memory == pinned


@pytest.mark.parametrize("n_workers", [0, 2])
def test_workers_of_an_evaluation_stay_for_the_next_one(
    small: CfgNode, records: list[dict[str, Any]], n_workers: int
) -> None:
    small.DATALOADER.NUM_WORKERS = n_workers
    assert build_test_loader(small, MASK_RCNN, "heads", records).persistent_workers == (n_workers > 0)
