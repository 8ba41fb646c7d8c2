"""Head circumference in millimetres against the reference of the dataset."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.data.dataset import DetectionDataset
from fetal_hc.engine.evaluation.results import details_path
from fetal_hc.engine.search.cross_validation import PooledTask
from fetal_hc.engine.structures import Detections
from fetal_hc.engine.train import distributed
from fetal_hc.errors import DatasetError, raise_problems
from fetal_hc.io.atomic import write_text_atomic
from hc18.evaluation.evaluate import HcEvaluation, ReferenceCase, collect_scores, evaluate
from hc18.evaluation.score_summary import GroupSummary, ScoredImage
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.outline import find_outline
from hc18.training.outline_refiner import EllipsePrediction

TASK = "hc"
# Which outlines were measured, for the log.
DETECTED = "outlines of the detection stage alone, without refinement"
REFINED = "outlines after the refinement stage"
STATISTICS = ("mean", "sd", "median", "p95", "max")

logger = logging.getLogger(__name__)


class HcEvaluator:
    """Task "hc": DF, ADF and HD in mm and DSC in percent, as NAME_mean, _sd, _median, _p95, _max; n_scored, n_failed.

    Per trimester (first_, second_, third_) the means and counts. `ADF_all` is the mean over all images where an image
    without a measurement errs by its whole circumference: the figure to choose a checkpoint by, because the other ones
    leave failures out.

    The outlines are what the evaluated model finds by itself. A detector is thus measured without refinement, while
    `fetal-hc score` refines its outlines where the model's file has a refiner: its errors are larger here than there.

    Args:
        records: dataset dicts with "pixel_size_mm" and "hc_mm", and one annotation with "ellipse_px" (ellipse around
            the head in px, pixel centres at integers).
        details_path: JSON file for the scores of every image; None = not written.

    Raises:
        DatasetError: listing all records that lack any of these.
    """

    def __init__(self, records: Sequence[Mapping[str, Any]], details_path: Path | None = None) -> None:
        problems = [problem for record in records if (problem := _problem(record))]
        if problems:
            raise_problems(DatasetError, problems, "TEST.EVALUATORS hc needs datasets converted from HC18")
        self._references = [_to_reference(record) for record in records]
        self._pixel_size_mm = {record["image_id"]: float(record["pixel_size_mm"]) for record in records}
        self._details_path = details_path
        self._measured_mm: dict[str, Ellipse | None] = {}
        self._stage = DETECTED

    def reset(self) -> None:
        """Forgets everything collected."""
        self._measured_mm = {}

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Detections | EllipsePrediction]) -> None:
        """Measures the head in each image of one batch."""
        for model_input, output in zip(inputs, outputs, strict=True):
            spacing = self._pixel_size_mm[model_input["image_id"]]
            if isinstance(output, EllipsePrediction):
                self._stage = REFINED
                ellipse_mm = None if output.ellipse_px is None else output.ellipse_px.to_mm(spacing, spacing)
            else:
                image_hw = (int(model_input["height"]), int(model_input["width"]))
                ellipse_px = find_outline(output.to_predictions(), image_hw).ellipse_px
                ellipse_mm = None if ellipse_px is None else ellipse_px.to_mm(spacing, spacing)
            self._measured_mm[Path(model_input["file_name"]).name] = ellipse_mm

    def evaluate(self) -> dict[str, dict[str, float]]:
        """{"hc": {...}} over all processes."""
        measured_mm: dict[str, Ellipse | None] = {}
        for part in distributed.all_gather_objects(self._measured_mm):
            measured_mm.update(part)
        evaluation = evaluate(measured_mm, self._references)
        if distributed.is_main():
            logger.info("head circumference (%s)\n%s", self._stage, evaluation.to_table())
            if self._details_path is not None:
                write_text_atomic(self._details_path, json.dumps(evaluation.to_json(), indent=2) + "\n")
        return {TASK: _to_metrics(evaluation)}

    def metric_names(self) -> list[str]:
        """All that `evaluate` reports, as "task/metric"."""
        return [f"hc/{name}" for name in _to_metrics(evaluate({}, self._references))]


def build_hc_evaluator(cfg: CfgNode, dataset: DetectionDataset) -> HcEvaluator:
    """The evaluator of one dataset, with its details in OUTPUT_DIR."""
    return HcEvaluator(dataset.records, hc_details(Path(cfg.OUTPUT_DIR), dataset.name))


def pool_hc_scores(paths: Sequence[Path]) -> HcEvaluation:
    """One evaluation of all images whose scores `HcEvaluator` wrote to several files, such as those of folds."""
    names = [field.name for field in fields(ScoredImage)]
    cases = [case for path in paths for case in json.loads(path.read_text(encoding="utf-8"))["cases"]]
    return collect_scores([ScoredImage(**{name: case[name] for name in names}) for case in cases])


def hc_details(output_dir: Path, dataset: str) -> Path:
    """File with the scores of single images that a training leaves in its OUTPUT_DIR."""
    return details_path(output_dir, TASK, dataset, "json")


POOLED_TASKS = {TASK: PooledTask(hc_details, pool_hc_scores)}


def _to_metrics(evaluation: HcEvaluation) -> dict[str, float]:
    errors = [case.hc_mm if case.difference_mm is None else abs(case.difference_mm) for case in evaluation.cases]
    metrics = {"ADF_all": sum(errors) / len(errors), **_group_metrics(evaluation.overall, STATISTICS)}
    for name, group in evaluation.trimesters.items():
        metrics.update({f"{name}_{metric}": value for metric, value in _group_metrics(group, ("mean",)).items()})
    return metrics


def _group_metrics(group: GroupSummary, statistics: Sequence[str]) -> dict[str, float]:
    """Counts and chosen statistics of one group; NaN where nothing was scored."""
    metrics: dict[str, float] = {"n_scored": group.n_scored, "n_failed": group.n_failed}
    parts = (
        ("ADF", group.absolute_difference_mm, 1.0),
        ("DF", group.difference_mm, 1.0),
        ("DSC", group.dice, 100.0),
        ("HD", group.hausdorff_mm, 1.0),
    )
    for name, values, factor in parts:
        for statistic in statistics:
            value = getattr(values, statistic, None)
            metrics[f"{name}_{statistic}"] = math.nan if value is None else factor * value
    return metrics


def _problem(record: Mapping[str, Any]) -> str:
    """What the evaluation misses in a record; empty when nothing."""
    missing = [key for key in ("pixel_size_mm", "hc_mm") if not isinstance(record.get(key), (int, float))]
    if sum("ellipse_px" in annotation for annotation in record["annotations"]) != 1:
        missing.append("one annotation with ellipse_px")
    return f"{record['file_name']}: no {', no '.join(missing)}; convert again with fetal-hc convert" if missing else ""


def _to_reference(record: Mapping[str, Any]) -> ReferenceCase:
    ellipse = next(annotation["ellipse_px"] for annotation in record["annotations"] if "ellipse_px" in annotation)
    spacing = float(record["pixel_size_mm"])
    return ReferenceCase(
        Path(record["file_name"]).name, Ellipse(**ellipse).to_mm(spacing, spacing), float(record["hc_mm"])
    )
