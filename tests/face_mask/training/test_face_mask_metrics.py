"""Metrics of classes, boxes and masks whose values are known in closed form."""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from face_mask.models.whole_image import ImagePrediction, MaskPrediction
from face_mask.training.box_evaluation import BoxEvaluator
from face_mask.training.classification_evaluation import (
    ClassificationEvaluator,
    count_confusions,
    roc_auc,
    score_classes,
)
from face_mask.training.mask_evaluation import MaskEvaluator
from fetal_hc.engine.structures import Detections
from fetal_hc.io.masks import mask_to_rle, score_mask

NAMES = ("with", "without")


def probabilities(of_first: list[float]) -> np.ndarray:
    return np.array([[p, 1.0 - p] for p in of_first])


def test_scores_of_a_known_table() -> None:
    truth = np.array([0, 0, 0, 0, 1, 1])
    found = probabilities([0.9, 0.8, 0.7, 0.2, 0.6, 0.1])
    scores = score_classes(truth, found, NAMES, positive_class=0)
    assert scores["accuracy"] == pytest.approx(100 * 4 / 6)
    assert scores["precision"] == scores["recall"] == scores["F1"] == pytest.approx(75.0)
    assert scores["ROC_AUC"] == pytest.approx(100 * 7 / 8)
    assert scores["recall-without"] == pytest.approx(50.0)


def test_confusion_matrix_has_truth_in_rows() -> None:
    counts = count_confusions(np.array([0, 0, 1]), probabilities([0.1, 0.9, 0.2]))
    assert counts.tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize(
    ("scores", "area"), [([0.9, 0.8, 0.1], 1.0), ([0.1, 0.2, 0.9], 0.0), ([0.5, 0.5, 0.5], 0.5), ([0.9, 0.2, 0.5], 0.5)]
)
def test_roc_area(scores: list[float], area: float) -> None:
    assert roc_auc(np.array([True, True, False]), np.array(scores)) == pytest.approx(area)


def test_roc_area_needs_both_kinds() -> None:
    assert math.isnan(roc_auc(np.array([True]), np.array([0.5])))


def test_absent_class_leaves_the_means_alone() -> None:
    truth = np.array([0, 1, 1])
    found = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1]])
    scores = score_classes(truth, found, ("a", "b", "c"), positive_class=0)
    assert scores["accuracy"] == scores["recall"] == scores["precision"] == 100.0
    assert math.isnan(scores["recall-c"])


def test_classification_writes_every_image_and_the_confusion(tmp_path: Path) -> None:
    records = [{"image_id": k, "file_name": f"p{k}.jpg", "annotations": [{"category_id": k % 2}]} for k in range(4)]
    evaluator = ClassificationEvaluator(records, NAMES, 0, tmp_path / "scores.csv")
    evaluator.process(records, [ImagePrediction(torch.tensor([0.75, 0.25])) for _ in records])
    result = evaluator.evaluate()["classification"]
    assert result["accuracy"] == 50.0
    assert {f"classification/{name}" for name in result} == set(evaluator.metric_names())
    with (tmp_path / "scores.csv").open() as stream:
        assert [row["truth"] for row in csv.DictReader(stream)] == ["with", "without"] * 2
    assert (tmp_path / "confusion_scores.csv").read_text().splitlines()[1:] == ["with,2,0", "without,2,0"]


def test_box_overlap_of_known_boxes(tmp_path: Path) -> None:
    records = [
        {"image_id": k, "file_name": f"{k}.jpg", "annotations": [{"bbox": [0.0, 0.0, 10.0, 10.0]}]} for k in (1, 2)
    ]
    evaluator = BoxEvaluator(records, tmp_path / "boxes.csv")
    boxes = (torch.tensor([0.0, 0.0, 10.0, 5.0]), torch.tensor([20.0, 0.0, 30.0, 10.0]))
    evaluator.process(records, [ImagePrediction(torch.tensor([1.0]), box) for box in boxes])
    assert evaluator.evaluate()["box"] == {"mean_IoU": 25.0, "median_IoU": 25.0, "IoU50_share": 50.0}


def mask_record(rows: slice) -> tuple[dict[str, Any], np.ndarray]:
    mask = np.zeros((10, 10), dtype=bool)
    mask[rows] = True
    annotation = {"category_id": 0, "segmentation": mask_to_rle(mask), "bbox": [0, 0, 10, 10]}
    return {"image_id": 1, "file_name": "a.png", "height": 10, "width": 10, "annotations": [annotation]}, mask


def test_mask_overlap_of_known_masks() -> None:
    assert score_mask(np.array([[1, 1, 0, 0]], bool), np.array([[0, 1, 1, 0]], bool)) == pytest.approx(
        (1 / 3, 0.5, 0.5)
    )
    assert score_mask(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == (1.0, 1.0, 1.0)


def test_instances_and_probabilities_of_one_mask_score_alike() -> None:
    record, mask = mask_record(slice(5, 10))
    whole = torch.tensor([[0.0, 5.0, 10.0, 10.0], [0.0, 0.0, 10.0, 10.0]])
    detections = Detections(whole, torch.tensor([0.9, 0.3]), torch.tensor([0, 0]), torch.ones(2, 8, 8))
    for output in (MaskPrediction(mask.astype(np.float32)), detections):
        evaluator = MaskEvaluator([record])
        evaluator.process([record], [output])
        assert evaluator.evaluate()["mask"]["IoU"] == pytest.approx(100.0)


def test_faces_without_mask_add_no_pixels_and_unknown_ones_leave_the_image_out() -> None:
    record, _ = mask_record(slice(5, 10))
    bare = {**record, "annotations": [*record["annotations"], {"category_id": 1, "bbox": [0, 0, 10, 5]}]}
    box = torch.tensor([[0.0, 0.0, 10.0, 5.0]])
    found = Detections(box, torch.tensor([0.9]), torch.tensor([1]), torch.ones(1, 8, 8))
    known, unknown = MaskEvaluator([bare], classes_without_mask=[1]), MaskEvaluator([bare])
    for evaluator in (known, unknown):
        evaluator.process([bare], [found])
    assert known.evaluate()["mask"]["IoU"] == 0.0
    assert known.evaluate()["mask"]["pixel_accuracy"] == 50.0
    assert unknown.evaluate()["mask"]["n_images"] == 0
