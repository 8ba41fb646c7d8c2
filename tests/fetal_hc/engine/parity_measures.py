"""What is compared between the engines, reduced to a few numbers by name; works on the network of either."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tests.fetal_hc.engine.parity_cases import fill_weights, uniform


def losses_and_gradients(model: nn.Module, losses: Mapping[str, Tensor]) -> dict[str, dict[str, float]]:
    """The losses of a batch and, after going backwards from their sum, the norm of each part's gradients."""
    sum(losses.values()).backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"losses": {name: float(loss.detach()) for name, loss in losses.items()}, "gradients": _norms(gradients)}


def rates_and_decays(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, list[float]]:
    """[learning rate, weight decay] of every parameter that an optimiser trains, by name."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = optimizer.param_groups
    return {names[p]: [group["lr"], group["weight_decay"]] for group in groups for p in group["params"]}


def learning_rates(optimizer: torch.optim.Optimizer, schedule: Any, n_iterations: int) -> list[float]:
    """The learning rate in each iteration."""
    rates = []
    for _ in range(n_iterations):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return rates


def take_steps(
    model: nn.Module, optimizer: torch.optim.Optimizer, schedule: Any, clip: Callable[[], None], n_steps: int = 4
) -> None:
    """Steps along gradients that follow from the parameters' names, from weights that do."""
    fill_weights(model)
    for iteration in range(n_steps):
        for name, parameter in model.named_parameters():
            gradient = 0.05 * uniform(f"gradient {iteration} {name}", tuple(parameter.shape))
            parameter.grad = torch.from_numpy(gradient).float()
        clip()
        optimizer.step()
        schedule.step()


def movements(model: nn.Module, *arguments: Any) -> dict[str, float]:
    """How far each part of the weights goes in the steps of `take_steps`."""
    fill_weights(model)
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    take_steps(model, *arguments)
    return _norms({name: parameter.detach() - start[name] for name, parameter in model.named_parameters()})


def _norms(tensors: Mapping[str, Tensor]) -> dict[str, float]:
    """Euclidean norm over all tensors of each part: `backbone.bottom_up.res3`, `roi_heads.mask_head`, ..."""
    squares: dict[str, float] = {}
    for name, tensor in tensors.items():
        deep = name.startswith(("backbone.bottom_up", "proposal_generator.rpn_head", "roi_heads.box_predictor"))
        part = ".".join(name.split(".")[: 3 if deep else 2])
        squares[part] = squares.get(part, 0.0) + float(tensor.double().square().sum())
    return {part: square**0.5 for part, square in squares.items()}
