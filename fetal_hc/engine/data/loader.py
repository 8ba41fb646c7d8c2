"""Batches of model inputs: endless and resumable for training, one ordered pass for evaluation."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from fetal_hc.engine.architecture import Architecture, Mapper
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.data.dataset import Record
from fetal_hc.engine.data.datasets import load_dataset_dicts, load_training_records
from fetal_hc.engine.data.mapper import CACHE_LIMIT_BYTES
from fetal_hc.engine.data.samplers import StreamItem, TrainingBatchSampler, sample_seed, shard_range
from fetal_hc.engine.train import distributed
from fetal_hc.errors import ConfigError

Batch = list[dict[str, Any]]


class MappedDataset(Dataset[dict[str, Any]]):
    """Records behind a mapper, addressed by (position in the stream, index of the image)."""

    def __init__(self, records: Sequence[Record], mapper: Mapper, seed: int = 0) -> None:
        self.records = records
        self.mapper = mapper
        self.seed = seed

    def __getitem__(self, item: StreamItem) -> dict[str, Any]:
        position, index = item
        return self.mapper(self.records[index], sample_seed(self.seed, position))


class TrainLoader:
    """Endless iterator of training batches that can be saved and resumed exactly.

    Iterating again goes on where the last iteration stopped.
    """

    def __init__(
        self,
        records: Sequence[Record],
        mapper: Mapper,
        sampler: TrainingBatchSampler,
        n_workers: int,
        *,
        pin_memory: bool = False,
    ):
        self.records = records
        self.mapper = mapper
        self.sampler = sampler
        self.n_workers = n_workers
        self.pin_memory = pin_memory
        self.n_batches = 0

    def __iter__(self) -> Iterator[Batch]:
        self.sampler.first_batch = self.n_batches
        dataset = MappedDataset(self.records, self.mapper, self.sampler.seed)
        for batch in _data_loader(dataset, self.n_workers, batch_sampler=self.sampler, pin_memory=self.pin_memory):
            self.n_batches += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Where the stream stands: the same in all processes that have taken equally many batches."""
        n_samples = self.n_batches * self.sampler.batch_size * self.sampler.world_size
        return {"seed": self.sampler.seed, "n_images": self.sampler.n_images, "n_samples": n_samples}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continues the stream of a saved state: its seed, at its position.

        With another batch size or number of processes, the stream goes on at the last whole batch before the position.

        Raises:
            ConfigError: if the dataset had another number of images.
        """
        if state["n_images"] != self.sampler.n_images:
            raise ConfigError(
                f"cannot resume: the checkpoint was trained on {state['n_images']} images, DATASETS.TRAIN now has "
                f"{self.sampler.n_images}; restore the dataset, or start again with MODEL.WEIGHTS set to the checkpoint"
            )
        self.sampler.seed = state["seed"]
        self.n_batches = state["n_samples"] // (self.sampler.batch_size * self.sampler.world_size)


def build_train_loader(
    cfg: CfgNode,
    architecture: Architecture,
    records: Sequence[Record] | None = None,
    place: distributed.Place | None = None,
) -> TrainLoader:
    """Loader of DATASETS.TRAIN (or of given records) for a process, in batches of its share of IMS_PER_BATCH.

    The process is this one unless a `place` in the group is given.

    Raises:
        ConfigError: if SOLVER.IMS_PER_BATCH does not divide among the processes, or as `load_training_records`.
        DatasetError: as `load_training_records`.
    """
    if records is None:
        records = load_training_records(cfg, architecture)
    rank, world_size = place or distributed.place()
    batch_size, rest = divmod(cfg.SOLVER.IMS_PER_BATCH, world_size)
    if rest or batch_size < 1:
        raise ConfigError(
            f"SOLVER.IMS_PER_BATCH {cfg.SOLVER.IMS_PER_BATCH} does not divide among {world_size} processes; "
            f"choose a multiple of {world_size}"
        )
    n_workers = cfg.DATALOADER.NUM_WORKERS
    mapper = architecture.mapper(cfg, is_train=True, cache_limit_bytes=CACHE_LIMIT_BYTES // max(n_workers, 1))
    groups = None
    if cfg.DATALOADER.ASPECT_RATIO_GROUPING and architecture.groups_by_aspect_ratio:
        groups = [int(record["width"] > record["height"]) for record in records]
    sampler = TrainingBatchSampler(
        len(records),
        batch_size,
        _shared_seed(cfg.SEED),
        rank=rank,
        world_size=world_size,
        groups=groups,
    )
    return TrainLoader(records, mapper, sampler, n_workers, pin_memory=_computes_on_gpu(cfg))


def build_test_loader(
    cfg: CfgNode,
    architecture: Architecture,
    name: str,
    records: Sequence[Record] | None = None,
    place: distributed.Place | None = None,
) -> DataLoader[dict[str, Any]]:
    """Loader of one evaluation dataset: a process's consecutive share, in order, in batches of TEST.IMS_PER_BATCH.

    The process is this one unless a `place` in the group is given. Errors as `load_dataset_dicts`.
    """
    if records is None:
        records = load_dataset_dicts(cfg, architecture, name)
    share = shard_range(len(records), *(place or distributed.place()))
    dataset = MappedDataset(records, architecture.mapper(cfg, is_train=False))
    items = [(index, index) for index in share]
    return _data_loader(
        dataset,
        cfg.DATALOADER.NUM_WORKERS,
        sampler=items,
        batch_size=cfg.TEST.IMS_PER_BATCH,
        pin_memory=_computes_on_gpu(cfg),
        persistent_workers=cfg.DATALOADER.NUM_WORKERS > 0,  # one loader serves all evaluations of a training
    )


def build_loss_loader(
    cfg: CfgNode, architecture: Architecture, records: Sequence[Record]
) -> DataLoader[dict[str, Any]]:
    """Like `build_test_loader`, but of training samples: with the targets that losses need.

    Args:
        cfg: of `fetal_hc.engine.evaluation.losses.without_augmentation`.
        architecture: of the configuration.
        records: of the dataset.
    """
    share = shard_range(len(records), *distributed.place())
    dataset = MappedDataset(records, architecture.mapper(cfg, is_train=True, cache_limit_bytes=0))
    items = [(index, index) for index in share]
    return _data_loader(dataset, cfg.DATALOADER.NUM_WORKERS, sampler=items, batch_size=cfg.TEST.IMS_PER_BATCH)


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Keeps OpenCV to one thread for the length of a block in which worker processes are forked.

    The cores belong to the network and to the other workers. A forked worker must not change the number itself: it has
    no threads of the pool that it inherits, and would wait for them for ever.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


class _WorkerLoader(DataLoader[dict[str, Any]]):
    """DataLoader whose workers use one thread of OpenCV."""

    def __iter__(self) -> Any:
        with one_opencv_thread():  # the workers start here
            return super().__iter__()


def _data_loader(dataset: MappedDataset, n_workers: int, **sampling: Any) -> DataLoader[dict[str, Any]]:
    """DataLoader whose batches stay lists of dicts."""
    return _WorkerLoader(dataset, num_workers=n_workers, collate_fn=list, worker_init_fn=_one_thread, **sampling)


def _computes_on_gpu(cfg: CfgNode) -> bool:
    return str(cfg.MODEL.DEVICE).startswith("cuda") and torch.cuda.is_available()


def _one_thread(_worker_id: int) -> None:
    """Keeps OpenCV to one thread in a worker process that was not forked, see `one_opencv_thread`."""
    if cv2.getNumThreads() != 1:
        cv2.setNumThreads(1)


def _shared_seed(seed: int) -> int:
    """`seed`, or for a negative one a random seed that all processes share."""
    return seed if seed >= 0 else int(distributed.all_gather_objects(secrets.randbits(31))[0])
