"""Reading the datasets that a configuration names, as Detectron2's dataset dicts."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fetal_hc.engine.architecture import Architecture
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.data.dataset import DatasetFormat, DetectionDataset, Record
from fetal_hc.errors import ConfigError, DatasetError, raise_problems
from fetal_hc.io.coco import read_coco, resolve_image_path
from fetal_hc.io.records import CocoAnnotation, CocoDataset, CocoImage

# Detectron2's BoxMode.XYWH_ABS, so that the records also suit Detectron2's own mapper.
XYWH_ABS = 1

logger = logging.getLogger(__name__)


def dataset_path(cfg: CfgNode, architecture: Architecture, name: str) -> Path:
    """File of a dataset: DATASETS.ROOT/NAME.json, or else a file in one of the architecture's other formats."""
    return _find_dataset(cfg, architecture, name)[0]


def _find_dataset(cfg: CfgNode, architecture: Architecture, name: str) -> tuple[Path, DatasetFormat | None]:
    """File of a dataset and its format, None for COCO."""
    root = Path(cfg.DATASETS.ROOT)
    coco = root / f"{name}.json"
    if not coco.is_file():
        for dataset_format in architecture.dataset_formats:
            path = dataset_format.find(root, name)
            if path is not None:
                return path, dataset_format
    return coco, None


def load_dataset(cfg: CfgNode, architecture: Architecture, name: str) -> DetectionDataset:
    """The dataset `name`, checked against the configuration, the architecture and the disk.

    Raises:
        DatasetError: if the file is missing or faulty, images are missing, or a record lacks what the model learns (all
            listed).
        ConfigError: if the configured number of classes differs from the dataset's.
    """
    path, dataset_format = _find_dataset(cfg, architecture, name)
    if not path.is_file():
        raise DatasetError(
            f"dataset {name!r}: no file {path}; convert the dataset first (fetal-hc convert, "
            "face-mask convert) or point DATASETS.ROOT to the folder of its JSON"
        )
    if dataset_format is None:
        dataset = _load_coco(cfg, name, path)
    else:
        records, class_names = dataset_format.read(path, name)
        dataset = DetectionDataset(name, path, records, class_names, tuple(range(len(class_names))))
    _check_number_of_classes(cfg, architecture, dataset)
    problems = architecture.check_dataset(cfg, dataset)
    if problems:
        raise_problems(DatasetError, problems, f"{dataset.path} does not suit {architecture.name}")
    return dataset


def _load_coco(cfg: CfgNode, name: str, path: Path) -> DetectionDataset:
    coco = read_coco(path)
    categories = sorted(coco.categories, key=lambda category: category.id)
    class_of_category = {category.id: position for position, category in enumerate(categories)}
    paths = _image_paths(cfg, path, coco)
    annotations_of_image: dict[int, list[CocoAnnotation]] = defaultdict(list)
    for annotation in coco.annotations:
        annotations_of_image[annotation.image_id].append(annotation)
    records = [
        _to_record(image, paths[image.id], annotations_of_image[image.id], class_of_category)
        for image in sorted(coco.images, key=lambda image: image.id)
    ]
    return DetectionDataset(
        name=name,
        path=path,
        records=records,
        class_names=tuple(category.name for category in categories),
        category_ids=tuple(category.id for category in categories),
    )


def _check_number_of_classes(cfg: CfgNode, architecture: Architecture, dataset: DetectionDataset) -> None:
    key, n_found = architecture.class_count_key, len(dataset.class_names)
    if not key:
        return
    n_expected: Any = cfg
    for part in key.split("."):
        n_expected = n_expected[part]
    if n_found != n_expected:
        raise ConfigError(
            f"{key} is {n_expected}, but {dataset.path} has {n_found} categories ({', '.join(dataset.class_names)}); "
            f"set NUM_CLASSES to {n_found} or choose another dataset"
        )


def load_dataset_dicts(cfg: CfgNode, architecture: Architecture, name: str) -> list[Record]:
    """Records of a dataset in Detectron2's format.

    Each has `file_name` (path), `image_id`, `height`, `width` (px), `annotations` and the extra fields of its image;
    each annotation `bbox` (xywh px, corner convention), `bbox_mode`, `category_id` (contiguous, 0-based), `iscrowd`,
    `segmentation` where there is one, and its extra fields. Errors as `load_dataset`.
    """
    return load_dataset(cfg, architecture, name).records


def load_training_records(cfg: CfgNode, architecture: Architecture) -> list[Record]:
    """Records of all datasets in DATASETS.TRAIN; without annotated objects only if FILTER_EMPTY_ANNOTATIONS is off.

    Raises:
        DatasetError: as `load_dataset`, or if no image is left to train on.
        ConfigError: as `load_dataset`, or if no dataset is named or the datasets differ in their classes.
    """
    if not cfg.DATASETS.TRAIN:
        raise ConfigError("DATASETS.TRAIN is empty; name at least one dataset, such as hc18_train")
    datasets = [load_dataset(cfg, architecture, name) for name in cfg.DATASETS.TRAIN]
    if len({dataset.class_names for dataset in datasets}) > 1:
        found = "; ".join(f"{dataset.name}: {', '.join(dataset.class_names)}" for dataset in datasets)
        raise ConfigError(f"DATASETS.TRAIN: classes must be equal and in one order, but they are {found}")
    records = [record for dataset in datasets for record in dataset.records]
    if cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS:
        n_before = len(records)
        records = [record for record in records if any(not item["iscrowd"] for item in record["annotations"])]
        logger.info("left out %d of %d images without annotated objects", n_before - len(records), n_before)
    if not records:
        raise DatasetError(f"DATASETS.TRAIN {list(cfg.DATASETS.TRAIN)}: no image with annotated objects to train on")
    return records


def _image_paths(cfg: CfgNode, json_path: Path, coco: CocoDataset) -> dict[int, Path]:
    """Path of every image by its id.

    Raises:
        DatasetError: if images are missing (all listed).
    """
    root = cfg.DATASETS.IMAGE_ROOT
    paths = {
        image.id: Path(root) / image.file_name if root else resolve_image_path(json_path, coco, image)
        for image in coco.images
    }
    missing = [f"{path}: no such image" for path in paths.values() if not path.is_file()]
    if missing:
        header = f"{json_path}: images not found; set DATASETS.IMAGE_ROOT to the folder that holds them"
        raise_problems(DatasetError, missing, header)
    return paths


def _to_record(
    image: CocoImage, path: Path, annotations: Sequence[CocoAnnotation], class_of_category: dict[int, int]
) -> Record:
    """Detectron2 record of one image."""
    return {
        **image.extra,
        "file_name": str(path),
        "image_id": image.id,
        "height": image.height,
        "width": image.width,
        "annotations": [_to_annotation(annotation, class_of_category) for annotation in annotations],
    }


def _to_annotation(annotation: CocoAnnotation, class_of_category: dict[int, int]) -> dict[str, Any]:
    """Detectron2 annotation of one object, without `segmentation` where there is only a box."""
    converted = {
        **annotation.extra,
        "bbox": list(annotation.bbox_xywh),
        "bbox_mode": XYWH_ABS,
        "category_id": class_of_category[annotation.category_id],
        "iscrowd": annotation.iscrowd,
    }
    if annotation.segmentation:
        converted["segmentation"] = annotation.segmentation
    return converted
