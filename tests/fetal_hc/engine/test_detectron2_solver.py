"""Parameter groups, learning rates, gradient clipping and SGD steps against Detectron2's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fetal_hc.engine.architecture import build_model
from fetal_hc.engine.train.solver import build_optimizer, build_schedule, clip_gradients
from fetal_hc_cli.training.architectures import MASK_RCNN
from tests.fetal_hc.engine import parity_measures
from tests.fetal_hc.engine.detectron2_bridge import build_detectron2, to_detectron2_config
from tests.fetal_hc.engine.parity_cases import (
    CLIPPINGS,
    GROUP_CASES,
    GROUPINGS,
    SCHEDULES,
    SGD,
    SHORT_SGD,
    VARIANTS,
    fill_weights,
    parity_config,
)

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("solver", SCHEDULES.values(), ids=SCHEDULES.keys())
def test_learning_rates_are_equal_in_every_iteration(solver: tuple[str, ...]) -> None:
    from detectron2.solver import build_lr_scheduler

    cfg = parity_config(*solver)
    optimizers = [torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=cfg.SOLVER.BASE_LR) for _ in range(2)]
    ours = build_schedule(cfg, optimizers[0])
    theirs = build_lr_scheduler(to_detectron2_config(cfg), optimizers[1])
    n_iterations = cfg.SOLVER.MAX_ITER
    found = parity_measures.learning_rates(optimizers[0], ours, n_iterations)
    expected = parity_measures.learning_rates(optimizers[1], theirs, n_iterations)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-18)
    assert ours.state_dict()["last_epoch"] == theirs.state_dict()["last_epoch"] == n_iterations


@pytest.mark.parametrize(("variant", "grouping"), GROUP_CASES)
def test_every_parameter_has_the_same_rate_and_decay(variant: str, grouping: str) -> None:
    from detectron2.solver import build_optimizer as build_theirs

    cfg = parity_config(*VARIANTS[variant], *SGD, *GROUPINGS[grouping])
    ours, theirs = build_model(cfg, MASK_RCNN), build_detectron2(cfg)
    expected = parity_measures.rates_and_decays(build_theirs(to_detectron2_config(cfg), theirs), theirs)
    assert parity_measures.rates_and_decays(build_optimizer(cfg, ours), ours) == expected
    assert set(expected) == {name for name, parameter in theirs.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("clipping", CLIPPINGS.values(), ids=CLIPPINGS.keys())
def test_steps_with_clipped_gradients_are_equal(clipping: tuple[str, ...]) -> None:
    from detectron2.solver import build_lr_scheduler
    from detectron2.solver import build_optimizer as build_theirs

    cfg = parity_config(*SHORT_SGD, *clipping)
    their_cfg = to_detectron2_config(cfg)
    start, ours, theirs = build_model(cfg, MASK_RCNN), build_model(cfg, MASK_RCNN), build_detectron2(cfg)
    fill_weights(start)
    optimizer, their_optimizer = build_optimizer(cfg, ours), build_theirs(their_cfg, theirs)
    schedule, their_schedule = build_schedule(cfg, optimizer), build_lr_scheduler(their_cfg, their_optimizer)
    parity_measures.take_steps(ours, optimizer, schedule, lambda: clip_gradients(cfg, ours.parameters()))
    parity_measures.take_steps(theirs, their_optimizer, their_schedule, lambda: None)  # clips in its own step
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter, theirs.get_parameter(name), rtol=1e-6, atol=1e-8, msg=name)
        assert not torch.equal(parameter, start.get_parameter(name)), name
