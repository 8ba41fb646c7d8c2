"""Overlap of mask pixels, for segmenters and for the union of a detector's instance masks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face_mask.models.whole_image import MaskPrediction
from face_mask.training.square_mapper import union_mask
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.data.dataset import DetectionDataset
from fetal_hc.engine.evaluation.results import details_path
from fetal_hc.engine.structures import Detections
from fetal_hc.engine.train import distributed
from fetal_hc.io.masks import paste_soft_mask, score_mask
from fetal_hc.io.tables import write_csv

TASK = "mask"
THRESHOLD = 0.5
METRICS = ("IoU", "Dice", "pixel_accuracy")


class MaskEvaluator:
    """Task "mask", in percent: mean, and for IoU also standard deviation, over images of IoU, Dice and pixel accuracy.

    Masks are compared at the resolution of the original image, cut at 0.5. Instances of a detector count from a score
    of 0.5. An image whose true and found masks are both empty has IoU and Dice 100. Images with an object whose
    mask pixels are unknown are left out; `n_images` counts the others.

    Args:
        records: dataset dicts.
        classes_without_mask: class numbers whose objects have no mask pixels.
        details_path: CSV with the scores of every image.
    """

    def __init__(
        self,
        records: Sequence[Mapping[str, Any]],
        classes_without_mask: Sequence[int] = (),
        details_path: Path | None = None,
    ) -> None:
        self._records = {record["image_id"]: record for record in records if _is_outlined(record, classes_without_mask)}
        self._bare = frozenset(classes_without_mask)
        self._details_path = details_path
        self._scores: list[tuple[Any, tuple[float, float, float]]] = []

    def reset(self) -> None:
        """Forgets everything collected."""
        self._scores = []

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[MaskPrediction | Detections]) -> None:
        """Scores one batch."""
        for item, output in zip(inputs, outputs, strict=True):
            record = self._records.get(item["image_id"])
            if record is not None:
                found = self._found_mask(output, (int(record["height"]), int(record["width"])))
                self._scores.append((record["image_id"], score_mask(found, union_mask(record))))

    def evaluate(self) -> dict[str, dict[str, float]]:
        """{"mask": {...}} over all processes."""
        scores = dict(itertools.chain.from_iterable(distributed.all_gather_objects(self._scores)))
        ids = sorted(scores)
        values = np.array([scores[image_id] for image_id in ids]).reshape(-1, len(METRICS))
        if self._details_path is not None and distributed.is_main():
            rows = [
                (Path(self._records[image_id]["file_name"]).name, *(f"{value:.4f}" for value in row))
                for image_id, row in zip(ids, values, strict=True)
            ]
            write_csv(self._details_path, ("file_name", *METRICS), rows)
        means = 100.0 * values.mean(axis=0) if ids else np.full(len(METRICS), math.nan)
        results = {name: float(mean) for name, mean in zip(METRICS, means, strict=True)}
        results["IoU_sd"] = 100.0 * float(values[:, 0].std()) if ids else math.nan
        results["n_images"] = len(ids)
        return {TASK: results}

    def _found_mask(self, output: MaskPrediction | Detections, image_hw: tuple[int, int]) -> NDArray[np.bool_]:
        """Mask (H, W) that a model found; objects of classes without mask add nothing."""
        if isinstance(output, MaskPrediction):
            return output.probability >= THRESHOLD
        union = np.zeros(image_hw, dtype=bool)
        for prediction in output.to_predictions():
            if prediction.score >= THRESHOLD and prediction.label not in self._bare:
                union |= paste_soft_mask(prediction.soft_mask, prediction.box_xyxy, image_hw) >= THRESHOLD
        return union

    def metric_names(self) -> list[str]:
        """All that `evaluate` reports, as "task/metric"."""
        return [f"{TASK}/{name}" for name in (*METRICS, "IoU_sd", "n_images")]


def build_mask_evaluator(cfg: CfgNode, dataset: DetectionDataset) -> MaskEvaluator:
    """The evaluator of one dataset, with its details in OUTPUT_DIR."""
    bare = [k for k, name in enumerate(dataset.class_names) if name in cfg.DATASETS.CLASSES_WITHOUT_MASK]
    return MaskEvaluator(dataset.records, bare, details_path(cfg.OUTPUT_DIR, TASK, dataset.name))


def _is_outlined(record: Mapping[str, Any], classes_without_mask: Sequence[int]) -> bool:
    """Whether the mask pixels of every object in an image are known."""
    return all(
        annotation.get("segmentation") or annotation["category_id"] in classes_without_mask
        for annotation in record["annotations"]
    )
