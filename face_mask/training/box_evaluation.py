"""Overlap of the one predicted box per image with the true one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from face_mask.models.whole_image import ImagePrediction
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.data.dataset import DetectionDataset
from fetal_hc.engine.evaluation.results import details_path
from fetal_hc.engine.modeling.boxes import pairwise_iou
from fetal_hc.engine.train import distributed
from fetal_hc.io.tables import write_csv

TASK = "box"


class BoxEvaluator:
    """Task "box": mean and median IoU and the share of boxes with IoU >= 0.5, all in percent.

    Args:
        records: dataset dicts with one annotation each, "bbox" xywh in px of the original image.
        details_path: CSV with both boxes (xyxy, px, corner convention) and the IoU of every image.
    """

    def __init__(self, records: Sequence[Mapping[str, Any]], details_path: Path | None = None) -> None:
        self._truth = {record["image_id"]: _corners(record["annotations"][0]["bbox"]) for record in records}
        self._files = {record["image_id"]: str(record["file_name"]) for record in records}
        self._details_path = details_path
        self._found: list[tuple[Any, list[float]]] = []

    def reset(self) -> None:
        """Forgets everything collected."""
        self._found = []

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[ImagePrediction]) -> None:
        """Takes in one batch."""
        for item, output in zip(inputs, outputs, strict=True):
            if output.box_xyxy is None:
                raise ValueError("the model finds no boxes; BoxEvaluator needs a TwoHeadDetector")
            self._found.append((item["image_id"], output.box_xyxy.tolist()))

    def evaluate(self) -> dict[str, dict[str, float]]:
        """{"box": {...}} over all processes."""
        found = dict(itertools.chain.from_iterable(distributed.all_gather_objects(self._found)))
        ids = sorted(found)
        overlaps = np.array([_iou(found[image_id], self._truth[image_id]) for image_id in ids])
        if self._details_path is not None and distributed.is_main():
            sides = ("x0", "y0", "x1", "y1")
            columns = ("file_name", "iou", *sides, *(f"true_{side}" for side in sides))
            rows = []
            for image_id, overlap in zip(ids, overlaps, strict=True):
                numbers = [f"{value:.2f}" for value in (*found[image_id], *self._truth[image_id])]
                rows.append((Path(self._files[image_id]).name, f"{overlap:.4f}", *numbers))
            write_csv(self._details_path, columns, rows)
        return {
            TASK: {
                "mean_IoU": 100.0 * float(overlaps.mean()),
                "median_IoU": 100.0 * float(np.median(overlaps)),
                "IoU50_share": 100.0 * float((overlaps >= 0.5).mean()),
            }
        }

    def metric_names(self) -> list[str]:
        """All that `evaluate` reports, as "task/metric"."""
        return [f"{TASK}/{name}" for name in ("mean_IoU", "median_IoU", "IoU50_share")]


def build_box_evaluator(cfg: CfgNode, dataset: DetectionDataset) -> BoxEvaluator:
    """The evaluator of one dataset, with its details in OUTPUT_DIR."""
    return BoxEvaluator(dataset.records, details_path(cfg.OUTPUT_DIR, TASK, dataset.name))


def _corners(bbox_xywh: Sequence[float]) -> list[float]:
    x0, y0, width, height = bbox_xywh
    return [x0, y0, x0 + width, y0 + height]


def _iou(box_1: Sequence[float], box_2: Sequence[float]) -> float:
    return float(pairwise_iou(torch.tensor([box_1]), torch.tensor([box_2]))[0, 0])
