"""Head circumference of detections whose error is known."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from fetal_hc.engine.config import get_default_config
from fetal_hc.engine.data.datasets import load_dataset_dicts
from fetal_hc.engine.structures import Detections
from fetal_hc.errors import DatasetError
from fetal_hc_cli.training.architectures import ARCHITECTURES, MASK_RCNN
from hc18.evaluation.evaluate import collect_scores
from hc18.evaluation.score_summary import ScoredImage
from hc18.geometry.ellipse import Ellipse
from hc18.training.hc_evaluation import HcEvaluator, pool_hc_scores
from tests.fetal_hc.engine.toy_heads import ELLIPSES, PIXEL_SIZE_MM, write_heads

MASK_SIZE = 56


@pytest.fixture
def records(tmp_path: Path) -> list[dict[str, Any]]:
    write_heads(tmp_path)
    cfg = get_default_config(ARCHITECTURES)
    cfg.DATASETS.ROOT = str(tmp_path)
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 1
    return load_dataset_dicts(cfg, MASK_RCNN, "heads")


def detect(ellipse: Ellipse | None, score: float = 0.9) -> Detections:
    """The soft mask of an ellipse in its box with a margin; nothing for None."""
    if ellipse is None:
        return Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 8, 8))
    x0, y0, x1, y1 = (float(value) for value in ellipse.box_xyxy())
    box = torch.tensor([x0 - 1.5, y0 - 1.5, x1 + 2.5, y1 + 2.5])
    steps = (torch.arange(MASK_SIZE, dtype=torch.float64) + 0.5) / MASK_SIZE
    x = box[0] + steps * (box[2] - box[0]) - 0.5 - ellipse.center_x
    y = (box[1] + steps * (box[3] - box[1]) - 0.5 - ellipse.center_y)[:, None]
    cosine, sine = math.cos(ellipse.angle_rad), math.sin(ellipse.angle_rad)
    p, q = (x * cosine + y * sine) / ellipse.semi_axis_a, (y * cosine - x * sine) / ellipse.semi_axis_b
    radius = torch.sqrt(p * p + q * q)
    soft = torch.sigmoid((1.0 - radius) * ellipse.semi_axis_b * 4.0)  # 0.5 on the outline
    return Detections(box[None], torch.tensor([score]), torch.tensor([0]), soft.float()[None])


def score(records: list[dict[str, Any]], outputs: list[Detections], **options: Any) -> dict[str, float]:
    evaluator = HcEvaluator(records, **options)
    evaluator.reset()
    for record, output in zip(records, outputs, strict=True):
        evaluator.process([record], [output])
    return evaluator.evaluate()["hc"]


def test_true_ellipses_have_no_error(records: list[dict[str, Any]]) -> None:
    found = score(records, [detect(ellipse) for ellipse in ELLIPSES])
    assert (found["n_scored"], found["n_failed"]) == (6, 0)
    assert found["ADF_max"] < 0.1
    assert found["DSC_mean"] > 99.5
    assert found["HD_max"] < 0.1


def test_difference_is_predicted_minus_reference_in_mm(records: list[dict[str, Any]]) -> None:
    larger = [
        Ellipse(e.center_x, e.center_y, 1.05 * e.semi_axis_a, 1.05 * e.semi_axis_b, e.angle_rad) for e in ELLIPSES
    ]
    found = score(records, [detect(ellipse) for ellipse in larger])
    expected = 0.05 * PIXEL_SIZE_MM * sum(e.circumference() for e in ELLIPSES) / len(ELLIPSES)
    assert found["DF_mean"] == pytest.approx(expected, abs=0.05)
    assert found["ADF_mean"] == pytest.approx(found["DF_mean"])


def test_missed_head_is_a_failure_and_errs_by_its_whole_circumference(records: list[dict[str, Any]]) -> None:
    outputs = [detect(ellipse) for ellipse in ELLIPSES]
    outputs[2] = detect(None)
    found = score(records, outputs)
    assert (found["n_scored"], found["n_failed"]) == (5, 1)
    assert found["ADF_mean"] < 0.1
    assert found["ADF_all"] == pytest.approx(ELLIPSES[2].circumference() * PIXEL_SIZE_MM / 6, abs=0.1)


def test_image_without_any_output_is_a_failure(records: list[dict[str, Any]]) -> None:
    evaluator = HcEvaluator(records)
    evaluator.process(records[:1], [detect(ELLIPSES[0])])
    assert evaluator.evaluate()["hc"]["n_failed"] == 5


def test_nothing_found_leaves_the_statistics_undefined(records: list[dict[str, Any]]) -> None:
    found = score(records, [detect(None)] * 6)
    assert math.isnan(found["ADF_mean"])
    assert found["n_failed"] == 6


def test_trimesters_follow_the_reference(records: list[dict[str, Any]]) -> None:
    found = score(records, [detect(ellipse) for ellipse in ELLIPSES])
    assert (found["first_n_scored"], found["second_n_scored"]) == (6, 0)
    assert found["first_ADF_mean"] == found["ADF_mean"]
    assert math.isnan(found["second_ADF_mean"])


def test_announced_metrics_are_those_reported(records: list[dict[str, Any]]) -> None:
    names = HcEvaluator(records).metric_names()
    assert names == [f"hc/{name}" for name in score(records, [detect(ellipse) for ellipse in ELLIPSES])]


def test_scores_of_each_image_are_written(records: list[dict[str, Any]], tmp_path: Path) -> None:
    score(records, [detect(None)] * 6, details_path=tmp_path / "details.json")
    details = json.loads((tmp_path / "details.json").read_text())
    assert [case["filename"] for case in details["cases"]] == [f"{number:03d}_HC.png" for number in range(1, 7)]
    assert len(details["failed"]) == 6


def test_records_without_what_is_needed_are_all_listed(records: list[dict[str, Any]]) -> None:
    del records[0]["pixel_size_mm"]
    records[1]["annotations"] = []
    with pytest.raises(DatasetError) as caught:
        HcEvaluator(records)
    assert len(caught.value.problems) == 2
    assert "001_HC.png: no pixel_size_mm; convert again" in caught.value.problems[0]
    assert "002_HC.png: no one annotation with ellipse_px" in caught.value.problems[1]


def test_pooled_scores_are_those_of_all_images_together(tmp_path: Path) -> None:
    scores = [ScoredImage("a.png", 80.0, 82.0, 2.0, 0.97, 1.0), ScoredImage("b.png", 300.0)]
    paths = [tmp_path / "fold0.json", tmp_path / "fold1.json"]
    for path, score_of_one in zip(paths, scores, strict=True):
        path.write_text(json.dumps(collect_scores([score_of_one]).to_json()))
    assert pool_hc_scores(paths) == collect_scores(scores)


def test_log_says_that_a_detector_is_measured_without_refinement(
    records: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "hc18.training"):
        score(records, [detect(ellipse) for ellipse in ELLIPSES])
    assert "detection stage alone, without refinement" in caplog.text
