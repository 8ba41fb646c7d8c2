import itertools
from collections import Counter
from typing import Any

import pytest

from fetal_hc.engine.data.samplers import TrainingBatchSampler, sample_seed, shard_range


def take(sampler: TrainingBatchSampler, n_batches: int) -> list[list[tuple[int, int]]]:
    return list(itertools.islice(sampler, n_batches))


def make(n_images: int = 10, batch_size: int = 4, **options: Any) -> TrainingBatchSampler:
    return TrainingBatchSampler(n_images, batch_size, options.pop("seed", 3), **options)


def test_every_epoch_holds_each_image_once():
    items = list(itertools.chain(*take(make(), 15)))
    for epoch in range(6):
        assert sorted(index for _, index in items[10 * epoch : 10 * epoch + 10]) == list(range(10))


def test_positions_count_up():
    assert [position for batch in take(make(), 3) for position, _ in batch] == list(range(12))


def test_epochs_differ_in_order():
    items = [index for batch in take(make(n_images=20, batch_size=20), 2) for _, index in batch]
    assert items[:20] != items[20:]


def test_order_follows_the_seed():
    assert take(make(seed=3), 3) == take(make(seed=3), 3)
    assert take(make(seed=3), 3) != take(make(seed=4), 3)


def test_processes_share_the_stream_of_a_single_process():
    whole = [item for batch in take(make(batch_size=6), 4) for item in batch]
    parts = [
        [item for batch in take(make(batch_size=2, rank=rank, world_size=3), 4) for item in batch] for rank in range(3)
    ]
    assert sorted(itertools.chain(*parts)) == sorted(whole)
    assert parts[1] == whole[1::3]


@pytest.mark.parametrize("groups", [None, [0, 1, 1, 0, 1, 0, 0, 1, 1, 1]])
@pytest.mark.parametrize("first_batch", [1, 7])
def test_starting_late_equals_skipping(groups: list[int] | None, first_batch: int):
    sampler = make(groups=groups, rank=1, world_size=2)
    expected = take(sampler, first_batch + 5)[first_batch:]
    sampler.first_batch = first_batch
    assert take(sampler, 5) == expected


def test_groups_never_mix_in_a_batch():
    groups = [0, 1, 1, 0, 1, 0, 0, 1, 1, 1]
    for batch in take(make(groups=groups), 50):
        assert len(batch) == 4
        assert len({groups[index] for _, index in batch}) == 1


def test_grouping_loses_and_repeats_nothing():
    items = [item for batch in take(make(groups=[0, 1] * 5), 50) for item in batch]
    assert len(set(items)) == len(items)
    counts = Counter(index for _, index in items)
    assert max(counts.values()) - min(counts.values()) <= 2


def test_a_batch_may_exceed_the_dataset():
    (batch,) = take(make(n_images=2, batch_size=5), 1)
    assert Counter(index for _, index in batch[:4]) == {0: 2, 1: 2}


def test_sample_seeds_differ_by_seed_and_position():
    assert len({sample_seed(seed, position) for seed in range(3) for position in range(3)}) == 9


@pytest.mark.parametrize(("n_images", "world_size"), [(10, 1), (10, 3), (2, 4), (0, 2)])
def test_evaluation_shares_cover_each_image_once_in_order(n_images: int, world_size: int):
    shares = [shard_range(n_images, rank, world_size) for rank in range(world_size)]
    assert list(itertools.chain(*shares)) == list(range(n_images))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
