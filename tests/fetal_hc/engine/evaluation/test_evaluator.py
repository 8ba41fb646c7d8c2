"""The loop that feeds evaluators, and evaluators fed as one."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import nn

from fetal_hc.engine.evaluation import DatasetEvaluators, evaluate_on_dataset


class Counter:
    def __init__(self, task: str) -> None:
        self.task, self.count = task, -1.0

    def reset(self) -> None:
        self.count = 0.0

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Any]) -> None:
        self.count += sum(outputs)

    def evaluate(self) -> dict[str, dict[str, float]]:
        return {self.task: {"sum": self.count}}

    def metric_names(self) -> list[str]:
        return [f"{self.task}/sum"]


class Echo(nn.Module):
    """Returns its inputs' values, and remembers how it was called."""

    def __init__(self, error: bool = False) -> None:
        super().__init__()
        self.error = error
        self.calls: list[tuple[bool, bool]] = []

    def forward(self, inputs: list[dict[str, Any]]) -> list[float]:
        self.calls.append((self.training, torch.is_grad_enabled()))
        if self.error:
            raise ZeroDivisionError
        return [item["value"] for item in inputs]


BATCHES = [[{"value": 1.0}, {"value": 2.0}], [{"value": 4.0}]]


def test_every_batch_is_processed_once_in_eval_mode_without_gradients() -> None:
    model = Echo().train()
    assert evaluate_on_dataset(model, BATCHES, Counter("a")) == {"a": {"sum": 7.0}}
    assert model.calls == [(False, False)] * 2
    assert model.training


def test_training_mode_returns_after_an_error() -> None:
    model = Echo(error=True).train()
    with pytest.raises(ZeroDivisionError):
        evaluate_on_dataset(model, BATCHES, Counter("a"))
    assert model.training


def test_several_evaluators_see_the_same_outputs() -> None:
    both = DatasetEvaluators([Counter("a"), Counter("b")])
    assert evaluate_on_dataset(Echo(), BATCHES, both) == {"a": {"sum": 7.0}, "b": {"sum": 7.0}}
    assert both.metric_names() == ["a/sum", "b/sum"]


def test_two_evaluators_of_one_task_are_refused() -> None:
    with pytest.raises(ValueError, match="two evaluators report task 'a'"):
        evaluate_on_dataset(Echo(), BATCHES, DatasetEvaluators([Counter("a"), Counter("a")]))
