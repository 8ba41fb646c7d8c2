"""The loop: exact resume, stopping, evaluation, what it writes."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fetal_hc.engine.checkpoints import checkpoint
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.train.events import read_metrics
from fetal_hc.engine.train.trainer import Trainer
from fetal_hc.errors import ConfigError, ModelError
from tests.fetal_hc.engine.toy import ToyLoader, ToyModel, toy_config

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def build(cfg: CfgNode, evaluate: Callable[[nn.Module], Any] | None = None, loader: ToyLoader | None = None) -> Trainer:
    checkpoint.seed_everything(cfg.SEED)
    return Trainer(cfg, ToyModel(), loader or ToyLoader(), CPU, evaluate)


def read_final(folder: Path) -> dict[str, Any]:
    return checkpoint.read_checkpoint(folder / "model_final.pth")


def assert_same(first: Any, second: Any, where: str = "checkpoint") -> None:
    """Bit-for-bit equality of nested containers of tensors and plain values."""
    assert type(first) is type(second), where
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), where
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            assert_same(first[key], second[key], f"{where}/{key}")
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second), where
        for index, (one, other) in enumerate(zip(first, second, strict=True)):
            assert_same(one, other, f"{where}/{index}")
    else:
        assert first == second, where


class StoppingLoader(ToyLoader):
    """Sends this process a signal while it gives batch number `stop_at` (from 1)."""

    def __init__(self, stop_at: int, signal_number: int = signal.SIGTERM) -> None:
        super().__init__()
        self.stop_at, self.signal_number = stop_at, signal_number

    def __iter__(self):
        for batch in super().__iter__():
            if self.n_batches == self.stop_at:
                os.kill(os.getpid(), self.signal_number)
            yield batch


@pytest.mark.parametrize(
    "solver",
    [
        {"EMA": {"ENABLED": True, "DECAY": 0.9}, "MOMENTUM": 0.9},
        {"OPTIMIZER": "AdamW", "LR_SCHEDULER_NAME": "WarmupCosineLR"},
        {"CLIP_GRADIENTS": {"ENABLED": True, "CLIP_TYPE": "norm", "CLIP_VALUE": 0.1}},
    ],
    ids=["sgd-ema", "adamw-cosine", "clipping"],
)
def test_five_and_five_iterations_equal_ten(tmp_path: Path, solver: dict[str, Any]) -> None:
    straight = toy_config(tmp_path / "straight", CHECKPOINT_PERIOD=5, **solver)
    assert build(straight).train() == 0
    interrupted = toy_config(tmp_path / "interrupted", CHECKPOINT_PERIOD=5, **solver)
    assert build(interrupted, loader=StoppingLoader(5)).train() == signal.SIGTERM

    second = build(interrupted)
    second.resume(checkpoint.last_checkpoint(tmp_path / "interrupted"))
    assert second.start_iteration == 5
    assert second.train() == 0
    assert_same(read_final(tmp_path / "straight"), read_final(tmp_path / "interrupted"))


def test_evaluation_between_leaves_the_training_unchanged(tmp_path: Path) -> None:
    def evaluate(model: nn.Module) -> dict[str, dict[str, float]]:
        return {"segm": {"AP": float(torch.rand(()))}}

    build(toy_config(tmp_path / "without")).train()
    cfg = toy_config(tmp_path / "with").clone()
    cfg.TEST.EVAL_PERIOD = 2
    build(cfg.freeze(), evaluate).train()
    assert_same(read_final(tmp_path / "without"), read_final(tmp_path / "with"))


def test_loss_falls(tmp_path: Path) -> None:
    build(toy_config(tmp_path, max_iter=100, STEPS=[80], BASE_LR=0.03)).train()
    rows = read_metrics(tmp_path / "metrics.json")
    assert rows[-1]["total_loss"] < 0.5 * rows[0]["total_loss"]


def test_checkpoint_names_are_those_of_detectron2(tmp_path: Path) -> None:
    build(toy_config(tmp_path, max_iter=10, CHECKPOINT_PERIOD=4)).train()
    assert sorted(path.name for path in tmp_path.glob("*.pth")) == [
        "model_0000003.pth",
        "model_0000007.pth",
        "model_final.pth",
    ]
    assert (tmp_path / "last_checkpoint").read_text() == "model_final.pth"
    assert read_final(tmp_path)["iteration"] == 9


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_signal_saves_a_checkpoint_and_ends_the_training(tmp_path: Path, signal_number: int) -> None:
    trainer = build(toy_config(tmp_path), loader=StoppingLoader(3, signal_number))
    before = signal.getsignal(signal_number)
    assert trainer.train() == signal_number
    assert signal.getsignal(signal_number) is before
    assert checkpoint.last_checkpoint(tmp_path) == tmp_path / "model_0000002.pth"


def test_best_checkpoint_follows_the_metric(tmp_path: Path) -> None:
    scores = iter([3.0, 1.0, 2.0, float("nan"), 4.0])
    cfg = toy_config(tmp_path).clone()
    cfg.TEST.EVAL_PERIOD, cfg.TEST.BEST_METRIC, cfg.TEST.BEST_MODE = 2, "hc/ADF", "min"
    trainer = build(cfg.freeze(), lambda model: {"hc": {"ADF": next(scores)}})
    trainer.train()
    assert checkpoint.read_checkpoint(tmp_path / "model_best.pth")["iteration"] == 3
    assert json.loads((tmp_path / "best.json").read_text())["value"] == 1.0
    assert trainer.results == {"hc": {"ADF": 4.0}}
    assert [row["hc/ADF"] for row in read_metrics(tmp_path / "metrics.json") if "hc/ADF" in row] == [3, 1, 2, None, 4]


def test_resumed_training_keeps_the_earlier_best(tmp_path: Path) -> None:
    cfg = toy_config(tmp_path).clone()
    cfg.TEST.EVAL_PERIOD = 4
    scores = iter([9.0, 5.0, 6.0])
    build(cfg.freeze(), lambda model: {"segm": {"AP": next(scores)}}, StoppingLoader(5)).train()
    resumed = build(cfg, lambda model: {"segm": {"AP": next(scores)}})
    resumed.resume(checkpoint.last_checkpoint(tmp_path))
    resumed.train()
    assert checkpoint.read_checkpoint(tmp_path / "model_best.pth")["iteration"] == 3


def test_unknown_best_metric_is_refused_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"TEST.BEST_METRIC: 'segm/AP' was not evaluated; expected one of \['hc/ADF'\]"
    ):
        build(toy_config(tmp_path), lambda model: {"hc": {"ADF": 1.0}}).train()


def test_evaluation_and_final_model_use_the_averaged_weights(tmp_path: Path) -> None:
    seen: list[torch.Tensor] = []

    def evaluate(model: nn.Module) -> dict[str, dict[str, float]]:
        assert not model.training
        seen.append(model.output.weight.detach().clone())
        return {"segm": {"AP": 1.0}}

    trainer = build(toy_config(tmp_path, EMA={"ENABLED": True, "DECAY": 0.9}), evaluate)
    trainer.train()
    content = read_final(tmp_path)
    assert torch.equal(seen[-1], content["model"]["output.weight"])
    assert torch.equal(trainer.model.output.weight, content["ema"]["training_weights"]["output.weight"])
    assert not torch.equal(seen[-1], trainer.model.output.weight)


def test_non_finite_loss_names_iteration_losses_and_files(tmp_path: Path) -> None:
    class BrokenLoader(ToyLoader):
        def __iter__(self):
            for batch in super().__iter__():
                if self.n_batches == 3:
                    batch[1]["target"] = torch.tensor(float("inf"))
                yield batch

    with pytest.raises(ModelError) as caught:
        build(toy_config(tmp_path), loader=BrokenLoader()).train()
    for part in ("iteration 2", "loss_fit inf", "loss_size", "sample_9.png", "SOLVER.BASE_LR"):
        assert part in str(caught.value)


def test_model_that_finds_itself_diverged_ends_the_training_with_the_same_message(tmp_path: Path) -> None:
    def refuse(module: nn.Module, inputs: object) -> None:
        raise FloatingPointError("proposals contain NaN")

    trainer = build(toy_config(tmp_path))
    trainer.model.register_forward_pre_hook(refuse)
    with pytest.raises(ModelError, match=r"iteration 0: proposals contain NaN; batch: sample_0\.png"):
        trainer.train()


def test_automatic_mixed_precision_computes_in_bfloat16_on_the_cpu(tmp_path: Path) -> None:
    seen: list[torch.dtype] = []
    trainer = build(toy_config(tmp_path, AMP={"ENABLED": True, "DTYPE": "bfloat16"}))
    trainer.model.hidden.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    trainer.train()
    assert set(seen) == {torch.bfloat16}
    assert trainer.model.hidden.weight.dtype == torch.float32


@pytest.mark.gpu
def test_automatic_mixed_precision_on_a_gpu_scales_float16_and_resumes(tmp_path: Path) -> None:
    cfg = toy_config(tmp_path, AMP={"ENABLED": True, "DTYPE": ""}, CHECKPOINT_PERIOD=5)
    device, seen = torch.device("cuda", 0), []
    checkpoint.seed_everything(cfg.SEED)
    trainer = Trainer(cfg, ToyModel().to(device), ToyLoader(), device)
    trainer.model.hidden.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    trainer.train()
    assert set(seen) == {torch.float16}
    content = checkpoint.read_checkpoint(tmp_path / "model_0000004.pth")
    assert content["grad_scaler"]["scale"] > 1.0
    assert "cuda" in content["random_state"][0]
    resumed = Trainer(cfg, ToyModel().to(device), ToyLoader(), device)
    resumed.resume(tmp_path / "model_0000004.pth")
    assert resumed.train() == 0


def test_metrics_lines_have_detectron2s_keys(tmp_path: Path) -> None:
    build(toy_config(tmp_path, max_iter=45)).train()
    rows = read_metrics(tmp_path / "metrics.json")
    assert [row["iteration"] for row in rows] == [19, 39, 44]
    assert {"iteration", "lr", "time", "data_time", "total_loss", "loss_fit", "loss_size"} <= rows[0].keys()
    assert rows[0]["lr"] == pytest.approx(0.01)


def test_resume_replaces_the_lines_of_the_abandoned_part(tmp_path: Path) -> None:
    cfg = toy_config(tmp_path, max_iter=60, CHECKPOINT_PERIOD=30)
    build(cfg).train()
    (tmp_path / "last_checkpoint").write_text("model_0000029.pth")
    resumed = build(cfg)
    resumed.resume(checkpoint.last_checkpoint(tmp_path))
    resumed.train()
    assert [row["iteration"] for row in read_metrics(tmp_path / "metrics.json")] == [19, 39, 59]


@pytest.mark.parametrize("key", ["optimizer", "random_state"])
def test_weights_alone_cannot_be_resumed(tmp_path: Path, key: str) -> None:
    build(toy_config(tmp_path)).train()
    content = read_final(tmp_path)
    del content[key]
    checkpoint.write_checkpoint(tmp_path / "bare.pth", content)
    with pytest.raises(ModelError, match=rf"bare.pth: cannot be resumed, it has no \['{key}'\]"):
        build(toy_config(tmp_path)).resume(tmp_path / "bare.pth")


def test_resume_with_another_optimiser_is_refused(tmp_path: Path) -> None:
    build(toy_config(tmp_path)).train()
    other = build(toy_config(tmp_path, WEIGHT_DECAY_NORM=0.5, WEIGHT_DECAY=0.5))
    with pytest.raises(ModelError, match="optimiser state does not fit"):
        other.resume(tmp_path / "model_final.pth")
