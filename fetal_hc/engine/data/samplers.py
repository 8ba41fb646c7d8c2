"""The order of images: an endless shuffled stream for training, one ordered pass for evaluation."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

# Position in the stream (over all processes) and index of the image.
StreamItem = tuple[int, int]


class TrainingBatchSampler(Sampler[list[StreamItem]]):
    """Batches of one process from an endless stream: shuffle(images) + shuffle(images) + ...

    The shuffle of each epoch follows from (seed, epoch) alone, and position p of the stream belongs to process
    p % world_size. Any batch is thus found again from its number, whatever the number of workers.

    Args:
        n_images: size of the dataset.
        batch_size: images per batch of this process.
        seed: non-negative; the same in all processes.
        rank: number of this process.
        world_size: number of processes.
        groups: per image the number of its group; a batch then holds images of one group only, and an image waits until
            its group fills a batch. None: batches in stream order.
    """

    def __init__(
        self,
        n_images: int,
        batch_size: int,
        seed: int,
        *,
        rank: int = 0,
        world_size: int = 1,
        groups: Sequence[int] | None = None,
    ) -> None:
        self.n_images = n_images
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.groups = groups
        self.first_batch = 0

    def __iter__(self) -> Iterator[list[StreamItem]]:
        """Batches from number `first_batch` on."""
        if self.groups is None:
            stream = self._stream(self.first_batch * self.batch_size)
            while True:
                yield list(itertools.islice(stream, self.batch_size))
        # What waits in a group depends on all that came before, so the stream is replayed: indices only.
        yield from itertools.islice(self._grouped_batches(self.groups), self.first_batch, None)

    def _stream(self, start: int) -> Iterator[StreamItem]:
        """Items of this process from its `start`-th on."""
        epoch, order = -1, np.empty(0, dtype=np.int64)
        for position in itertools.count(self.rank + self.world_size * start, self.world_size):
            if position // self.n_images != epoch:
                epoch = position // self.n_images
                order = np.random.default_rng((self.seed, 0, epoch)).permutation(self.n_images)
            yield position, int(order[position % self.n_images])

    def _grouped_batches(self, groups: Sequence[int]) -> Iterator[list[StreamItem]]:
        """Batches whose images share a group, each as soon as it is full."""
        waiting: dict[int, list[StreamItem]] = {}
        for item in self._stream(0):
            batch = waiting.setdefault(groups[item[1]], [])
            batch.append(item)
            if len(batch) == self.batch_size:
                yield waiting.pop(groups[item[1]])


def sample_seed(seed: int, position: int) -> tuple[int, int, int]:
    """Seed of the augmentation at one position of the stream; never equals that of a shuffle."""
    return seed, 1, position


def shard_range(n_images: int, rank: int, world_size: int) -> range:
    """Consecutive images that process `rank` evaluates; over all processes each image once, sizes within one."""
    return range(n_images * rank // world_size, n_images * (rank + 1) // world_size)
