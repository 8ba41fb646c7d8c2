"""The built-in engine against Detectron2 itself: names, losses, gradients, detections, for the same weights.

One thread and equal kernels give equal bits, so the tolerances below are those of sums taken in another order.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from fetal_hc.engine.architecture import build_model
from fetal_hc.engine.config import CfgNode
from fetal_hc_cli.training.architectures import MASK_RCNN
from tests.fetal_hc.engine.detectron2_bridge import build_detectron2, detect_with_detectron2, to_detectron2_input
from tests.fetal_hc.engine.parity_cases import COMPARABLE, VARIANTS, fill_weights, model_inputs

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS.keys())
def pair(request: pytest.FixtureRequest, make_config: Callable[..., CfgNode]) -> tuple[nn.Module, nn.Module]:
    """Our network and Detectron2's with the same weights, which load strict both ways."""
    cfg = make_config(*COMPARABLE, *request.param)
    ours, theirs = build_model(cfg, MASK_RCNN), build_detectron2(cfg)
    fill_weights(ours)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def test_the_same_parameters_are_trained(pair: tuple[nn.Module, nn.Module]) -> None:
    ours, theirs = ({name: p.requires_grad for name, p in model.named_parameters()} for model in pair)
    assert ours == theirs


def test_losses_and_gradients_are_equal(pair: tuple[nn.Module, nn.Module]) -> None:
    from detectron2.utils.events import EventStorage

    ours, theirs = pair
    torch.manual_seed(5)  # both draw their samples of anchors and regions from it, in the same order
    our_losses = ours(model_inputs())
    torch.manual_seed(5)
    with EventStorage() as storage:
        their_losses = theirs([to_detectron2_input(item) for item in model_inputs()])
    watched = {name: value.item() for name, value in ours.training_metrics().items()}
    assert len(watched) >= 3
    assert {name: storage.latest()[name][0] for name in watched} == pytest.approx(watched, rel=1e-6)
    assert set(our_losses) == set(their_losses)
    assert len(our_losses) >= 5
    for name, loss in their_losses.items():
        assert loss.item() > 1e-3, name
        torch.testing.assert_close(our_losses[name], loss, rtol=1e-5, atol=0)
    sum(our_losses.values()).backward()
    sum(their_losses.values()).backward()
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        if parameter.grad is None:
            assert gradients[name] is None
            continue
        scale = gradients[name].norm() + 1e-12
        assert ((parameter.grad - gradients[name]).norm() / scale).item() < 1e-4, name
    for name, buffer in theirs.named_buffers():
        torch.testing.assert_close(dict(ours.named_buffers()).get(name, buffer), buffer, rtol=1e-6, atol=1e-6)


def test_detections_are_equal(pair: tuple[nn.Module, nn.Module]) -> None:
    ours, theirs = (model.eval() for model in pair)
    with torch.no_grad():
        found = ours(model_inputs())
    expected = detect_with_detectron2(theirs, model_inputs())
    assert all(len(image.scores) > 0 for image in expected)
    for our_image, their_image in zip(found, expected, strict=True):
        torch.testing.assert_close(our_image.boxes, their_image.boxes, atol=1e-4, rtol=0)
        torch.testing.assert_close(our_image.scores, their_image.scores, atol=1e-6, rtol=0)
        torch.testing.assert_close(our_image.masks, their_image.masks, atol=1e-6, rtol=0)
        assert our_image.classes.tolist() == their_image.classes.tolist()
