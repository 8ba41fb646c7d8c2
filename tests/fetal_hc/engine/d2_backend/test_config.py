"""One configuration, two engines: the same tree, whoever reads the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from fetal_hc.engine.config import load_config
from fetal_hc_cli.training.architectures import ARCHITECTURES

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]
REPOSITORY = Path(__file__).resolve().parents[4]
FILES = sorted(path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "configs").rglob("*.yaml"))
OVERRIDES = ("SOLVER.BASE_LR", "0.5", "MODEL.RPN.BBOX_REG_WEIGHTS", "(0.5, 2, 1, 1)", "DATASETS.TEST", "('a', 'b')")


def leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", as_lists(value)


def as_lists(value: Any) -> Any:
    return [as_lists(item) for item in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("overrides", [("SOLVER.STEPS", "()"), ("SOLVER.STEPS", "()", *OVERRIDES)], ids=["", "changed"])
def test_every_key_of_a_configuration_has_the_same_value_in_both_engines(file: str, overrides: tuple[str, ...]) -> None:
    from fetal_hc.engine.d2_backend.config import to_detectron2_config

    cfg = load_config(ARCHITECTURES, REPOSITORY / file, overrides)
    theirs = dict(leaves(to_detectron2_config(cfg)))
    assert {key: theirs[key] for key, _ in cfg.leaves()} == dict(leaves(cfg))


@pytest.mark.parametrize("file", FILES)
def test_detectron2_reads_the_same_tree_from_the_file(file: str) -> None:
    from detectron2.config import get_cfg

    from fetal_hc.engine.d2_backend.config import add_config, to_detectron2_config

    overrides = ["SOLVER.STEPS", "()", *OVERRIDES]
    own = get_cfg()
    add_config(own, ARCHITECTURES)
    own.merge_from_file(str(REPOSITORY / file))
    own.merge_from_list(overrides)
    assert dict(leaves(own)) == dict(
        leaves(to_detectron2_config(load_config(ARCHITECTURES, REPOSITORY / file, overrides)))
    )


@pytest.mark.parametrize("file", [file for file in FILES if "mask_rcnn" in file or "Base-MaskRCNN" in file])
def test_stock_detectron2_builds_augmentation_and_network_from_the_file(file: str) -> None:
    from detectron2.config import get_cfg
    from detectron2.data.detection_utils import build_augmentation
    from detectron2.modeling import build_model

    from fetal_hc.engine.d2_backend.components import register_components
    from fetal_hc.engine.d2_backend.config import add_config

    register_components()
    own = get_cfg()
    add_config(own, ARCHITECTURES)
    own.merge_from_file(str(REPOSITORY / file))
    assert build_augmentation(own, is_train=True)
    with torch.device("meta"):
        own.MODEL.DEVICE = "meta"
        assert build_model(own)


def test_flips_of_older_configurations_are_translated() -> None:
    from fetal_hc.engine.d2_backend.config import to_detectron2_config

    file = REPOSITORY / "configs/hc18/mask_rcnn_R_18_FPN.yaml"
    older = load_config(ARCHITECTURES, file, ["INPUT.RANDOM_FLIP", "both", "INPUT.AUG.VERTICAL_FLIP", "False"])
    theirs = to_detectron2_config(older)
    assert (theirs.INPUT.RANDOM_FLIP, theirs.INPUT.AUG.VERTICAL_FLIP) == ("horizontal", True)


def test_keys_of_detectron2_that_no_one_sets_keep_their_defaults() -> None:
    from detectron2.config import get_cfg

    from fetal_hc.engine.d2_backend.config import to_detectron2_config

    cfg = load_config(ARCHITECTURES, REPOSITORY / "configs/hc18/mask_rcnn_R_18_FPN.yaml")
    ours, theirs = dict(cfg.leaves()), dict(leaves(to_detectron2_config(cfg)))
    defaults = dict(leaves(get_cfg()))
    assert {key: theirs[key] for key in defaults if key not in ours} == {
        key: value for key, value in defaults.items() if key not in ours
    }
    assert "MODEL.KEYPOINT_ON" in theirs
    assert "MODEL.KEYPOINT_ON" not in ours


def test_tree_is_frozen_and_independent_of_ours() -> None:
    from fetal_hc.engine.d2_backend.config import to_detectron2_config

    cfg = load_config(ARCHITECTURES, REPOSITORY / "configs/hc18/mask_rcnn_R_18_FPN.yaml")
    theirs = to_detectron2_config(cfg)
    assert theirs.is_frozen()
    theirs.MODEL.ANCHOR_GENERATOR.SIZES[0][0] = -1
    assert cfg.MODEL.ANCHOR_GENERATOR.SIZES[0][0] == 48
