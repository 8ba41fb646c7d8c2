"""Compares the faces of a prediction with the labels of the same photos: average precision and overlap of masks."""

from __future__ import annotations

import contextlib
import io
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from face_mask.data.classes import WITHOUT_MASK
from fetal_hc.errors import DatasetError, raise_problems
from fetal_hc.io.coco import read_coco, resolve_image_path
from fetal_hc.io.masks import polygon_to_coverage, rle_to_mask, score_mask
from fetal_hc.io.records import CocoAnnotation, CocoDataset, CocoImage

_MIN_SCORE = 0.5  # of faces whose masks are compared
_MAX_DETECTIONS = 100


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well found faces agree with labelled ones.

    Attributes:
        n_photos: photos of the labels.
        ap50_percent: average precision at an overlap of 0.5 for each labelled class.
        n_faces: labelled faces of each class.
        mask_iou_percent: mean overlap of all mask pixels per photo; None if no photo has labelled pixels.
        n_masked_photos: photos whose mask pixels are labelled.
    """

    n_photos: int
    ap50_percent: Mapping[str, float]
    n_faces: Mapping[str, int]
    mask_iou_percent: float | None
    n_masked_photos: int


def evaluate_faces(truth_path: Path, found_path: Path) -> Agreement:
    """Compares `faces.json` of a prediction with a labelled COCO file.

    Photos are matched by their paths. A photo's mask pixels count if those of all its objects are known, `without_mask`
    aside, and it has any.

    Raises:
        DatasetError: if a file is faulty, or labelled photos are missing in the prediction (all listed).
    """
    truth, found = read_coco(truth_path), read_coco(found_path)
    found_ids = {_key(found_path, found, image): image.id for image in found.images}
    missing = [
        f"{image.file_name}: is labelled but not predicted; predict it, or remove the label"
        for image in truth.images
        if _key(truth_path, truth, image) not in found_ids
    ]
    if missing:
        raise_problems(DatasetError, missing, f"{found_path} lacks photos of {truth_path}")
    truth_id_of = {found_ids[_key(truth_path, truth, image)]: image.id for image in truth.images}
    faces = _by_image(found.annotations)
    found_of = {truth_id: faces[found_id] for found_id, truth_id in truth_id_of.items()}
    names = {category.id: category.name for category in truth.categories}
    overlaps = _mask_overlaps(truth, found_of, names, {c.id: c.name for c in found.categories})
    precision = _average_precision(truth, found_of, {c.id: c.name for c in found.categories})
    counts = {name: sum(names[item.category_id] == name for item in truth.annotations) for name in names.values()}
    mean = float(100.0 * np.mean(overlaps)) if overlaps else None
    labelled = {name: count for name, count in counts.items() if count}
    return Agreement(len(truth.images), {n: precision[n] for n in labelled}, labelled, mean, len(overlaps))


def _key(path: Path, dataset: CocoDataset, image: CocoImage) -> str:
    """What tells a photo from others."""
    return os.path.realpath(resolve_image_path(path, dataset, image))


def _by_image(annotations: Sequence[CocoAnnotation]) -> Mapping[int, list[CocoAnnotation]]:
    grouped: dict[int, list[CocoAnnotation]] = defaultdict(list)
    for annotation in annotations:
        grouped[annotation.image_id].append(annotation)
    return grouped


def _average_precision(
    truth: CocoDataset, found_of: Mapping[int, Sequence[CocoAnnotation]], found_names: Mapping[int, str]
) -> dict[str, float]:
    """Average precision in percent at an overlap of 0.5, by class of the labels; NaN for a class without labels."""
    ids = {category.name: category.id for category in truth.categories}
    results = [
        {"image_id": image_id, "category_id": ids[name], "bbox": list(face.bbox_xywh), "score": face.extra["score"]}
        for image_id, faces in found_of.items()
        for face in faces
        if (name := found_names[face.category_id]) in ids
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        labels = COCO()
        labels.dataset = _document(truth)
        labels.createIndex()
        scorer = COCOeval(labels, labels.loadRes(results) if results else _nothing(labels), "bbox")
        scorer.params.iouThrs = np.array([0.5])
        scorer.params.maxDets = [_MAX_DETECTIONS]
        scorer.params.areaRng, scorer.params.areaRngLbl = [[0, 1e10]], ["all"]
        scorer.evaluate()
        scorer.accumulate()
    precision = scorer.eval["precision"][0, :, :, 0, 0]  # (recall, class)
    means = [column[column > -1].mean() if (column > -1).any() else np.nan for column in precision.T]
    by_id = dict(zip(sorted(ids.values()), means, strict=True))
    return {name: 100.0 * float(by_id[category_id]) for name, category_id in ids.items()}


def _document(dataset: CocoDataset) -> dict[str, Any]:
    """The labels as pycocotools wants them."""
    return {
        "images": [{"id": image.id, "height": image.height, "width": image.width} for image in dataset.images],
        "categories": [{"id": category.id, "name": category.name} for category in dataset.categories],
        "annotations": [
            {
                "id": item.id,
                "image_id": item.image_id,
                "category_id": item.category_id,
                "bbox": list(item.bbox_xywh),
                "area": item.bbox_xywh[2] * item.bbox_xywh[3],
                "iscrowd": item.iscrowd,
            }
            for item in dataset.annotations
        ],
    }


def _nothing(labels: COCO) -> COCO:
    """An empty result, which `loadRes` does not take."""
    empty = COCO()
    empty.dataset = {**labels.dataset, "annotations": []}
    empty.createIndex()
    return empty


def _mask_overlaps(
    truth: CocoDataset,
    found_of: Mapping[int, Sequence[CocoAnnotation]],
    names: Mapping[int, str],
    found_names: Mapping[int, str],
) -> list[float]:
    """Overlap in [0, 1] of all mask pixels of each photo whose pixels are labelled."""
    labels = _by_image(truth.annotations)
    overlaps = []
    for image in truth.images:
        wearing = [item for item in labels[image.id] if names[item.category_id] != WITHOUT_MASK]
        if not wearing or not all(item.segmentation for item in wearing):
            continue
        image_hw = (image.height, image.width)
        kept = [
            face
            for face in found_of[image.id]
            if face.extra["score"] >= _MIN_SCORE and found_names[face.category_id] != WITHOUT_MASK
        ]
        overlaps.append(score_mask(_union(kept, image_hw), _union(wearing, image_hw))[0])
    return overlaps


def _union(annotations: Sequence[CocoAnnotation], image_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """All pixels (H, W) of the objects of a photo."""
    union = np.zeros(image_hw, dtype=bool)
    for item in annotations:
        if isinstance(item.segmentation, Mapping):
            union |= rle_to_mask(item.segmentation)
        for flat in item.segmentation if isinstance(item.segmentation, list) else []:
            union |= polygon_to_coverage(np.reshape(flat, (-1, 2)), image_hw) >= 0.5
    return union
