"""The same weight file, read by Detectron2's checkpointer and by ours, leaves the same tensors in the same network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fetal_hc.engine.architecture import build_model
from fetal_hc.engine.checkpoints.pretrained import load_pretrained
from fetal_hc.engine.config import CfgNode
from fetal_hc_cli.training.architectures import MASK_RCNN
from tests.fetal_hc.engine import zoo_files
from tests.fetal_hc.engine.checkpoints.test_pretrained import TINY_R50
from tests.fetal_hc.engine.detectron2_bridge import build_detectron2
from tests.fetal_hc.engine.parity_cases import COMPARABLE, VARIANTS, fill_weights

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]
MakeConfig = Callable[..., CfgNode]


def write_wrapped(path: Path, weights: dict[str, torch.Tensor]) -> None:
    torch.save({"model": {f"module.{name}": tensor for name, tensor in weights.items()}, "iteration": 1}, path)


def write_in_blobs(path: Path, weights: dict[str, torch.Tensor]) -> None:
    zoo_files.write_msra_file(path, weights, in_blobs=True)


FILES: dict[str, tuple[str, Callable[[Path, dict[str, torch.Tensor]], None]]] = {
    "model zoo": ("model_final.pkl", zoo_files.write_zoo_file),
    "MSRA": ("R-50.pkl", zoo_files.write_msra_file),
    "MSRA in blobs": ("R-50-blobs.pkl", write_in_blobs),
    "torchvision, converted": ("r50.pkl", zoo_files.write_converted_torchvision_file),
    "checkpoint of several GPUs": ("model_0000001.pth", write_wrapped),
}
MODELS = {
    "the same": (),
    "other classes and masks": ("MODEL.ROI_HEADS.NUM_CLASSES", "3", "MODEL.ROI_MASK_HEAD.CONV_DIM", "64"),
    "norms that train": ("MODEL.RESNETS.NORM", "BN", "MODEL.BACKBONE.FREEZE_AT", "2"),
    "wider pyramid": ("MODEL.FPN.OUT_CHANNELS", "64"),
}


def load_with_detectron2(model: nn.Module, path: Path) -> Any:
    """Loads as Detectron2's trainer does; returns the keys that it reports."""
    from detectron2.checkpoint import DetectionCheckpointer

    reported = []

    class Spy(DetectionCheckpointer):
        def _load_model(self, checkpoint: Any) -> Any:
            reported.append(super()._load_model(checkpoint))
            return reported[-1]

    Spy(model).resume_or_load(str(path), resume=False)
    return reported[0]


IMAGENET = [FILES[name] for name in ("MSRA", "MSRA in blobs", "torchvision, converted")]
CASES = [
    *((changes, file) for changes in MODELS.values() for file in FILES.values()),
    *(((*VARIANTS["C4"], *TINY_R50), file) for file in IMAGENET),
    *(((*VARIANTS["DC5"], *TINY_R50), file) for file in IMAGENET),
    (VARIANTS["cascade"], FILES["MSRA"]),
]


@pytest.mark.parametrize(("changes", "file"), CASES)
def test_the_same_tensors_arrive(
    make_config: MakeConfig, tmp_path: Path, changes: tuple[str, ...], file: tuple[str, Any]
) -> None:
    name, write = file
    source = build_model(make_config(*COMPARABLE, *TINY_R50), MASK_RCNN)
    fill_weights(source, seed=1)
    write(tmp_path / name, source.state_dict())
    cfg = make_config(*COMPARABLE, *TINY_R50, *changes)
    ours, theirs, theirs_by_our_reader = build_model(cfg, MASK_RCNN), build_detectron2(cfg), build_detectron2(cfg)
    for model in (ours, theirs, theirs_by_our_reader):
        fill_weights(model, seed=2)
    reported = load_with_detectron2(theirs, tmp_path / name)
    report = load_pretrained(ours, tmp_path / name)
    assert set(load_pretrained(theirs_by_our_reader, tmp_path / name).missing) == set(report.missing)
    expected = theirs.state_dict()
    for model in (ours, theirs_by_our_reader):
        assert set(model.state_dict()) == set(expected)
        for key, tensor in model.state_dict().items():
            assert torch.equal(tensor, expected[key]), key
    missing = {key for key in reported.missing_keys if not key.endswith("num_batches_tracked")}
    assert set(report.missing) | {key for key, _, _ in report.mis_shaped} == missing
    assert {key for key, *_ in report.mis_shaped} >= {key for key, *_ in reported.incorrect_shapes}
