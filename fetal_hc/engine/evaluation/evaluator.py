"""The protocol of evaluators and the loop that feeds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import nn
from tqdm import tqdm

from fetal_hc.engine.train import distributed


class DatasetEvaluator(Protocol):
    """Collects what a model found on a dataset, then scores it."""

    def reset(self) -> None:
        """Forgets everything collected."""

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Any]) -> None:
        """Takes in one batch: model inputs ("image_id", "height", "width") and what the model returned for each."""

    def evaluate(self) -> dict[str, dict[str, float]]:
        """{task: {metric: value}} over the collections of all processes; every process calls it and gets the result."""

    def metric_names(self) -> list[str]:
        """All that `evaluate` reports, as "task/metric"."""


class DatasetEvaluators:
    """Several evaluators fed as one.

    Args:
        evaluators: their task names must differ.
    """

    def __init__(self, evaluators: Sequence[DatasetEvaluator]) -> None:
        self._evaluators = list(evaluators)

    def reset(self) -> None:
        """Forgets everything collected."""
        for evaluator in self._evaluators:
            evaluator.reset()

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Any]) -> None:
        """Gives the batch to each evaluator."""
        for evaluator in self._evaluators:
            evaluator.process(inputs, outputs)

    def evaluate(self) -> dict[str, dict[str, float]]:
        """The results of all evaluators in one dictionary."""
        results: dict[str, dict[str, float]] = {}
        for evaluator in self._evaluators:
            for task, metrics in evaluator.evaluate().items():
                if task in results:
                    raise ValueError(f"two evaluators report task {task!r}")
                results[task] = metrics
        return results

    def metric_names(self) -> list[str]:
        """Those of all evaluators."""
        return [name for evaluator in self._evaluators for name in evaluator.metric_names()]


@torch.no_grad()
def evaluate_on_dataset(
    model: nn.Module, loader: Iterable[list[dict[str, Any]]], evaluator: DatasetEvaluator
) -> dict[str, dict[str, float]]:
    """Runs the model over `loader` and returns the evaluator's results.

    Args:
        model: in eval mode it returns one prediction per input; used in eval mode, then put back.
        loader: batches of model inputs; in a group of processes each loader gives its own share of the dataset.
        evaluator: reset first.
    """
    was_training = model.training
    model.eval()
    evaluator.reset()
    try:
        for inputs in tqdm(loader, desc="evaluating", leave=False, disable=None if distributed.is_main() else True):
            evaluator.process(inputs, model(inputs))
    finally:
        model.train(was_training)
    return evaluator.evaluate()
