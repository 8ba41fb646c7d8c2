"""Reading and writing COCO annotation files (detection and instance segmentation).

References: COCO data format, cocodataset.org/#format-data.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fetal_hc.errors import DatasetError, raise_problems
from fetal_hc.io.atomic import write_text_atomic
from fetal_hc.io.documents import parse_json
from fetal_hc.io.records import CocoAnnotation, CocoCategory, CocoDataset, CocoImage

IMAGE_ROOT_KEY = "image_root"
_IMAGE_KEYS = ("id", "file_name", "height", "width")
_ANNOTATION_KEYS = ("id", "image_id", "category_id", "bbox", "area", "segmentation", "iscrowd")
_CATEGORY_KEYS = ("id", "name")
_SECTIONS = ("images", "annotations", "categories")
_LARGEST_OVERSHOOT_PX = 1.0  # of a box beyond its image: rounding, or pixels counted from 1
_Value = TypeVar("_Value", int, str)
_Record = TypeVar("_Record", CocoImage, CocoAnnotation, CocoCategory)


def read_coco(path: str | os.PathLike[str]) -> CocoDataset:
    """The content of a COCO file, checked as a whole.

    Raises:
        DatasetError: listing all problems: no JSON, missing sections or keys, values of a wrong kind, duplicate ids,
            images or objects that stand there twice, annotations of images or categories that do not exist, boxes
            without area or outside their image.
    """
    document = _read_document(Path(path))
    problems: list[str] = []
    images = _records(path, document, "images", _image, problems)
    categories = _records(path, document, "categories", _category, problems)
    annotations = _records(path, document, "annotations", _annotation, problems)
    for section, ids in (
        ("images", [image.id for image in images]),
        ("annotations", [annotation.id for annotation in annotations]),
        ("categories", [category.id for category in categories]),
    ):
        problems += [
            f"{path}, {section}: id {value} is used more than once; expected unique ids; renumber them"
            for value in _repeated(ids)
        ]
    problems += [
        f"{path}, images: file name '{name}' stands in more than one record; expected every image once; merge them"
        for name in _repeated([image.file_name for image in images])
    ]
    if not problems:
        problems += _dangling(path, images, annotations, categories)
    if not problems:
        problems += _box_problems(path, images, annotations)
    if problems:
        raise_problems(DatasetError, problems, f"{path} is not a usable COCO file")
    info = document.get("info")
    return CocoDataset(tuple(images), tuple(annotations), tuple(categories), info if isinstance(info, dict) else {})


def write_coco(path: str | os.PathLike[str], dataset: CocoDataset) -> None:
    """Writes a COCO file as a whole or not at all; equal datasets give equal bytes.

    Keys outside the format stay in their records, after the format's own keys and in alphabetical order.

    Raises:
        DatasetError: if a number is not finite.
        FetalHCError: if `path` cannot be written.
    """
    document = {
        "info": _sorted(dataset.info),
        "images": [
            {"id": image.id, "file_name": image.file_name, "height": image.height, "width": image.width}
            | _sorted(image.extra)
            for image in dataset.images
        ],
        "annotations": [_annotation_document(annotation) for annotation in dataset.annotations],
        "categories": [{"id": category.id, "name": category.name} for category in dataset.categories],
    }
    try:
        text = json.dumps(document, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except ValueError as error:
        raise DatasetError(
            f"{path}: a value cannot be written ({error}); expected finite numbers; look for NaN in "
            "boxes, areas and polygons"
        ) from error
    write_text_atomic(path, text + "\n")


def resolve_image_path(json_path: str | os.PathLike[str], dataset: CocoDataset, image: CocoImage) -> Path:
    """Where an image of a COCO file lies: the file's folder / info["image_root"] / the image's file name."""
    return Path(json_path).parent / str(dataset.info.get(IMAGE_ROOT_KEY, ".")) / image.file_name


def _read_document(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        DatasetError: if the file is missing, no JSON or lacks a section.
    """
    try:
        document = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be read ({error.strerror or error}); expected a COCO JSON file; run the "
            "converter or correct the path"
        ) from error
    except ValueError as error:
        raise DatasetError(f"{path}: is not JSON ({error}); expected a COCO file; convert the dataset again") from error
    if not isinstance(document, dict):
        raise DatasetError(f"{path}: holds a {type(document).__name__}; expected an object with {', '.join(_SECTIONS)}")
    problems = [
        f"{path}: '{section}' is not a list; expected the list of {section}; convert the dataset again"
        for section in _SECTIONS
        if not isinstance(document.get(section), list)
    ]
    if problems:
        raise_problems(DatasetError, problems, f"{path} is not a COCO file")
    return document


def _records(
    path: str | os.PathLike[str],
    document: Mapping[str, Any],
    section: str,
    build: Callable[[Mapping[str, Any]], _Record],
    problems: list[str],
) -> list[_Record]:
    """The records of one section; those that cannot be built are added to `problems`."""
    records: list[_Record] = []
    for index, entry in enumerate(document[section]):
        try:
            records.append(build(entry))
        except KeyError as error:
            problems.append(f"{path}, {section}[{index}]: key {error} is missing among {sorted(entry)}; add it")
        except (TypeError, ValueError, OverflowError) as error:
            problems.append(f"{path}, {section}[{index}]: {error}; expected a COCO record; correct it")
    return records


