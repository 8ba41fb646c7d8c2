"""Parameter groups, learning rates, gradient clipping and SGD steps against Detectron2's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from engine.config import CfgNode
from engine.modeling import build_model
from engine.solver import build_optimizer, build_schedule, clip_gradients
from tests.engine.detectron2_bridge import build_detectron2, to_detectron2_config
from tests.engine.parity_cases import (
    COMPARABLE,
    GROUPINGS,
    SCHEDULES,
    VARIANTS,
    fill_weights,
    rates_and_decays,
    uniform,
)

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]
MakeConfig = Callable[..., CfgNode]
CLIPPINGS = {
    "none": (),
    "by value": ("SOLVER.CLIP_GRADIENTS", "value", 0.01, 2.0),
    "by norm": ("SOLVER.CLIP_GRADIENTS", "norm", 0.1, 2.0),
    "by sum of magnitudes": ("SOLVER.CLIP_GRADIENTS", "norm", 0.5, 1.0),
}


@pytest.mark.parametrize("solver", SCHEDULES.values(), ids=SCHEDULES.keys())
def test_learning_rates_are_equal_in_every_iteration(make_config: MakeConfig, solver: tuple[str, ...]) -> None:
    from detectron2.solver import build_lr_scheduler

    cfg = make_config("SOLVER.OPTIMIZER", "SGD", *solver)
    optimizers = [torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=cfg.SOLVER.BASE_LR) for _ in range(2)]
    ours = build_schedule(cfg, optimizers[0])
    theirs = build_lr_scheduler(to_detectron2_config(cfg), optimizers[1])
    for iteration in range(cfg.SOLVER.MAX_ITER):
        rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
        assert rates[0] == pytest.approx(rates[1], rel=1e-12, abs=1e-18), iteration
        for optimizer, schedule in zip(optimizers, (ours, theirs), strict=True):
            optimizer.step()
            schedule.step()
    assert ours.state_dict()["last_epoch"] == theirs.state_dict()["last_epoch"]


@pytest.mark.parametrize("solver", GROUPINGS.values(), ids=GROUPINGS.keys())
@pytest.mark.parametrize(
    "variant", ["R18", "R50 as in the zoo", "MobileNetV3", "R18, stages frozen", "R18, group norm"]
)
def test_parameter_groups_are_equal(make_config: MakeConfig, variant: str, solver: tuple[str, ...]) -> None:
    from detectron2.solver import build_optimizer as build_theirs

    cfg = make_config(*COMPARABLE, *VARIANTS[variant], "SOLVER.OPTIMIZER", "SGD", *solver)
    ours, theirs = build_model(cfg), build_detectron2(cfg)
    expected = rates_and_decays(build_theirs(to_detectron2_config(cfg), theirs), theirs)
    assert rates_and_decays(build_optimizer(cfg, ours), ours) == expected
    assert set(expected) == {name for name, parameter in theirs.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("clipping", CLIPPINGS.values(), ids=CLIPPINGS.keys())
def test_steps_with_clipped_gradients_are_equal(
    make_config: MakeConfig, clipping: tuple[Any, ...], nesterov: bool
) -> None:
    from detectron2.solver import build_lr_scheduler
    from detectron2.solver import build_optimizer as build_theirs

    cfg = make_config(*COMPARABLE, *solver_keys(clipping), "SOLVER.NESTEROV", str(nesterov))
    models = build_model(cfg), build_detectron2(cfg)
    for model in models:
        fill_weights(model)
    optimizers = build_optimizer(cfg, models[0]), build_theirs(to_detectron2_config(cfg), models[1])
    schedules = build_schedule(cfg, optimizers[0]), build_lr_scheduler(to_detectron2_config(cfg), optimizers[1])
    for iteration in range(4):
        for model in models:
            for name, parameter in model.named_parameters():
                gradient = 0.05 * uniform(f"gradient {iteration} {name}", tuple(parameter.shape))
                parameter.grad = torch.from_numpy(gradient).float()
        clip_gradients(cfg, models[0].parameters())
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
    start = build_model(cfg)
    fill_weights(start)
    moved = 0.0
    for name, parameter in models[0].named_parameters():
        torch.testing.assert_close(parameter, models[1].get_parameter(name), rtol=1e-6, atol=1e-8, msg=name)
        moved = max(moved, (parameter - start.get_parameter(name)).abs().max().item())
    assert moved > 1e-3


def solver_keys(clipping: tuple[Any, ...]) -> tuple[str, ...]:
    """A short SGD schedule with different decays, and a way of clipping."""
    keys = (
        *("SOLVER.OPTIMIZER", "SGD", "SOLVER.BASE_LR", "0.1", "SOLVER.WEIGHT_DECAY", "0.01", "SOLVER.MAX_ITER", "4"),
        *("SOLVER.WARMUP_ITERS", "2", "SOLVER.WARMUP_FACTOR", "0.5", "SOLVER.BIAS_LR_FACTOR", "2.0"),
        *("SOLVER.CLIP_GRADIENTS.ENABLED", str(bool(clipping))),
    )
    if not clipping:
        return keys
    prefix, kind, value, norm_type = clipping
    values = (f"{prefix}.CLIP_TYPE", kind, f"{prefix}.CLIP_VALUE", str(value))
    return (*keys, *values, f"{prefix}.NORM_TYPE", str(norm_type))
