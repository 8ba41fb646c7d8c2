"""Parameter groups, schedules and clipping with Detectron2's meaning; the moving average of weights."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from fetal_hc.engine.train.solver import (
    ExponentialMovingAverage,
    build_optimizer,
    build_schedule,
    clip_gradients,
    learning_rate_multiplier,
    parameter_groups,
    training_dtype,
)
from fetal_hc.errors import ConfigError
from tests.fetal_hc.engine.toy import toy_config


def multiplier(max_iter: int = 100, **solver: Any) -> Any:
    return learning_rate_multiplier(toy_config("output", max_iter, **solver))


def test_multi_step_with_linear_warmup() -> None:
    factor = multiplier(STEPS=[60, 80], GAMMA=0.1, WARMUP_ITERS=10, WARMUP_FACTOR=0.2)
    expected = {0: 0.2, 5: 0.6, 10: 1.0, 59: 1.0, 60: 0.1, 79: 0.1, 80: 0.01, 99: 0.01}
    assert {iteration: factor(iteration) for iteration in expected} == pytest.approx(expected)


def test_linear_warmup_ends_on_the_cosine_not_on_one() -> None:
    factor = multiplier(LR_SCHEDULER_NAME="WarmupCosineLR", WARMUP_ITERS=50, WARMUP_FACTOR=0.0, BASE_LR_END=0.0)
    assert factor(25) == pytest.approx(0.25)
    assert factor(50) == pytest.approx(0.5)
    assert factor(75) == pytest.approx(0.5 * (1 + math.cos(0.75 * math.pi)))


def test_cosine_ends_at_the_end_rate() -> None:
    factor = multiplier(LR_SCHEDULER_NAME="WarmupCosineLR", WARMUP_ITERS=0, BASE_LR=0.1, BASE_LR_END=0.02)
    assert factor(0) == pytest.approx(1.0)
    assert factor(50) == pytest.approx(0.6)
    assert factor(100) == pytest.approx(0.2)


def test_constant_warmup() -> None:
    factor = multiplier(WARMUP_ITERS=10, WARMUP_FACTOR=0.3, WARMUP_METHOD="constant")
    assert [factor(0), factor(9), factor(10)] == pytest.approx([0.3, 0.3, 1.0])


def test_warmup_longer_than_the_training_never_leaves_the_line() -> None:
    factor = multiplier(max_iter=10, STEPS=[], WARMUP_ITERS=1000, WARMUP_FACTOR=0.0)
    assert factor(5) == pytest.approx(0.5)


def test_schedule_scales_every_group_by_its_own_base_rate() -> None:
    cfg = toy_config("output", 100, STEPS=[50], WARMUP_ITERS=0, BASE_LR=0.1, BIAS_LR_FACTOR=2.0)
    optimizer = build_optimizer(cfg, nn.Linear(2, 2))
    schedule = build_schedule(cfg, optimizer)
    for _ in range(50):
        schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.01, 0.02])


def test_schedule_state_has_detectron2s_keys_and_restores_the_rate() -> None:
    cfg = toy_config("output", 100, STEPS=[5], WARMUP_ITERS=0, BASE_LR=0.1)
    first = build_schedule(cfg, build_optimizer(cfg, nn.Linear(2, 2)))
    for _ in range(7):
        first.step()
    assert first.state_dict() == {"base_lrs": [0.1], "last_epoch": 7}
    optimizer = build_optimizer(cfg, nn.Linear(2, 2))
    build_schedule(cfg, optimizer).load_state_dict(first.state_dict())
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("solver", "message"),
    [
        ({"STEPS": [50, 100]}, r"SOLVER.STEPS: \[50, 100\] must rise and stay below SOLVER.MAX_ITER 100"),
        ({"STEPS": [50, 40]}, "must rise"),
        ({"LR_SCHEDULER_NAME": "OneCycle"}, "'OneCycle' is unknown; expected WarmupMultiStepLR or WarmupCosineLR"),
        ({"WARMUP_METHOD": "burnin"}, "'burnin' is unknown; expected linear or constant"),
        ({"LR_SCHEDULER_NAME": "WarmupCosineLR", "BASE_LR_END": 1.0}, "SOLVER.BASE_LR_END: 1.0 is not between"),
    ],
)
def test_impossible_schedule_is_refused(solver: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        multiplier(**solver)


def decay_by_name(model: nn.Module, **solver: Any) -> dict[str, tuple[float, float]]:
    groups = parameter_groups(toy_config("output", **solver), model)
    found = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    return {name: found[id(parameter)] for name, parameter in model.named_parameters() if id(parameter) in found}


def test_groups_follow_norm_and_bias_keys_and_bias_wins() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    found = decay_by_name(
        model, BASE_LR=0.1, WEIGHT_DECAY=1e-4, WEIGHT_DECAY_NORM=1e-5, BIAS_LR_FACTOR=2.0, WEIGHT_DECAY_BIAS=0.0
    )
    assert found == {"0.weight": (0.1, 1e-4), "0.bias": (0.2, 0.0), "1.weight": (0.1, 1e-5), "1.bias": (0.2, 0.0)}


def test_default_bias_decay_follows_its_layer() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.GroupNorm(1, 2))
    found = decay_by_name(model, WEIGHT_DECAY=1e-4, WEIGHT_DECAY_NORM=0.0)
    assert found["0.bias"] == (0.01, 1e-4)
    assert found["1.bias"] == (0.01, 0.0)


def test_frozen_parameters_are_left_out_and_shared_ones_appear_once() -> None:
    layer = nn.Linear(2, 2)
    model = nn.Sequential(layer, layer, nn.Linear(2, 2).requires_grad_(False))
    groups = parameter_groups(toy_config("output"), model)
    assert [len(group["params"]) for group in groups] == [2]


def test_nothing_to_train_is_refused() -> None:
    with pytest.raises(ConfigError, match="no trainable parameter"):
        build_optimizer(toy_config("output"), nn.Linear(2, 2).requires_grad_(False))


def test_sgd_takes_momentum_and_nesterov() -> None:
    optimizer = build_optimizer(toy_config("output", MOMENTUM=0.7, NESTEROV=True), nn.Linear(2, 2))
    assert isinstance(optimizer, torch.optim.SGD)
    assert (optimizer.defaults["momentum"], optimizer.defaults["nesterov"]) == (0.7, True)


def test_adamw_takes_the_decay() -> None:
    optimizer = build_optimizer(toy_config("output", OPTIMIZER="AdamW", WEIGHT_DECAY=0.05), nn.Linear(2, 2))
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.param_groups[0]["weight_decay"] == 0.05


def test_rmsprop_steps_as_keras_does() -> None:
    layer = nn.Linear(1, 1, bias=False)
    solver = {"OPTIMIZER": "RMSprop", "BASE_LR": 0.01, "WEIGHT_DECAY": 0.0, "WARMUP_ITERS": 0}
    optimizer = build_optimizer(toy_config("output", **solver), layer)
    start = float(layer.weight.detach())
    layer.weight.grad = torch.tensor([[4.0]])
    optimizer.step()
    mean_square = 0.1 * 4.0**2
    assert start - float(layer.weight.detach()) == pytest.approx(0.01 * 4.0 / math.sqrt(mean_square), rel=1e-4)


def gradients_after_clipping(**clip: Any) -> list[list[float]]:
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))]
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0, -4.0]), torch.tensor([0.3, 0.4])
    clip_gradients(toy_config("output", CLIP_GRADIENTS=clip), parameters)
    return [parameter.grad.tolist() for parameter in parameters]


def test_clipping_by_value_limits_each_element() -> None:
    found = gradients_after_clipping(ENABLED=True, CLIP_TYPE="value", CLIP_VALUE=1.0)
    assert found == [pytest.approx([1.0, -1.0]), pytest.approx([0.3, 0.4])]


def test_clipping_by_norm_treats_each_parameter_alone() -> None:
    found = gradients_after_clipping(ENABLED=True, CLIP_TYPE="norm", CLIP_VALUE=1.0)
    assert found == [pytest.approx([0.6, -0.8], abs=1e-5), pytest.approx([0.3, 0.4])]


def test_clipping_is_off_by_default() -> None:
    assert gradients_after_clipping()[0] == [3.0, -4.0]


def test_unknown_clipping_is_refused() -> None:
    with pytest.raises(ConfigError, match="'full' is unknown; expected value or norm"):
        gradients_after_clipping(ENABLED=True, CLIP_TYPE="full")


@pytest.mark.parametrize(
    ("amp", "device_type", "has_bfloat16", "expected"),
    [
        ({"ENABLED": False, "DTYPE": "float16"}, "cuda", True, torch.float32),
        ({"ENABLED": True, "DTYPE": ""}, "cuda", True, torch.float16),
        ({"ENABLED": True, "DTYPE": "bfloat16"}, "cuda", False, torch.bfloat16),
        ({"ENABLED": True, "DTYPE": ""}, "cpu", True, torch.bfloat16),
        ({"ENABLED": True, "DTYPE": ""}, "cpu", False, torch.float32),
        ({"ENABLED": True, "DTYPE": "bfloat16"}, "cpu", False, torch.bfloat16),
    ],
)
def test_mixed_precision_takes_what_the_device_computes_in(
    amp: dict[str, Any], device_type: str, has_bfloat16: bool, expected: torch.dtype
) -> None:
    cfg = toy_config("output", 1, AMP=amp)
    assert training_dtype(cfg, device_type, cpu_has_bfloat16=has_bfloat16) == expected


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
