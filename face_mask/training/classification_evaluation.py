"""Scores of predicted classes, with the figures that confusion matrices and ROC curves are drawn from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face_mask.models.whole_image import ImagePrediction
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.data.dataset import DetectionDataset
from fetal_hc.engine.evaluation.results import details_path
from fetal_hc.engine.train import distributed
from fetal_hc.io.tables import write_csv

TASK = "classification"


class ClassificationEvaluator:
    """Task "classification", in percent: accuracy, precision, recall, F1, ROC_AUC, and recall-NAME of every class.

    With two classes precision, recall, F1 and ROC_AUC are those of the positive class; with more they are means over
    the classes that occur, each against the rest. Undefined values are NaN.

    Args:
        records: dataset dicts with one annotation each.
        class_names: in contiguous order.
        positive_class: the class that counts as positive, of two.
        details_path: CSV with truth and probabilities of every image; the confusion matrix goes to the same folder.
    """

    def __init__(
        self,
        records: Sequence[Mapping[str, Any]],
        class_names: Sequence[str],
        positive_class: int = 0,
        details_path: Path | None = None,
    ) -> None:
        self._truth = {record["image_id"]: int(record["annotations"][0]["category_id"]) for record in records}
        self._files = {record["image_id"]: str(record["file_name"]) for record in records}
        self._names = tuple(class_names)
        self._positive = positive_class
        self._details_path = details_path
        self._found: list[tuple[Any, list[float]]] = []

    def reset(self) -> None:
        """Forgets everything collected."""
        self._found = []

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[ImagePrediction]) -> None:
        """Takes in one batch."""
        for item, output in zip(inputs, outputs, strict=True):
            self._found.append((item["image_id"], output.probabilities.tolist()))

    def evaluate(self) -> dict[str, dict[str, float]]:
        """{"classification": {...}} over all processes."""
        found = dict(itertools.chain.from_iterable(distributed.all_gather_objects(self._found)))
        ids = sorted(found)
        truth = np.array([self._truth[image_id] for image_id in ids], dtype=np.int64)
        probabilities = np.array([found[image_id] for image_id in ids], dtype=np.float64)
        if self._details_path is not None and distributed.is_main():
            self._write_details(ids, truth, probabilities)
        return {TASK: score_classes(truth, probabilities, self._names, self._positive)}

    def metric_names(self) -> list[str]:
        """All that `evaluate` reports, as "task/metric"."""
        names = ("accuracy", "precision", "recall", "F1", "ROC_AUC", *(f"recall-{name}" for name in self._names))
        return [f"{TASK}/{name}" for name in names]

    def _write_details(self, ids: Sequence[Any], truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> None:
        assert self._details_path is not None
        rows = []
        for image_id, true, row in zip(ids, truth, probabilities, strict=True):
            predicted = self._names[int(row.argmax())]
            rows.append((Path(self._files[image_id]).name, self._names[true], predicted, *(f"{p:.6g}" for p in row)))
        columns = ("file_name", "truth", "predicted", *(f"p_{name}" for name in self._names))
        write_csv(self._details_path, columns, rows)
        counts = count_confusions(truth, probabilities)
        table = [(name, *row.tolist()) for name, row in zip(self._names, counts, strict=True)]
        confusion_path = self._details_path.with_name(f"confusion_{self._details_path.name}")
        write_csv(confusion_path, ("truth", *self._names), table)


def build_classification_evaluator(cfg: CfgNode, dataset: DetectionDataset) -> ClassificationEvaluator:
    """The evaluator of one dataset, with its details in OUTPUT_DIR."""
    details = details_path(cfg.OUTPUT_DIR, TASK, dataset.name)
    return ClassificationEvaluator(dataset.records, dataset.class_names, cfg.TEST.POSITIVE_CLASS, details)


def count_confusions(truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Counts (K, K) of N images: row = true class, column = class of the largest of the probabilities (N, K)."""
    from sklearn.metrics import confusion_matrix  # 100 MB and a second, which only evaluations of classes shall cost

    labels = range(probabilities.shape[1])
    counts: NDArray[np.int64] = confusion_matrix(truth, probabilities.argmax(axis=1), labels=labels)
    return counts


def score_classes(
    truth: NDArray[np.int64], probabilities: NDArray[np.float64], names: Sequence[str], positive_class: int
) -> dict[str, float]:
    """All metrics of `ClassificationEvaluator` for N images.

    Args:
        truth: (N,) classes.
        probabilities: (N, K); the largest decides.
        names: of the K classes.
        positive_class: see `ClassificationEvaluator`.
    """
    n_classes = len(names)
    counts = count_confusions(truth, probabilities)
    hits, in_truth, in_found = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    recalls = [_percent(hits[k], in_truth[k]) for k in range(n_classes)]
    scored = [positive_class] if n_classes == 2 else [k for k in range(n_classes) if in_truth[k]]
    precisions = [_percent(hits[k], in_found[k]) for k in scored]
    f1 = [_percent(2 * hits[k], in_truth[k] + in_found[k]) for k in scored]
    areas = [100.0 * roc_auc(truth == k, probabilities[:, k]) for k in scored]
    return {
        "accuracy": _percent(hits.sum(), counts.sum()),
        "precision": _mean(precisions),
        "recall": _mean([recalls[k] for k in scored]),
        "F1": _mean(f1),
        "ROC_AUC": _mean(areas),
        **{f"recall-{name}": recall for name, recall in zip(names, recalls, strict=True)},
    }


def roc_auc(is_positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Area under the ROC curve, in [0, 1]; NaN where one of the two kinds is missing."""
    if is_positive.all() or not is_positive.any():
        return math.nan
    from sklearn.metrics import roc_auc_score  # see count_confusions

    return float(roc_auc_score(is_positive, scores))


def _percent(part: float, whole: float) -> float:
    return 100.0 * float(part) / float(whole) if whole else math.nan


def _mean(values: Sequence[float]) -> float:
    defined = [value for value in values if math.isfinite(value)]
    return sum(defined) / len(defined) if defined else math.nan
