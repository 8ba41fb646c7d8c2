"""Plateaus and early stopping, alone and in a training."""

import json
from pathlib import Path
from typing import Any

import torch

from fetal_hc.engine.checkpoints import checkpoint
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.train.best_record import Patience
from fetal_hc.engine.train.trainer import Trainer
from tests.fetal_hc.engine.toy import ToyLoader, ToyModel, toy_config


def config(folder: Path, plateau: int, stop: int, max_iter: int = 10) -> CfgNode:
    cfg = toy_config(folder, max_iter=max_iter, CHECKPOINT_PERIOD=0).clone()
    cfg.SOLVER.PLATEAU.PATIENCE, cfg.SOLVER.PLATEAU.FACTOR = plateau, 0.5
    cfg.SOLVER.EARLY_STOPPING.PATIENCE = stop
    cfg.TEST.EVAL_PERIOD = 1
    return cfg.freeze()


def build(cfg: CfgNode, values: list[float]) -> Trainer:
    scores = iter(values)

    def evaluate(model: Any) -> dict[str, dict[str, float]]:
        return {"segm": {"AP": next(scores)}}

    checkpoint.seed_everything(cfg.SEED)
    torch.set_num_threads(1)
    return Trainer(cfg, ToyModel(), ToyLoader(), torch.device("cpu"), evaluate)


def test_rate_falls_after_every_so_many_evaluations_without_a_better_one(tmp_path: Path) -> None:
    patience = Patience(config(tmp_path, plateau=2, stop=0).SOLVER)
    assert [patience.record(best) for best in (True, False, False, False, False, True, False)] == [
        *(False, False, True, False, True),
        *(False, False),
    ]
    assert not patience.is_exhausted


def test_training_ends_early_and_says_what_was_best(tmp_path: Path) -> None:
    cfg = config(tmp_path, plateau=0, stop=3)
    assert build(cfg, [1.0, 2.0, 1.0, 1.0, 1.0]).train() == 0
    assert checkpoint.read_checkpoint(tmp_path / "model_final.pth")["iteration"] == 4
    assert json.loads((tmp_path / "best.json").read_text())["iteration"] == 1


def test_ended_training_does_not_go_on_when_resumed(tmp_path: Path) -> None:
    cfg = config(tmp_path, plateau=0, stop=2)
    build(cfg, [2.0, 1.0, 1.0]).train()
    resumed = build(cfg, [])
    resumed.resume(checkpoint.last_checkpoint(tmp_path))
    assert resumed.train() == 0


def test_plateau_lowers_the_rate_and_survives_a_resume(tmp_path: Path) -> None:
    cfg = config(tmp_path, plateau=2, stop=0, max_iter=4)
    straight, trainer = build(config(tmp_path, 0, 0, max_iter=4), [1.0] * 4), build(cfg, [2.0, 1.0, 1.0, 1.0])
    straight.train()
    (tmp_path / "best.json").unlink()
    trainer.train()
    rate = straight.optimizer.param_groups[0]["lr"]
    assert trainer.optimizer.param_groups[0]["lr"] == 0.5 * rate
    resumed = build(cfg, [])
    resumed.resume(tmp_path / "model_final.pth")
    assert resumed.optimizer.param_groups[0]["lr"] == 0.5 * rate
    assert resumed.patience.n_since_lowered == 1


def test_rate_stays_above_its_floor(tmp_path: Path) -> None:
    cfg = config(tmp_path, plateau=0, stop=0)
    schedule = build(cfg, []).schedule
    for _ in range(50):
        schedule.lower(0.5, 0.01)
    assert schedule.plateau_factor == 0.01
