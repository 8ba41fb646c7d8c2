"""The project's datasets, mapper and order of images behind Detectron2's data API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
from detectron2.config import CfgNode
from detectron2.data import (
    DatasetCatalog,
    MetadataCatalog,
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from detectron2.data import (
    DatasetMapper as Detectron2Mapper,
)
from torch.utils.data import DataLoader, Sampler

from fetal_hc.engine.architecture import Architecture
from fetal_hc.engine.d2_backend.config import needs_own_mapper
from fetal_hc.engine.d2_backend.structures import to_instances
from fetal_hc.engine.data.dataset import DetectionDataset, Record
from fetal_hc.engine.data.datasets import load_dataset
from fetal_hc.engine.data.loader import MappedDataset
from fetal_hc.engine.data.loader import build_train_loader as build_project_loader
from fetal_hc.engine.data.mapper import DatasetMapper
from fetal_hc.engine.data.samplers import StreamItem, TrainingBatchSampler
from fetal_hc.errors import DatasetError

Batch = list[dict[str, Any]]


def register_datasets(cfg: CfgNode, architecture: Architecture, names: Sequence[str]) -> None:
    """Registers datasets, found as DATASETS of `cfg` says, in DatasetCatalog and MetadataCatalog; replaces older ones.

    Raises:
        FetalHCError: as `fetal_hc.engine.data.datasets.load_dataset`.
    """
    for name in names:
        dataset = load_dataset(cfg, architecture, name)
        if name in DatasetCatalog:
            DatasetCatalog.remove(name)
        if name in MetadataCatalog:
            MetadataCatalog.remove(name)
        DatasetCatalog.register(name, partial(_get_records, dataset))
        MetadataCatalog.get(name).set(
            thing_classes=list(dataset.class_names),
            thing_dataset_id_to_contiguous_id={found: index for index, found in enumerate(dataset.category_ids)},
            evaluator_type="coco",
        )
        if cfg.MODEL.KEYPOINT_ON:
            _prepare_keypoints(dataset)


def _prepare_keypoints(dataset: DetectionDataset) -> None:
    """Keypoints in the corner convention, and their names; "left" and "right" in names change places in a flip.

    Raises:
        DatasetError: if the classes of the dataset name no keypoints.
    """
    categories = json.loads(dataset.path.read_text(encoding="utf-8"))["categories"]
    names: list[str] = categories[0].get("keypoints", [])
    if not names:
        raise DatasetError(f'{dataset.path}: MODEL.KEYPOINT_ON needs "keypoints", a list of names, in its category')
    pairs = [(name, name.replace("left", "right")) for name in names if "left" in name]
    MetadataCatalog.get(dataset.name).set(keypoint_names=names, keypoint_flip_map=pairs)
    for record in dataset.records:
        for annotation in record["annotations"]:
            values = annotation.get("keypoints", [])
            annotation["keypoints"] = [value + 0.5 * (place % 3 != 2) for place, value in enumerate(values)]


def _get_records(dataset: DetectionDataset) -> list[Record]:
    return dataset.records


class InstancesMapper:
    """`DatasetMapper` with its targets as Detectron2's "instances"."""

    def __init__(self, mapper: DatasetMapper) -> None:
        self.mapper = mapper

    def __call__(self, record: Mapping[str, Any], seed: Sequence[int] = (0,)) -> dict[str, Any]:
        sample = self.mapper(record, seed)
        targets = sample.pop("targets", None)
        if targets is not None:
            height, width = sample["image"].shape[-2:]
            sample["instances"] = to_instances(targets, (height, width), use_masks=self.mapper.use_masks)
        return sample


class SeededMapper:
    """A mapper of Detectron2, with all random choices for a sample fixed by its seed."""

    def __init__(self, mapper: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self.mapper = mapper

    def __call__(self, record: Mapping[str, Any], seed: Sequence[int] = (0,)) -> dict[str, Any]:
        before = np.random.get_state()  # noqa: NPY002 (Detectron2 draws from it)
        np.random.seed(np.random.SeedSequence(seed).generate_state(4))  # noqa: NPY002
        try:
            sample: dict[str, Any] = self.mapper(dict(record))
        finally:
            np.random.set_state(before)  # noqa: NPY002
        return sample


class BatchStream(Sampler[StreamItem]):
    """The items of a batch sampler one by one: Detectron2's loader cuts them into the same batches again."""

    def __init__(self, batches: TrainingBatchSampler) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[StreamItem]:
        for batch in self.batches:
            yield from batch


class TrainingData:
    """Detectron2's training loader over the same stream of batches as the built-in engine's, resumable as that is.

    Batches, shuffles, augmentation and grouping by aspect ratio thus depend on SEED and the iteration alone.

    Args:
        cfg: the tree of `to_detectron2_config`; its datasets have been registered.
        architecture: its model.
        mapper: from records to samples; None for the one that `cfg` describes.

    Raises:
        FetalHCError: as `fetal_hc.engine.data.loader.build_train_loader`.
    """

    def __init__(self, cfg: CfgNode, architecture: Architecture, mapper: Any = None) -> None:
        cv2.setNumThreads(1)  # workers are forked from here; the cores belong to the network
        records = get_detection_dataset_dicts(
            list(cfg.DATASETS.TRAIN), filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS
        )
        self._stream = build_project_loader(cfg, architecture, records)
        if mapper is None and needs_own_mapper(cfg):
            mapper = SeededMapper(Detectron2Mapper(cfg, is_train=True))
        elif mapper is None:
            assert isinstance(self._stream.mapper, DatasetMapper)
            mapper = InstancesMapper(self._stream.mapper)  # called like the one it wraps
        self._loader: DataLoader[Any] = build_detection_train_loader(
            MappedDataset(records, mapper, self._stream.sampler.seed),
            mapper=None,
            sampler=BatchStream(self._stream.sampler),
            total_batch_size=cfg.SOLVER.IMS_PER_BATCH,
            aspect_ratio_grouping=False,
            num_workers=cfg.DATALOADER.NUM_WORKERS,
            seed=self._stream.sampler.seed,
        )

    def __iter__(self) -> Iterator[Batch]:
        self._stream.sampler.first_batch = self._stream.n_batches
        for batch in self._loader:
            self._stream.n_batches += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Where the stream stands."""
        return self._stream.state_dict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continues the stream of a saved state; see `fetal_hc.engine.data.loader.TrainLoader`."""
        self._stream.load_state_dict(state)


def build_test_data(cfg: CfgNode, name: str, mapper: Any = None) -> DataLoader[Any]:
    """Detectron2's test loader of one dataset; without a `mapper`, samples are those of the built-in engine."""
    return build_detection_test_loader(
        DatasetCatalog.get(name),
        mapper=mapper or InstancesMapper(DatasetMapper(cfg, is_train=False)),
        batch_size=cfg.TEST.IMS_PER_BATCH,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
    )
