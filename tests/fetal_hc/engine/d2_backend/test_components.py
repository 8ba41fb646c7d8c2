"""Networks that Detectron2 builds from the project's configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fetal_hc.engine.architecture import build_model as build_ours
from fetal_hc.engine.config import CfgNode, load_config
from fetal_hc.engine.structures import CoverageMasks, PolygonMasks, Targets
from fetal_hc_cli.training.architectures import ARCHITECTURES, MASK_RCNN
from tests.fetal_hc.engine.inputs import make_input

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]
REPOSITORY = Path(__file__).resolve().parents[4]
SMALL = (
    *("MODEL.DEVICE", "cpu", "MODEL.FPN.OUT_CHANNELS", "32", "MODEL.ROI_BOX_HEAD.FC_DIM", "32"),
    *("MODEL.ROI_MASK_HEAD.CONV_DIM", "32", "SOLVER.STEPS", "()"),
)


def detection_configs() -> list[str]:
    """Every configuration that both engines train."""
    found = []
    for path in sorted((REPOSITORY / "configs").rglob("*.yaml")):
        cfg = load_config(ARCHITECTURES, path, ["SOLVER.STEPS", "()"])
        if cfg.MODEL.META_ARCHITECTURE == "GeneralizedRCNN" and cfg.DATASETS.TRAIN:
            found.append(path.relative_to(REPOSITORY).as_posix())
    return found


def build_theirs(cfg: CfgNode) -> Any:
    from fetal_hc.engine.d2_backend.components import build_model
    from fetal_hc.engine.d2_backend.config import to_detectron2_config

    return build_model(to_detectron2_config(cfg))


def shapes(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("file", detection_configs())
def test_every_config_gives_the_same_names_and_shapes(file: str) -> None:
    cfg = load_config(ARCHITECTURES, REPOSITORY / file, SMALL)
    assert shapes(build_theirs(cfg)) == shapes(build_ours(cfg, MASK_RCNN))


def test_mobilenet_gives_the_same_names_and_shapes_and_frozen_stages() -> None:
    backbone = ("MODEL.BACKBONE.NAME", "build_mobilenet_v3_fpn_backbone", "MODEL.BACKBONE.FREEZE_AT", "2")
    width = ("MODEL.MOBILENET.WIDTH_MULT", "0.75")
    cfg = load_config(ARCHITECTURES, REPOSITORY / "configs/hc18/mask_rcnn_R_18_FPN.yaml", [*SMALL, *backbone, *width])
    theirs, ours = build_theirs(cfg), build_ours(cfg, MASK_RCNN)
    assert shapes(theirs) == shapes(ours)
    frozen = [{name for name, p in model.named_parameters() if not p.requires_grad} for model in (theirs, ours)]
    assert frozen[0] == frozen[1]
    assert frozen[0] < set(shapes(ours))


def test_registering_again_changes_nothing() -> None:
    from detectron2.modeling import ROI_MASK_HEAD_REGISTRY

    from fetal_hc.engine.d2_backend.components import CoverageMaskHead, register_components

    register_components()
    register_components()
    assert ROI_MASK_HEAD_REGISTRY.get("CoverageMaskHead") is CoverageMaskHead


def test_configuration_stays_as_it_was() -> None:
    from fetal_hc.engine.d2_backend.components import build_model
    from fetal_hc.engine.d2_backend.config import to_detectron2_config

    cfg = to_detectron2_config(load_config(ARCHITECTURES, REPOSITORY / "configs/hc18/mask_rcnn_R_18_FPN.yaml", SMALL))
    build_model(cfg)
    assert cfg.MODEL.ROI_MASK_HEAD.NAME == "MaskRCNNConvUpsampleHead"


def make_targets() -> dict[str, Targets]:
    """Ground truth of several kinds for an image of 96 x 128 px."""
    boxes = torch.tensor([[24.0, 22.0, 96.0, 78.0], [60.0, 40.0, 100.0, 90.0]])
    classes, some = torch.tensor([0, 0]), torch.tensor([True, False])
    polygon = make_input(with_targets=True)["targets"].masks.polygons[0]
    coverage = torch.zeros((2, 96, 128))
    coverage[0, 30:70, 30:90] = torch.linspace(0, 1, 60)
    return {
        "soft": Targets(boxes, classes, CoverageMasks(coverage), torch.tensor([True, True])),
        "one without a mask": Targets(boxes, classes, CoverageMasks(coverage), some),
        "polygons": Targets(boxes[:1], classes[:1], PolygonMasks([polygon]), torch.tensor([True])),
        "boxes only": Targets(boxes, classes, None, torch.tensor([False, False])),
        "nothing": Targets(boxes[:0], classes[:0], None, torch.tensor([], dtype=torch.bool)),
    }


@pytest.mark.parametrize("kinds", [("soft", "soft"), ("one without a mask", "polygons"), ("boxes only", "nothing")])
def test_losses_equal_the_builtin_ones_for_every_kind_of_target(kinds: tuple[str, str]) -> None:
    from detectron2.utils.events import EventStorage

    from fetal_hc.engine.d2_backend.structures import to_instances

    cfg = load_config(
        ARCHITECTURES, REPOSITORY / "configs/hc18/mask_rcnn_R_18_FPN.yaml", [*SMALL, "MODEL.CHANNELS_LAST", "False"]
    )
    torch.manual_seed(0)
    ours, theirs = build_ours(cfg, MASK_RCNN), build_theirs(cfg)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    items = [{**make_input(seed), "targets": make_targets()[kind]} for seed, kind in enumerate(kinds)]
    torch.manual_seed(5)
    expected = ours(items)
    for item in items:
        item["instances"] = to_instances(item.pop("targets"), (96, 128), use_masks=True)
    torch.manual_seed(5)
    with EventStorage():
        found = theirs(items)
    assert set(found) == set(expected)
    for name, loss in expected.items():
        torch.testing.assert_close(found[name], loss, rtol=1e-5, atol=1e-6)
    assert (found["loss_mask"] > 0) == (kinds != ("boxes only", "nothing"))


def test_regions_are_pooled_in_float32_under_amp() -> None:
    from detectron2.modeling.poolers import ROIPooler
    from detectron2.structures import Boxes

    model = build_theirs(load_config(ARCHITECTURES, REPOSITORY / "configs/hc18/mask_rcnn_R_18_FPN.yaml", SMALL))
    pooler = model.roi_heads.mask_pooler
    assert isinstance(pooler, ROIPooler)
    features = [torch.rand((1, 2, 40 // 2**k, 40 // 2**k)).to(torch.bfloat16) for k in range(3)]
    boxes = [Boxes(torch.tensor([[100.3, 80.7, 257.9, 203.1]]))]
    with torch.autocast("cpu", torch.bfloat16):
        found = pooler(features, boxes)
    assert torch.equal(found, pooler([feature.float() for feature in features], boxes))
    assert found.dtype == torch.float32
