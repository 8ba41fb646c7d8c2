"""COCO average precision of boxes and masks."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.data.dataset import DetectionDataset
from fetal_hc.engine.structures import Detections
from fetal_hc.engine.train import distributed
from fetal_hc.io.atomic import write_text_atomic
from fetal_hc.io.masks import mask_to_rle, paste_soft_mask
from fetal_hc.io.records import InstancePrediction

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AP50s")
MASK_THRESHOLD = 0.5
# In OUTPUT_DIR/inference, as from Detectron2.
RESULTS_NAME = "coco_instances_results.json"


class CocoEvaluator:
    """AP, AP50, AP75, AP of small, medium and large objects, and AP50 of small ones (below 32 x 32 px), in percent.

    With several classes also "AP-name" and "AP50-name".

    A metric for which the dataset has no object is NaN; objects that were not found score 0.

    Args:
        json_path: COCO JSON of the dataset; contiguous class k is its k-th smallest category id.
        tasks: "bbox" and/or "segm".
        max_detections: best detections per image that count.
        output_file: gets all detections in COCO's format of results; None to write none.
    """

    def __init__(
        self,
        json_path: str | Path,
        tasks: Sequence[str] = ("bbox", "segm"),
        max_detections: int = 100,
        output_file: Path | None = None,
    ) -> None:
        self._output_file = output_file
        self._tasks = tuple(tasks)
        self._max_detections = max_detections
        with contextlib.redirect_stdout(io.StringIO()):
            self._truth = COCO(str(json_path))
        self._category_ids = sorted(self._truth.getCatIds())
        self._records: list[dict[str, Any]] = []

    def reset(self) -> None:
        """Forgets everything collected."""
        self._records = []

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Detections]) -> None:
        """Takes in one batch; masks are pasted into the original image and cut at 0.5."""
        for model_input, output in zip(inputs, outputs, strict=True):
            predictions = sorted(output.to_predictions(), key=lambda prediction: -prediction.score)
            for prediction in predictions[: self._max_detections]:
                self._records.append(self._to_record(model_input, prediction))

    def evaluate(self) -> dict[str, dict[str, float]]:
        """{"bbox": {...}, "segm": {...}} over all processes."""
        records = list(itertools.chain.from_iterable(distributed.all_gather_objects(self._records)))
        if self._output_file is not None and distributed.is_main():
            self._output_file.parent.mkdir(parents=True, exist_ok=True)
            write_text_atomic(self._output_file, json.dumps(records))
        return {task: self._score(records, task) for task in self._tasks}

    def metric_names(self) -> list[str]:
        """All that `evaluate` reports, as "task/metric"."""
        per_class = [f"{metric}-{name}" for name in self._class_names() for metric in ("AP", "AP50")]
        return [f"{task}/{metric}" for task in self._tasks for metric in (*METRICS, *per_class)]

    def _to_record(self, model_input: Mapping[str, Any], prediction: InstancePrediction) -> dict[str, Any]:
        x0, y0, x1, y1 = (float(value) for value in prediction.box_xyxy)
        record: dict[str, Any] = {
            "image_id": model_input["image_id"],
            "category_id": self._category_ids[prediction.label],
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "score": prediction.score,
        }
        if "segm" in self._tasks:
            image_hw = (model_input["height"], model_input["width"])
            pasted = paste_soft_mask(prediction.soft_mask, prediction.box_xyxy, image_hw)
            record["segmentation"] = mask_to_rle(pasted >= MASK_THRESHOLD)
        return record

    def _found(self, records: list[dict[str, Any]], task: str) -> COCO:
        """The records as pycocotools wants them; areas come from what the task scores, boxes or masks."""
        if task == "segm":
            records = [{key: value for key, value in record.items() if key != "bbox"} for record in records]
        if records:
            return self._truth.loadRes(records)
        found = COCO()  # loadRes does not take an empty list
        found.dataset = {**self._truth.dataset, "annotations": []}
        found.createIndex()
        return found

    def _score(self, records: list[dict[str, Any]], task: str) -> dict[str, float]:
        with contextlib.redirect_stdout(io.StringIO()):
            scorer = COCOeval(self._truth, self._found(records, task), task)
            scorer.params.maxDets = [1, 10, self._max_detections]
            scorer.evaluate()
            scorer.accumulate()
        precision = scorer.eval["precision"]  # (IoU threshold, recall, class, area range, detection limit)
        thresholds = scorer.params.iouThrs
        results = {
            "AP": _mean_percent(precision[:, :, :, 0, -1]),
            "AP50": _mean_percent(precision[np.isclose(thresholds, 0.5), :, :, 0, -1]),
            "AP75": _mean_percent(precision[np.isclose(thresholds, 0.75), :, :, 0, -1]),
            "APs": _mean_percent(precision[:, :, :, 1, -1]),
            "APm": _mean_percent(precision[:, :, :, 2, -1]),
            "APl": _mean_percent(precision[:, :, :, 3, -1]),
            "AP50s": _mean_percent(precision[np.isclose(thresholds, 0.5), :, :, 1, -1]),
        }
        for index, name in enumerate(self._class_names()):
            results[f"AP-{name}"] = _mean_percent(precision[:, :, index, 0, -1])
            results[f"AP50-{name}"] = _mean_percent(precision[np.isclose(thresholds, 0.5), :, index, 0, -1])
        return results

    def _class_names(self) -> list[str]:
        """Names of the classes where there are several."""
        names = [category["name"] for category in self._truth.loadCats(self._category_ids)]
        return names if len(names) > 1 else []


def build_coco_evaluator(cfg: CfgNode, dataset: DetectionDataset) -> CocoEvaluator:
    """The evaluator of one dataset; masks are scored where every object of the dataset has one."""
    is_outlined = all(item.get("segmentation") for record in dataset.records for item in record["annotations"])
    tasks = ("bbox", "segm") if cfg.MODEL.MASK_ON and is_outlined else ("bbox",)
    folder = Path(cfg.OUTPUT_DIR) / "inference"
    if len(cfg.DATASETS.TEST) > 1:
        folder /= dataset.name
    return CocoEvaluator(dataset.path, tasks, cfg.TEST.DETECTIONS_PER_IMAGE, folder / RESULTS_NAME)


def _mean_percent(precision: np.ndarray) -> float:
    """Mean of the defined entries (-1 = no object of that kind) in percent, or NaN."""
    defined = precision[precision > -1]
    return 100.0 * float(defined.mean()) if defined.size else math.nan
