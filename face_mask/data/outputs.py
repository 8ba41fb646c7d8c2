"""Converted photos as COCO records and as a classification manifest."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from face_mask.data.records import LabelledPhoto
from face_mask.data.splits import PARTS
from fetal_hc.errors import DatasetError, raise_if_fatal, raise_problems
from fetal_hc.io.records import CocoAnnotation, CocoCategory, CocoDataset, CocoImage
from fetal_hc.io.tables import read_table, write_csv

MANIFEST_COLUMNS = ("file_name", "class_index", "class_name", "split", "path")


@dataclass(frozen=True, slots=True)
class PhotoRow:
    """One photo of a classification manifest.

    Attributes:
        file_name: relative to the dataset's folder, in POSIX form.
        class_index: 0-based.
        class_name: name of that class.
        split: "train", "val" or "test".
        path: the photo, found from the manifest's own folder.
    """

    file_name: str
    class_index: int
    class_name: str
    split: str
    path: Path


def to_coco(
    photos: Sequence[LabelledPhoto], identifiers: Mapping[str, int], names: Sequence[str], info: Mapping[str, object]
) -> CocoDataset:
    """Photos with boxes as a COCO dataset; labels without mask pixels get no segmentation.

    `area` is that of the mask where there is one, else of the box. Boxes surround the object, here a face, and can be
    larger than the mask.

    Args:
        photos: with their final classes; every label has a box.
        identifiers: image id of each file name.
        names: of the categories, whose ids are 1, 2, ... in this order.
        info: the dataset's `info` record.
    """
    category_ids = {name: number for number, name in enumerate(names, start=1)}
    annotations: list[CocoAnnotation] = []
    for photo in photos:
        for label in photo.labels:
            if label.box_xyxy is None:
                raise ValueError(f"{photo.file_name}: a label without a box belongs into a manifest")
            x0, y0, x1, y1 = label.box_xyxy
            annotations.append(
                CocoAnnotation(
                    len(annotations) + 1,
                    identifiers[photo.file_name],
                    category_ids[label.category],
                    (x0, y0, x1 - x0, y1 - y0),
                    float(label.mask_area_px) if label.mask_rle else (x1 - x0) * (y1 - y0),
                    dict(label.mask_rle) if label.mask_rle else None,
                )
            )
    images = tuple(
        CocoImage(identifiers[photo.file_name], photo.file_name, *photo.image_hw, extra={"group": photo.group})
        for photo in photos
    )
    categories = tuple(CocoCategory(number, name) for name, number in category_ids.items())
    return CocoDataset(images, tuple(annotations), categories, dict(info))


def write_manifest(
    path: str | os.PathLike[str],
    photos: Sequence[LabelledPhoto],
    parts: Mapping[str, str],
    names: Sequence[str],
    image_root: str,
) -> None:
    """Writes a CSV with the columns `MANIFEST_COLUMNS`, one row per photo, atomically.

    Args:
        path: the CSV.
        photos: each with one label.
        parts: "train", "val" or "test" of each file name.
        names: of the classes, in the order of their index.
        image_root: folder of the file names relative to the CSV's folder, in POSIX form.

    Raises:
        FetalHCError: if `path` cannot be written.
    """
    rows = []
    for photo in photos:
        name, location = photo.labels[0].category, f"{image_root}/{photo.file_name}"
        rows.append((photo.file_name, names.index(name), name, parts[photo.file_name], location))
    write_csv(path, MANIFEST_COLUMNS, rows)


def read_manifest(path: str | os.PathLike[str]) -> list[PhotoRow]:
    """The rows of a manifest that `write_manifest` saved.

    Raises:
        DatasetError: lists every row that lacks a value, names an unknown part or repeats a file name.
    """
    manifest = Path(path)
    table = read_table(manifest, MANIFEST_COLUMNS, what="a manifest of photos", remedy="convert again")
    raise_if_fatal(table.problems, f"{manifest} cannot be used")
    rows: list[PhotoRow] = []
    problems = [] if len(table.cells) else [f"{manifest}: holds no rows; expected one per photo; convert again"]
    seen: set[str] = set()
    for row, file_name, index, name, part, location in table.cells.itertuples(name=None):
        usable = file_name and name and location and index.isascii() and index.isdigit() and part in PARTS
        if not usable or file_name in seen:
            problems.append(
                f"{manifest}, row {row}: file name '{file_name}', class {index} '{name}', split '{part}'; expected "
                f"a new file name, a class number, and one of {', '.join(PARTS)}; convert again"
            )
            continue
        seen.add(file_name)
        rows.append(PhotoRow(file_name, int(index), name, part, manifest.parent / location))
    if problems:
        raise_problems(DatasetError, problems, f"{manifest} cannot be used")
    return rows
