"""Training from other people's weights: what fits is loaded, the rest reported, another architecture refused."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v3_large, resnet18
from torchvision.models.resnet import Bottleneck, ResNet

from fetal_hc.engine.architecture import build_model
from fetal_hc.engine.checkpoints.checkpoint import load_weights, read_checkpoint
from fetal_hc.engine.checkpoints.pretrained import load_pretrained
from fetal_hc.engine.config import CfgNode
from fetal_hc.errors import ModelError
from fetal_hc_cli.training.architectures import MASK_RCNN
from tests.fetal_hc.engine import zoo_files
from tests.fetal_hc.engine.parity_cases import VARIANTS, randomise_norms

BACKBONE = "backbone.bottom_up."
# A bottleneck network with few channels, so that the files stay small.
TINY_R50 = (
    *("MODEL.RESNETS.DEPTH", "50", "MODEL.RESNETS.RES2_OUT_CHANNELS", "32", "MODEL.RESNETS.STEM_OUT_CHANNELS", "8"),
    *("MODEL.RESNETS.WIDTH_PER_GROUP", "8", "MODEL.RESNETS.NORM", "FrozenBN", "MODEL.RESNETS.STRIDE_IN_1X1", "True"),
)
MakeModel = Callable[..., nn.Module]


@pytest.fixture
def make(make_config: Callable[..., CfgNode]) -> MakeModel:
    """A network of the small test configuration with KEY VALUE changes and non-trivial norms."""

    def make(*overrides: str, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        model = build_model(make_config("MODEL.CHANNELS_LAST", "False", *overrides), MASK_RCNN)
        randomise_norms(model)
        return model

    return make


def copy_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def changed(before: dict[str, torch.Tensor], model: nn.Module) -> set[str]:
    return {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}


def test_zoo_file_of_the_same_model_is_loaded_whole(make: MakeModel, tmp_path: Path) -> None:
    trained, model = make(*TINY_R50), make(*TINY_R50, seed=1)
    zoo_files.write_zoo_file(tmp_path / "model_final.pkl", trained.state_dict())
    report = load_pretrained(model, tmp_path / "model_final.pkl")
    assert changed(trained.state_dict(), model) == set()
    assert set(report.loaded) == set(model.state_dict())
    assert (report.missing, report.mis_shaped, report.unexpected) == ((), (), ())


def test_zoo_file_can_be_evaluated_strictly(make: MakeModel, tmp_path: Path) -> None:
    trained, model = make(*TINY_R50), make(*TINY_R50, seed=1)
    zoo_files.write_zoo_file(tmp_path / "model_final.pkl", trained.state_dict())
    load_weights(model, read_checkpoint(tmp_path / "model_final.pkl")["model"], "model_final.pkl")
    assert changed(trained.state_dict(), model) == set()


def test_heads_of_another_number_of_classes_are_skipped_and_reported(
    make: MakeModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trained, model = make(*TINY_R50, "MODEL.ROI_HEADS.NUM_CLASSES", "80"), make(*TINY_R50, seed=1)
    before = copy_of(model)
    zoo_files.write_zoo_file(tmp_path / "coco.pkl", trained.state_dict())
    with caplog.at_level(logging.INFO):
        report = load_pretrained(model, tmp_path / "coco.pkl")
    skipped = {name for name, _, _ in report.mis_shaped}
    assert skipped == {
        *(
            f"roi_heads.box_predictor.{layer}.{value}"
            for layer in ("cls_score", "bbox_pred")
            for value in ("weight", "bias")
        ),
        *(f"roi_heads.mask_head.predictor.{value}" for value in ("weight", "bias")),
    }
    assert not skipped & changed(before, model)
    assert changed(trained.state_dict() | {name: before[name] for name in skipped}, model) == set()
    assert (
        "skipped roi_heads.box_predictor.cls_score.weight: shape (81, 32) in the file, (2, 32) in the model"
        in caplog.text
    )
    assert f"{len(report.loaded)} of {len(before)} entries of the model loaded" in caplog.text


@pytest.mark.parametrize("in_blobs", [False, True])
def test_msra_file_fills_the_backbone_with_identity_statistics(make: MakeModel, tmp_path: Path, in_blobs: bool) -> None:
    trained, model = make(*TINY_R50), make(*TINY_R50, seed=1)
    before = copy_of(model)
    zoo_files.write_msra_file(tmp_path / "R-50.pkl", trained.state_dict(), in_blobs=in_blobs)
    report = load_pretrained(model, tmp_path / "R-50.pkl")
    found = model.state_dict()
    for name, tensor in trained.state_dict().items():
        if not name.startswith(BACKBONE):
            assert torch.equal(found[name], before[name])
        elif "running" in name:
            assert torch.all(found[name] == (1.0 if name.endswith("var") else 0.0))
        else:
            assert torch.equal(found[name], tensor)
    assert set(report.unexpected) == {"pred_w", "pred_b"}
    assert not any(name.startswith(BACKBONE) for name in report.missing)


def test_msra_file_leaves_statistics_of_trained_norms_at_their_start(make: MakeModel, tmp_path: Path) -> None:
    trained = make(*TINY_R50)
    model = make(*TINY_R50, "MODEL.RESNETS.NORM", "BN", seed=1)
    before = copy_of(model)
    zoo_files.write_msra_file(tmp_path / "R-50.pkl", trained.state_dict())
    report = load_pretrained(model, tmp_path / "R-50.pkl")
    statistics = f"{BACKBONE}stem.conv1.norm.running_var"
    assert statistics in report.missing
    assert torch.equal(model.state_dict()[statistics], before[statistics])


def test_file_of_detectron2s_torchvision_conversion_is_matched_by_ending(make: MakeModel, tmp_path: Path) -> None:
    trained, model = make(*TINY_R50), make(*TINY_R50, seed=1)
    zoo_files.write_converted_torchvision_file(tmp_path / "r50.pkl", trained.state_dict())
    report = load_pretrained(model, tmp_path / "r50.pkl")
    backbone = {name for name in model.state_dict() if name.startswith(BACKBONE)}
    assert set(report.loaded) == backbone
    assert not changed(trained.state_dict(), model) & backbone
    assert report.unexpected == ("stem.fc.weight", "stem.fc.bias")


@pytest.mark.parametrize("depth", [18, 50])
def test_torchvision_resnet_gives_torchvisions_features(make: MakeModel, tmp_path: Path, depth: int) -> None:
    torch.manual_seed(3)
    theirs = resnet18() if depth == 18 else ResNet(Bottleneck, [3, 4, 6, 3], width_per_group=8)
    theirs.eval()
    randomise_norms(theirs)
    # The oldest of torchvision's files have PyTorch's format before zip, and no counters of batches.
    weights = {name: tensor for name, tensor in theirs.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(weights, tmp_path / "resnet.pth", _use_new_zipfile_serialization=depth == 18)
    narrow = ("MODEL.RESNETS.WIDTH_PER_GROUP", "8", "MODEL.RESNETS.RES2_OUT_CHANNELS", "256")
    model = make("MODEL.RESNETS.DEPTH", str(depth), *(narrow if depth == 50 else ())).eval()
    report = load_pretrained(model, tmp_path / "resnet.pth")
    x = torch.rand(1, 3, 64, 96)
    stem = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))
    expected = theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(stem))))
    torch.testing.assert_close(model.backbone.bottom_up(x)["res5"], expected)
    assert report.unexpected == ("fc.weight", "fc.bias")


def test_torchvision_mobilenet_gives_torchvisions_features(make: MakeModel, tmp_path: Path) -> None:
    torch.manual_seed(3)
    theirs = mobilenet_v3_large(weights=None).eval()
    randomise_norms(theirs)
    torch.save(theirs.state_dict(), tmp_path / "mobilenet.pth")
    model = make("MODEL.BACKBONE.NAME", "build_mobilenet_v3_fpn_backbone").eval()
    report = load_pretrained(model, tmp_path / "mobilenet.pth")
    x = torch.rand(1, 3, 64, 96)
    torch.testing.assert_close(model.backbone.bottom_up(x)["res5"], theirs.features(x))
    assert all(name.startswith("classifier.") for name in report.unexpected)


def test_frozen_stages_take_the_weights_too(make: MakeModel, tmp_path: Path) -> None:
    theirs = resnet18(weights=None)
    randomise_norms(theirs)
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    model = make("MODEL.BACKBONE.FREEZE_AT", "2")
    load_pretrained(model, tmp_path / "resnet18.pth")
    assert torch.equal(model.backbone.bottom_up.res2[0].conv1.norm.running_mean, theirs.layer1[0].bn1.running_mean)
    assert not model.backbone.bottom_up.res2[0].conv1.weight.requires_grad


def test_prefix_of_a_wrapper_for_several_gpus_is_dropped(make: MakeModel, tmp_path: Path) -> None:
    trained, model = make(), make(seed=1)
    weights = {f"module.{name}": tensor for name, tensor in trained.state_dict().items()}
    torch.save({"model": weights, "iteration": 3}, tmp_path / "model.pth")
    load_pretrained(model, tmp_path / "model.pth")
    assert changed(trained.state_dict(), model) == set()


@pytest.mark.parametrize("other", [("MODEL.RESNETS.DEPTH", "34"), TINY_R50])
def test_another_backbone_is_refused_with_the_list_and_nothing_loaded(
    make: MakeModel, tmp_path: Path, other: tuple[str, ...]
) -> None:
    model = make(*other, seed=1)
    before = copy_of(model)
    torch.save({"model": make().state_dict()}, tmp_path / "r18.pth")
    with pytest.raises(
        ModelError, match=r"the bottom-up network .* is of another architecture; nothing was loaded"
    ) as caught:
        load_pretrained(model, tmp_path / "r18.pth")
    text = str(caught.value)
    assert "not in the file, left at its start: backbone.bottom_up.res" in text
    if other == TINY_R50:
        stem = (
            "skipped backbone.bottom_up.stem.conv1.weight: shape (64, 3, 7, 7) in the file, (8, 3, 7, 7) in the model"
        )
        assert stem in text
    assert changed(before, model) == set()


def test_file_of_something_else_is_refused(make: MakeModel, tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "linear.pth")
    with pytest.raises(ModelError, match=r"linear\.pth: .*; nothing was loaded"):
        load_pretrained(make(), tmp_path / "linear.pth")


def test_entry_that_fits_several_places_is_refused(tmp_path: Path) -> None:
    content = {"model": {"weight": torch.zeros(2, 2).numpy()}, "__author__": "x", "matching_heuristics": True}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ModelError, match=r"weight fits several entries of the model, 1\.weight among them"):
        load_pretrained(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), tmp_path / "a.pkl")


class Dangerous:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("content", ["model", "author"])
def test_code_in_a_zoo_file_is_refused_and_not_run(make: MakeModel, tmp_path: Path, content: str) -> None:
    code = Dangerous(tmp_path / "ran")
    weights = {"model": {"w": code}, "__author__": "x"} if content == "model" else {"model": {}, "__author__": code}
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(weights))
    with pytest.raises(ModelError, match=r"evil\.pkl: refused, it names posix\.mkdir"):
        load_pretrained(make(), tmp_path / "evil.pkl")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content", [[1], {"model": [1], "__author__": "x"}, {"blobs": 3}, {"a": "text"}, {"model": {}, "__author__": "x"}]
)
def test_zoo_file_without_weights_is_refused(tmp_path: Path, content: Any) -> None:
    (tmp_path / "odd.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ModelError, match=r"odd\.pkl: has no weights"):
        read_checkpoint(tmp_path / "odd.pkl")


@pytest.mark.parametrize("name", ["C4", "DC5"])
def test_torchvision_weights_fit_networks_without_a_pyramid(make: MakeModel, tmp_path: Path, name: str) -> None:
    file = ResNet(Bottleneck, [3, 4, 6, 3], width_per_group=16)
    torch.save(file.state_dict(), tmp_path / "resnet50.pth")
    widths = ("MODEL.RESNETS.RES2_OUT_CHANNELS", "256", "MODEL.RESNETS.NORM", "BN")
    model = make(*VARIANTS[name], *widths)
    report = load_pretrained(model, tmp_path / "resnet50.pth")
    place = "roi_heads" if name == "C4" else "backbone"
    last = model.state_dict()[f"{place}.res5.2.conv3.weight"]
    assert torch.equal(last, file.state_dict()["layer4.2.conv3.weight"])
    assert report.unexpected == ("fc.weight", "fc.bias")
    assert not any("backbone" in missing or "res5" in missing for missing in report.missing)
