"""The AMP step of Detectron2's loop, checked on a CPU with the loss scale that a GPU would use."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]
CLIP_VALUE = 0.01


class Quadratic(nn.Module):
    """One loss whose gradient is larger than CLIP_VALUE in some weights and smaller in others."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-0.05, 0.05, 11))

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        return {"loss": ((self.weight - batch) ** 2).sum() / 2}


def build_step(optimizer_type: type[torch.optim.Optimizer], scale: float | None, batches: list[Tensor], **options: Any):
    from detectron2.config import get_cfg
    from detectron2.solver.build import maybe_add_gradient_clipping

    from fetal_hc.engine.d2_backend.mixed_precision import MixedPrecisionStep

    cfg = get_cfg()
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED, cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE = True, CLIP_VALUE
    model = Quadratic().train()
    optimizer = maybe_add_gradient_clipping(cfg, optimizer_type(model.parameters(), lr=0.01, **options))
    scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=scale is not None)
    step = MixedPrecisionStep(
        model, iter(batches), optimizer, device_type="cpu", precision=torch.bfloat16, grad_scaler=scaler
    )
    step.iter = 0
    return step


def run(step: Any, n_steps: int) -> Tensor:
    from detectron2.utils.events import EventStorage

    with EventStorage(0):
        for _ in range(n_steps):
            step.run_step()
    return step.model.weight.detach().clone()


@pytest.mark.parametrize(
    ("optimizer_type", "options"),
    [(torch.optim.AdamW, {"fused": True}), (torch.optim.Adam, {"fused": True}), (torch.optim.SGD, {"foreach": True})],
)
def test_clipping_sees_unscaled_gradients(optimizer_type: type[torch.optim.Optimizer], options: dict[str, Any]) -> None:
    batches = [torch.full((11,), value) for value in (0.0, 0.01, -0.02)]
    plain = run(build_step(optimizer_type, None, batches, **options), 3)
    for scale in (2.0**4, 2.0**16):
        scaled = run(build_step(optimizer_type, scale, batches, **options), 3)
        torch.testing.assert_close(scaled, plain, rtol=1e-6, atol=1e-9)


def test_clipped_gradient_is_the_true_one_limited_to_the_clip_value() -> None:
    step = build_step(torch.optim.AdamW, 2.0**16, [torch.zeros(11)], fused=True)
    expected = step.model.weight.detach().clamp(-CLIP_VALUE, CLIP_VALUE)
    run(step, 1)
    torch.testing.assert_close(step.model.weight.grad, expected)


def test_overflow_skips_the_step_and_lowers_the_scale() -> None:
    # The loss, 5.5e24, is finite; its product with the scale is not.
    step = build_step(torch.optim.AdamW, 2.0**100, [torch.full((11,), 1e12)], fused=True)
    before = step.model.weight.detach().clone()
    assert torch.equal(run(step, 1), before)
    assert step.grad_scaler.get_scale() == 2.0**99


def test_state_without_a_loss_scale_is_resumed(caplog: pytest.LogCaptureFixture) -> None:
    first = build_step(torch.optim.AdamW, None, [torch.zeros(11)] * 2, fused=True)
    run(first, 2)
    saved = first.state_dict()
    for state in (saved, {key: value for key, value in saved.items() if key != "grad_scaler"}):
        for scale in (None, 2.0**10):
            caplog.clear()
            second = build_step(torch.optim.AdamW, scale, [], fused=True)
            with caplog.at_level(logging.WARNING):
                second.load_state_dict(state)
            assert second.optimizer.state_dict()["state"][0]["step"] == 2
            assert ("the scale starts afresh" in caplog.text) == (scale is not None)


def test_loss_scale_is_resumed() -> None:
    first = build_step(torch.optim.AdamW, 2.0**10, [], fused=True)
    second = build_step(torch.optim.AdamW, 2.0**4, [], fused=True)
    second.load_state_dict(first.state_dict())
    assert second.grad_scaler.get_scale() == 2.0**10
