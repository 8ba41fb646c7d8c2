"""From equal weights, images and random draws, both engines take equal steps, to the last bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fetal_hc.engine.architecture import build_model
from fetal_hc.engine.config import load_config
from fetal_hc.engine.data.loader import build_train_loader
from fetal_hc.engine.train.events import TrainingEvents
from fetal_hc.engine.train.trainer import Trainer
from fetal_hc.io.interruption import StopRequest
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


@pytest.mark.parametrize("recipe", [SGD, RECIPE], ids=["SGD", "AdamW, AMP, EMA"])
def test_four_steps_end_at_equal_weights(tmp_path: Path, recipe: tuple[str, ...]) -> None:
    from detectron2.utils.events import EventStorage

    from fetal_hc.engine.d2_backend.config import to_detectron2_config
    from fetal_hc.engine.d2_backend.data import register_datasets
    from fetal_hc.engine.d2_backend.trainer import Trainer as Detectron2Trainer

    torch.set_num_threads(1)
    cfg = load_config(
        ARCHITECTURES, write_config(tmp_path / "data", tmp_path / "output"), [*recipe, "SOLVER.MAX_ITER", "9"]
    )
    their_cfg = to_detectron2_config(cfg)
    register_datasets(their_cfg, MASK_RCNN, ["heads"])
    ours = Trainer(cfg, build_model(cfg, MASK_RCNN).train(), build_train_loader(cfg, MASK_RCNN), torch.device("cpu"))
    theirs = Detectron2Trainer(their_cfg, MASK_RCNN)
    start = {name: tensor.clone() for name, tensor in ours.model.state_dict().items()}
    theirs.own_model.load_state_dict(start, strict=True)
    theirs.ema = theirs._start_average()

    batches, stop = iter(ours.loader), StopRequest()
    with TrainingEvents(tmp_path, 0, 9, is_main=False) as events:
        for iteration in range(N_STEPS):
            batch = next(batches)
            torch.manual_seed(iteration)
            ours._iterate(iteration, iter([batch]), events, stop)

    data = iter(theirs.data_loader)
    with EventStorage(0) as theirs.storage:
        for hook in theirs._hooks[:2]:  # timer and schedule
            hook.before_train()
        for theirs.iter in range(N_STEPS):
            batch = next(data)
            torch.manual_seed(theirs.iter)
            theirs._trainer._data_loader_iter_obj = iter([batch])
            theirs.before_step()
            theirs.run_step()
            theirs.after_step()

    moved = [name for name, tensor in ours.model.named_parameters() if not torch.equal(tensor, start[name])]
    assert len(moved) > 50
    for name, tensor in ours.model.state_dict().items():
        assert torch.equal(theirs.own_model.state_dict()[name], tensor), name
    assert ours.optimizer.param_groups[0]["lr"] == pytest.approx(theirs.optimizer.param_groups[0]["lr"], rel=1e-12)
    if ours.ema is not None:
        their_weights = theirs.ema.module.state_dict()
        assert all(torch.equal(their_weights[name], tensor) for name, tensor in ours.ema.module.state_dict().items())
