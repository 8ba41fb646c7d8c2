"""One dataset as training and evaluation use it, and what a format of datasets must be able to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Detectron2's dataset dict of one image.
Record = dict[str, Any]


@dataclass(frozen=True)
class DetectionDataset:
    """One dataset ready for training or evaluation.

    Attributes:
        name: as in DATASETS.TRAIN or DATASETS.TEST.
        path: the file it was read from.
        records: one dict per image, by rising image id; see `load_dataset_dicts`.
        class_names: class names in contiguous order.
        category_ids: COCO category id of each contiguous class; in other formats the classes themselves.
    """

    name: str
    path: Path
    records: list[Record]
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]


@dataclass(frozen=True)
class DatasetFormat:
    """A format of datasets besides COCO JSON.

    Attributes:
        find: the file of dataset NAME in the folder DATASETS.ROOT, or None where there is none.
        read: records of the dataset of that name in its file, and the class names in contiguous order.
    """

    find: Callable[[Path, str], Path | None]
    read: Callable[[Path, str], tuple[list[Record], tuple[str, ...]]]
