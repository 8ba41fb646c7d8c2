"""Scores of a model on annotated images."""

from fetal_hc.engine.evaluation.evaluator import (
    DatasetEvaluator,
    DatasetEvaluators,
    evaluate_on_dataset,
)

__all__ = ["DatasetEvaluator", "DatasetEvaluators", "evaluate_on_dataset"]
