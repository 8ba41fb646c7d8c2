"""Datasets of the face-mask models: what each needs of an image, and manifests of whole photos with one class each.

A manifest is what `face-mask convert --format folders` writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from face_mask.data.outputs import PhotoRow, read_manifest
from face_mask.data.splits import PARTS
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.data.dataset import DatasetFormat, DetectionDataset
from fetal_hc.errors import DatasetError, raise_problems


def find_manifest(root: Path, name: str) -> Path | None:
    """The manifest ROOT/X.csv of dataset NAME = X_train, X_val or X_test; None where there is none."""
    stem, _, part = name.rpartition("_")
    path = root / f"{stem}.csv"
    return path if stem and part in PARTS and path.is_file() else None


def read_manifest_records(path: Path, name: str) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Records of dataset NAME = X_train, X_val or X_test in the manifest X.csv, and the names of its classes.

    A record has `file_name`, `image_id` (the row, from 1) and one annotation that holds the class of the whole photo.

    Raises:
        DatasetError: if the manifest is faulty, or photos are missing (all listed).
    """
    rows, part = read_manifest(path), name.rpartition("_")[2]
    missing = [f"{row.path}: no such image" for row in rows if not row.path.is_file()]
    if missing:
        raise_problems(DatasetError, missing, f"{path}: images not found; restore them or convert again")
    records = [_to_record(number, row) for number, row in enumerate(rows, start=1) if row.split == part]
    names = {row.class_index: row.class_name for row in rows}
    return records, tuple(names[index] for index in sorted(names))


MANIFEST_FORMAT = DatasetFormat(find_manifest, read_manifest_records)


def _to_record(number: int, row: PhotoRow) -> dict[str, Any]:
    annotation = {"category_id": row.class_index, "iscrowd": 0}
    return {"file_name": str(row.path), "image_id": number, "annotations": [annotation]}


def check_single_objects(_cfg: CfgNode, dataset: DetectionDataset) -> list[str]:
    """One message for every image without exactly one object."""
    return [
        f"{record['file_name']}: {len(record['annotations'])} objects; expected one; convert with --single-face"
        for record in dataset.records
        if len(record["annotations"]) != 1
    ]


def check_boxes(cfg: CfgNode, dataset: DetectionDataset) -> list[str]:
    """One message for every image without exactly one object, or one for a dataset without boxes."""
    return _check_is_not_manifest(dataset) or check_single_objects(cfg, dataset)


def check_masks(cfg: CfgNode, dataset: DetectionDataset) -> list[str]:
    """One message for every image with an object whose mask pixels are unknown."""
    return _check_is_not_manifest(dataset) or [
        f"{record['file_name']}: an object without mask pixels; expected outlines of every object"
        for record in dataset.records
        if not all(_shows_its_mask(cfg, dataset, annotation) for annotation in record["annotations"])
    ]


def _check_is_not_manifest(dataset: DetectionDataset) -> list[str]:
    if dataset.path.suffix == ".csv":
        return ["a manifest holds classes of whole photos, which only an image classifier can learn"]
    return []


def _shows_its_mask(cfg: CfgNode, dataset: DetectionDataset, annotation: dict[str, Any]) -> bool:
    """Whether the mask pixels of an object are known: outlined, or none because of its class."""
    is_bare = dataset.class_names[annotation["category_id"]] in cfg.DATASETS.CLASSES_WITHOUT_MASK
    return is_bare or bool(annotation.get("segmentation"))
