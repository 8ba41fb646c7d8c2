"""COCO average precision on a dataset drawn here."""

import contextlib
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fetal_hc.engine.evaluation.coco import CocoEvaluator
from fetal_hc.engine.structures import Detections

IMAGE_HW = (120, 160)
# (image id, category id, x0, y0, x1, y1); the categories are numbered with a gap.
TRUTH = [(1, 3, 10, 10, 60, 50), (1, 7, 80, 20, 140, 100), (2, 3, 30, 30, 100, 90)]


def write_dataset(path: Path, categories: tuple[tuple[int, str], ...] = ((3, "head"), (7, "mask"))) -> Path:
    known = {number for number, _ in categories}
    annotations = [
        {
            "id": number,
            "image_id": image_id,
            "category_id": category_id,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": (x1 - x0) * (y1 - y0),
            "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
            "iscrowd": 0,
        }
        for number, (image_id, category_id, x0, y0, x1, y1) in enumerate(TRUTH, start=1)
        if category_id in known
    ]
    images = [{"id": number, "file_name": f"{number}.png", "height": 120, "width": 160} for number in (1, 2)]
    listed = [{"id": number, "name": name} for number, name in categories]
    path.write_text(json.dumps({"info": {}, "images": images, "annotations": annotations, "categories": listed}))
    return path


def model_input(image_id: int) -> dict[str, Any]:
    return {"image_id": image_id, "height": IMAGE_HW[0], "width": IMAGE_HW[1], "file_name": f"{image_id}.png"}


def detections(*found: tuple[tuple[float, ...], float, int], mask_value: float = 1.0) -> Detections:
    """Detections from (box, score, class); every mask is constant."""
    return Detections(
        boxes=torch.tensor([box for box, _, _ in found], dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor([score for _, score, _ in found], dtype=torch.float32),
        classes=torch.tensor([label for _, _, label in found], dtype=torch.int64),
        masks=torch.full((len(found), 28, 28), mask_value),
    )


PERFECT = {
    1: detections(((10, 10, 60, 50), 0.9, 0), ((80, 20, 140, 100), 0.8, 1)),
    2: detections(((30, 30, 100, 90), 0.7, 0)),
}


def score(path: Path, found: dict[int, Detections], **options: Any) -> dict[str, dict[str, float]]:
    evaluator = CocoEvaluator(path, **options)
    evaluator.reset()
    for image_id, output in found.items():
        evaluator.process([model_input(image_id)], [output])
    return evaluator.evaluate()


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "truth.json")


def test_perfect_detections_score_100(dataset: Path) -> None:
    results = score(dataset, PERFECT)
    for task in ("bbox", "segm"):
        for metric in ("AP", "AP50", "AP75", "APm", "AP-head", "AP-mask"):
            assert results[task][metric] == pytest.approx(100.0), (task, metric)


def test_sizes_that_do_not_occur_are_undefined(dataset: Path) -> None:
    results = score(dataset, PERFECT)
    assert math.isnan(results["segm"]["APs"])
    assert math.isnan(results["segm"]["APl"])


def test_nothing_found_scores_zero(dataset: Path) -> None:
    results = score(dataset, {1: detections(), 2: detections()})
    assert results["segm"]["AP"] == 0.0
    assert math.isnan(results["segm"]["APs"])


def test_wrong_class_scores_zero(dataset: Path) -> None:
    swapped = {image_id: Detections(d.boxes, d.scores, 1 - d.classes, d.masks) for image_id, d in PERFECT.items()}
    assert score(dataset, swapped)["bbox"]["AP"] == 0.0


def test_one_of_two_heads_scores_the_recalled_half(dataset: Path) -> None:
    results = score(dataset, {2: PERFECT[2]})
    assert results["bbox"]["AP-head"] == pytest.approx(100 * 51 / 101)
    assert results["bbox"]["AP-mask"] == 0.0


def test_masks_below_one_half_are_empty(dataset: Path) -> None:
    faint = {2: detections(((30, 30, 100, 90), 0.7, 0), mask_value=0.49)}
    results = score(dataset, faint)
    assert results["bbox"]["AP-head"] > 50.0
    assert results["segm"]["AP-head"] == 0.0


def test_best_detections_count_up_to_the_limit(dataset: Path) -> None:
    found = {2: detections(((0, 0, 20, 20), 0.95, 0), ((30, 30, 100, 90), 0.7, 0))}
    assert score(dataset, found, max_detections=1)["bbox"]["AP-head"] == 0.0
    assert score(dataset, found, max_detections=2)["bbox"]["AP-head"] > 0.0


def test_single_class_has_no_per_class_metric(tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "one.json", categories=((3, "head"),))
    assert not any("-" in metric for metric in score(path, {2: PERFECT[2]})["bbox"])


def test_boxes_alone_can_be_scored(dataset: Path) -> None:
    assert set(score(dataset, PERFECT, tasks=("bbox",))) == {"bbox"}


def test_announced_metrics_are_those_reported(dataset: Path) -> None:
    results = score(dataset, PERFECT)
    assert CocoEvaluator(dataset).metric_names() == [f"{task}/{name}" for task in results for name in results[task]]


def test_nothing_is_printed(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score(dataset, PERFECT)
    assert capsys.readouterr().out == ""


def test_reset_forgets(dataset: Path) -> None:
    evaluator = CocoEvaluator(dataset)
    evaluator.process([model_input(2)], [PERFECT[2]])
    evaluator.reset()
    assert evaluator.evaluate()["bbox"]["AP"] == 0.0


@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_metrics_equal_the_summary_of_pycocotools(dataset: Path, task: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    found = {}
    for image_id in (1, 2):
        boxes = [box for number, _, *box in TRUTH if number == image_id for _ in range(6)]
        jittered = np.asarray(boxes, dtype=float) + rng.normal(0, 4, (len(boxes), 4))
        rows = [(tuple(box), float(rng.random()), int(rng.integers(2))) for box in jittered]
        found[image_id] = detections(*rows)
    evaluator = CocoEvaluator(dataset, output_file=tmp_path / "found.json")
    for image_id, output in found.items():
        evaluator.process([model_input(image_id)], [output])
    results = evaluator.evaluate()[task]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(dataset))
        drop = ("bbox",) if task == "segm" else ("segmentation",)
        written = json.loads((tmp_path / "found.json").read_text())
        records = [{k: v for k, v in record.items() if k not in drop} for record in written]
        reference = COCOeval(truth, truth.loadRes(records), task)
        reference.evaluate()
        reference.accumulate()
        reference.summarize()
    expected = [100 * value if value >= 0 else math.nan for value in reference.stats[:6]]
    names = ("AP", "AP50", "AP75", "APs", "APm", "APl")
    assert [results[name] for name in names] == pytest.approx(expected, nan_ok=True)
    assert 0 < results["AP"] < 100