def _image(entry: Mapping[str, Any]) -> CocoImage:
    """One image record.

    Raises:
        KeyError, TypeError, ValueError: if it is none.
    """
    height, width = int(entry["height"]), int(entry["width"])
    if height < 1 or width < 1:
        raise ValueError(f"height {height} and width {width} are not both positive")
    return CocoImage(int(entry["id"]), str(entry["file_name"]), height, width, _extra(entry, _IMAGE_KEYS))


def _annotation(entry: Mapping[str, Any]) -> CocoAnnotation:
    """One annotation record; `area` and `iscrowd` may be missing.

    Raises:
        KeyError, TypeError, ValueError: if it is none.
    """
    left, top, width, height = (float(value) for value in entry["bbox"])
    area = float(entry.get("area", width * height))
    if not all(math.isfinite(value) for value in (left, top, width, height, area)) or width < 0.0 or height < 0.0:
        raise ValueError(f"bbox {entry['bbox']} with area {area} is not finite or has a negative side")
    return CocoAnnotation(
        int(entry["id"]),
        int(entry["image_id"]),
        int(entry["category_id"]),
        (left, top, width, height),
        area,
        _segmentation(entry.get("segmentation")),
        int(entry.get("iscrowd", 0)),
        _extra(entry, _ANNOTATION_KEYS),
    )


def _segmentation(value: object) -> list[list[float]] | dict[str, Any] | None:
    """Polygons, run lengths or nothing.

    Raises:
        ValueError: for anything else.
    """
    if value is None or (isinstance(value, dict) and {"size", "counts"} <= value.keys()):
        return value
    if not isinstance(value, list) or not all(isinstance(polygon, list) for polygon in value):
        raise ValueError("segmentation is neither a list of polygons nor run lengths with size and counts")
    polygons = [[float(number) for number in polygon] for polygon in value]
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2 or not all(map(math.isfinite, polygon)):
            raise ValueError(f"a polygon has {len(polygon)} numbers; expected x, y of at least 3 points, all finite")
    return polygons


def _category(entry: Mapping[str, Any]) -> CocoCategory:
    """One category record.

    Raises:
        KeyError, TypeError, ValueError: if it is none.
    """
    return CocoCategory(int(entry["id"]), str(entry["name"]))


def _dangling(
    path: str | os.PathLike[str],
    images: Sequence[CocoImage],
    annotations: Sequence[CocoAnnotation],
    categories: Sequence[CocoCategory],
) -> list[str]:
    """Annotations of images or categories that do not exist, one message each."""
    image_ids, category_ids = {image.id for image in images}, {category.id for category in categories}
    problems = []
    for annotation in annotations:
        for name, value, known in (
            ("image_id", annotation.image_id, image_ids),
            ("category_id", annotation.category_id, category_ids),
        ):
            if value not in known:
                problems.append(
                    f"{path}, annotation {annotation.id}: {name} {value} does not exist; expected the id "
                    "of a record in this file; remove the annotation or add the record"
                )
    return problems


def _box_problems(
    path: str | os.PathLike[str], images: Sequence[CocoImage], annotations: Sequence[CocoAnnotation]
) -> list[str]:
    """Boxes without area or beyond their image, and objects that stand there twice, one message each."""
    size_of = {image.id: (image.width, image.height) for image in images}
    first_of: dict[tuple[object, ...], int] = {}
    problems = []
    for annotation in annotations:
        left, top, box_width, box_height = annotation.bbox_xywh
        width, height = size_of[annotation.image_id]
        where = f"{path}, annotation {annotation.id}: bbox {list(annotation.bbox_xywh)}"
        if (box_width == 0 or box_height == 0) and not annotation.iscrowd:
            problems.append(f"{where} has no area; expected width and height above 0; correct or remove it")
        if max(-left, -top, left + box_width - width, top + box_height - height) > _LARGEST_OVERSHOOT_PX:
            problems.append(
                f"{where} leaves its image of {width} x {height} px; expected left, top, width, height inside it; "
                "correct it (is it left, top, right, bottom?)"
            )
        key = (annotation.image_id, annotation.category_id, annotation.bbox_xywh, annotation.iscrowd)
        first = first_of.setdefault(key, annotation.id)
        if first != annotation.id:
            problems.append(f"{where} is also annotation {first} of the same image and class; remove one of them")
    return problems


def _annotation_document(annotation: CocoAnnotation) -> dict[str, Any]:
    """An annotation as it is written."""
    return {
        "id": annotation.id,
        "image_id": annotation.image_id,
        "category_id": annotation.category_id,
        "bbox": list(annotation.bbox_xywh),
        "area": annotation.area,
        "segmentation": annotation.segmentation,
        "iscrowd": annotation.iscrowd,
    } | _sorted(annotation.extra)


def _extra(entry: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """The keys of a record outside the format."""
    return {key: value for key, value in entry.items() if key not in known}


def _sorted(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping with its keys in alphabetical order."""
    return {key: mapping[key] for key in sorted(mapping)}


def _repeated(ids: Sequence[_Value]) -> list[_Value]:
    """Values that occur more than once, ascending."""
    return sorted(value for value, count in Counter(ids).items() if count > 1)
