"""The moving average of weights."""

import pytest
import torch
from torch import nn

from fetal_hc.engine.train.ema import ExponentialMovingAverage


def filled(value: float) -> nn.BatchNorm1d:
    model = nn.BatchNorm1d(2)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(value)
    return model


def test_average_is_the_recursive_formula_with_warmed_up_decay() -> None:
    model = filled(0.0)
    ema = ExponentialMovingAverage(model, decay=0.15)
    expected = 0.0
    for step, value in enumerate([1.0, 5.0, 2.0]):
        ema.update_parameters(filled(value))
        decay = min(0.15, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert ema.module.state_dict()["weight"].tolist() == pytest.approx([expected] * 2)


def test_running_statistics_are_averaged_and_counters_copied() -> None:
    ema = ExponentialMovingAverage(filled(0.0), decay=0.5)
    ema.update_parameters(filled(8.0))
    assert ema.module.state_dict()["running_mean"].tolist() == pytest.approx([7.2, 7.2])
    assert int(ema.module.state_dict()["num_batches_tracked"]) == 8


def test_average_is_not_tied_to_the_model() -> None:
    model = filled(1.0)
    ema = ExponentialMovingAverage(model, decay=0.5)
    with torch.no_grad():
        model.weight.fill_(9.0)
    assert ema.module.state_dict()["weight"].tolist() == [1.0, 1.0]


def test_restored_average_goes_on_equally() -> None:
    first = ExponentialMovingAverage(filled(0.0), decay=0.9)
    first.update_parameters(filled(1.0))
    second = ExponentialMovingAverage(filled(5.0), decay=0.9)
    second.restore(first.module.state_dict(), first.n_updates)
    for ema in (first, second):
        ema.update_parameters(filled(2.0))
    assert torch.equal(first.module.state_dict()["weight"], second.module.state_dict()["weight"])
