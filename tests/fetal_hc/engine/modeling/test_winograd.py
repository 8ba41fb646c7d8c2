"""Winograd's algorithm against the direct sum of torch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fetal_hc.engine.architecture import build_model
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.modeling.winograd import choose_tile, winograd_conv2d
from fetal_hc_cli.training.architectures import MASK_RCNN
from tests.fetal_hc.engine.inputs import make_input


def relative(found: Tensor, exact: Tensor) -> float:
    return ((found.double() - exact).norm() / exact.norm()).item()


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("image_hw", [(8, 12), (7, 10), (1, 1), (3, 5)])
@pytest.mark.parametrize("is_channels_last", [True, False])
def test_result_and_gradients_equal_the_direct_sum(
    tile: int, image_hw: tuple[int, int], is_channels_last: bool
) -> None:
    torch.manual_seed(0)
    layout = torch.channels_last if is_channels_last else torch.contiguous_format
    x = torch.randn((3, 16, *image_hw)).contiguous(memory_format=layout).requires_grad_()
    weight = torch.randn((24, 16, 3, 3)).contiguous(memory_format=layout).requires_grad_()
    result = winograd_conv2d(x, weight, tile)
    gradient = torch.randn_like(result)
    found = torch.autograd.grad(result, (x, weight), gradient)
    exact_x, exact_weight = x.detach().double().requires_grad_(), weight.detach().double().requires_grad_()
    exact = F.conv2d(exact_x, exact_weight, padding=1)
    expected = torch.autograd.grad(exact, (exact_x, exact_weight), gradient.double())
    assert relative(result, exact) < 5e-6
    assert relative(found[0], expected[0]) < 5e-6
    assert relative(found[1], expected[1]) < 5e-6


def test_gradients_that_nobody_needs_are_left_out() -> None:
    x, weight = torch.randn((1, 4, 8, 8)), torch.randn((4, 4, 3, 3), requires_grad=True)
    winograd_conv2d(x, weight, 4).sum().backward()
    assert x.grad is None
    assert weight.grad is not None


@pytest.mark.parametrize(
    ("shape", "channels", "expected"),
    [((8, 128, 28, 40), 128, 4), ((8, 512, 7, 10), 512, 2), ((8, 128, 4, 5), 128, 0), ((8, 32, 28, 40), 128, 0)],
)
def test_tile_follows_the_size_of_the_work(shape: tuple[int, ...], channels: int, expected: int) -> None:
    x, weight = torch.empty(shape), torch.empty((channels, shape[1], 3, 3))
    assert choose_tile(x, weight) == expected


def test_other_types_devices_and_evaluation_take_the_direct_sum() -> None:
    x, weight = torch.empty((8, 64, 28, 40)), torch.empty((64, 64, 3, 3))
    assert choose_tile(x, weight) == 4
    assert choose_tile(x.double(), weight.double()) == 0
    assert choose_tile(x.to("meta"), weight.to("meta")) == 0
    with torch.no_grad():
        assert choose_tile(x, weight) == 0
    with torch.autocast("cpu", torch.bfloat16):
        assert choose_tile(x, weight) == 0


def test_losses_of_the_recipe_stay_the_same(make_config: Callable[..., CfgNode]) -> None:
    wide = ("MODEL.FPN.OUT_CHANNELS", "128", "MODEL.ROI_MASK_HEAD.CONV_DIM", "128", "MODEL.ROI_BOX_HEAD.FC_DIM", "64")
    losses, gradients = [], []
    for winograd in ("False", "True"):
        torch.manual_seed(0)
        model = build_model(make_config(*wide, "MODEL.WINOGRAD", winograd), MASK_RCNN).train()
        torch.manual_seed(1)
        found = model([make_input(seed, (216, 320), with_targets=True) for seed in range(2)])
        sum(found.values()).backward()
        losses.append(found)
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    assert not torch.equal(losses[0]["loss_mask"], losses[1]["loss_mask"])  # it was used
    for name, loss in losses[0].items():
        torch.testing.assert_close(losses[1][name], loss, rtol=1e-5, atol=1e-6)
    # Deeper gradients pass through ReLUs that flip at rounding, whatever rounds: there, a change of MODEL.CHANNELS_LAST
    # alone moves them by 5e-3.
    for name in ("backbone.fpn_lateral4.weight", "proposal_generator.rpn_head.conv.weight"):
        assert relative(gradients[1][name], gradients[0][name].double()) < 1e-4


def test_evaluation_is_that_of_the_direct_sum(make_model: Callable[..., torch.nn.Module]) -> None:
    items = [make_input(3, (216, 320))]
    direct, fast = (make_model("MODEL.WINOGRAD", winograd)(items)[0] for winograd in ("False", "True"))
    assert torch.equal(direct.boxes, fast.boxes)
    assert torch.equal(direct.scores, fast.scores)
