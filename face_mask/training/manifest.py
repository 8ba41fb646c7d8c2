"""Classification manifests (`tools/convert_face_mask.py --format folders`) as dataset records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from face_mask.data.outputs import PhotoRow, read_manifest
from fetal_hc.engine.data.datasets import DatasetFormat, DetectionDataset
from fetal_hc.errors import DatasetError, raise_problems

PARTS = ("train", "val")


def find_manifest(root: Path, name: str) -> Path | None:
    """The manifest ROOT/X.csv of dataset NAME = X_train or X_val; None where there is none."""
    stem, _, part = name.rpartition("_")
    path = root / f"{stem}.csv"
    return path if stem and part in PARTS and path.is_file() else None


def read_manifest_records(path: Path, name: str) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Records of dataset NAME = X_train or X_val in the manifest X.csv, and the names of its classes.

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


def has_manifest_format(dataset: DetectionDataset) -> bool:
    """Whether a dataset was read from a manifest, so that it has classes of photos only."""
    return dataset.path.suffix == ".csv"


def _to_record(number: int, row: PhotoRow) -> dict[str, Any]:
    annotation = {"category_id": row.class_index, "iscrowd": 0}
    return {"file_name": str(row.path), "image_id": number, "annotations": [annotation]}
