"""From equal weights, images and random draws, both engines take equal steps, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fetal_hc.engine.architecture import Architecture, build_model
from fetal_hc.engine.checkpoints import checkpoint
from fetal_hc.engine.config import CfgNode, load_config
from fetal_hc.engine.data.loader import build_train_loader
from fetal_hc.engine.train.trainer import Trainer
from fetal_hc_cli.training.architectures import ARCHITECTURES, MASK_RCNN
from tests.fetal_hc.engine.toy_heads import write_config

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]
N_STEPS = 4
SGD = ("SOLVER.OPTIMIZER", "SGD", "SOLVER.NESTEROV", "True", "SOLVER.CLIP_GRADIENTS.ENABLED", "True")
RECIPE = (
    *("SOLVER.OPTIMIZER", "AdamW", "SOLVER.WEIGHT_DECAY", "0.05", "SOLVER.LR_SCHEDULER_NAME", "WarmupCosineLR"),
    *("SOLVER.CLIP_GRADIENTS.ENABLED", "True", "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "norm", "SOLVER.WARMUP_ITERS", "2"),
    *("SOLVER.CLIP_GRADIENTS.CLIP_VALUE", "0.1"),
    *(
        "SOLVER.AMP.ENABLED",
        "True",
        "SOLVER.AMP.DTYPE",
        "bfloat16",
        "SOLVER.EMA.ENABLED",
        "True",
        "MODEL.CHANNELS_LAST",
        "True",
    ),
    *("INPUT.SOFT_MASKS", "True", "INPUT.AUG.ROTATION_DEG", "20.0"),
)


class SeededBatches:
    """The batches of a loader; before each of them the random generator is set, so that equal draws follow."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        for number, batch in enumerate(self.loader):
            torch.manual_seed(number)
            yield batch

    def state_dict(self) -> dict[str, Any]:
        return self.loader.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.loader.load_state_dict(state)


@pytest.mark.parametrize("recipe", [SGD, RECIPE], ids=["SGD", "AdamW, AMP, EMA"])
def test_four_steps_end_at_equal_weights(tmp_path: Path, recipe: tuple[str, ...]) -> None:
    from fetal_hc.engine.d2_backend.config import to_detectron2_config
    from fetal_hc.engine.d2_backend.data import register_datasets
    from fetal_hc.engine.d2_backend.trainer import Trainer as Detectron2Trainer

    class SeededTrainer(Detectron2Trainer):
        @classmethod
        def build_train_data(cls, cfg: Any, architecture: Architecture) -> Any:
            return SeededBatches(super().build_train_data(cfg, architecture))

    def configure(name: str) -> CfgNode:
        own = ("OUTPUT_DIR", str(tmp_path / name), "MODEL.WEIGHTS", str(tmp_path / "start.pth"))
        steps = ("SOLVER.MAX_ITER", str(N_STEPS), "DATASETS.TEST", "()")
        (tmp_path / name).mkdir()
        return load_config(ARCHITECTURES, config_file, [*recipe, *own, *steps])

    torch.set_num_threads(1)
    config_file = write_config(tmp_path / "data", tmp_path / "output")
    cfg = configure("builtin")
    model = build_model(cfg, MASK_RCNN).train()
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    checkpoint.write_checkpoint(tmp_path / "start.pth", {"model": start})
    ours = Trainer(cfg, model, SeededBatches(build_train_loader(cfg, MASK_RCNN)), torch.device("cpu"))
    assert ours.train() == 0

    their_cfg = to_detectron2_config(configure("detectron2"))
    register_datasets(their_cfg, MASK_RCNN, ["heads"])
    theirs = SeededTrainer(their_cfg, MASK_RCNN)
    theirs.resume_or_load(resume=False)
    assert theirs.train() == 0

    moved = [name for name, tensor in ours.model.named_parameters() if not torch.equal(tensor, start[name])]
    assert len(moved) > 50
    for name, tensor in ours.model.state_dict().items():
        assert torch.equal(theirs.own_model.state_dict()[name], tensor), name
    assert ours.optimizer.param_groups[0]["lr"] == pytest.approx(theirs.optimizer.param_groups[0]["lr"], rel=1e-12)
    if ours.ema is not None:
        their_weights = theirs.ema.module.state_dict()
        assert all(torch.equal(their_weights[name], tensor) for name, tensor in ours.ema.module.state_dict().items())
