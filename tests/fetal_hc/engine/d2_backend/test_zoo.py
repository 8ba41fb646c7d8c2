"""Networks that Detectron2 alone has: read from its model zoo, trained on the project's data, scored as all others."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from fetal_hc.engine.config import load_config
from fetal_hc.engine.train.training_job import JobOptions, start_job
from fetal_hc.errors import ConfigError, DatasetError
from fetal_hc_cli.training.architectures import ARCHITECTURES
from tests.fetal_hc.engine.toy_heads import TINY, write_config

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]
# Zoo files that need what the project's data pipeline has not; each is refused with the key.
REFUSED = {
    "fast_rcnn_R_50_FPN_1x.yaml": "LOAD_PROPOSALS",
    "rpn_R_50_C4_1x.yaml": "META_ARCHITECTURE",
    "rpn_R_50_FPN_1x.yaml": "META_ARCHITECTURE",
}


def zoo_folder() -> Path:
    import detectron2

    return Path(detectron2.__file__).parent / "model_zoo" / "configs"


def zoo_files() -> list[Path]:
    return sorted(path for path in zoo_folder().rglob("*.yaml") if "quick_schedules" not in path.parts)


def leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        yield from leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(prefix + key, as_lists(value))]


def as_lists(value: Any) -> Any:
    return [as_lists(item) for item in value] if isinstance(value, list | tuple) else value


def test_every_file_of_the_zoo_is_read_or_refused_with_its_key() -> None:
    from fetal_hc.engine.d2_backend.config import read_config

    refused: dict[str, str] = {}
    for path in zoo_files():
        try:
            read_config(ARCHITECTURES, path, [])
        except ConfigError as error:
            refused[path.relative_to(zoo_folder()).as_posix()] = str(error)
    print(f"{len(zoo_files()) - len(refused)} of {len(zoo_files())} files read")
    expected = ("LOAD_PROPOSALS", "META_ARCHITECTURE", "SAMPLER_TRAIN", "TEST.AUG", "PRECISE_BN", "shapely")
    assert {name: text for name, text in refused.items() if not any(key in text for key in expected)} == {}
    assert all(key in refused[f"COCO-Detection/{name}"] for name, key in REFUSED.items())
    assert len(refused) <= 13


@pytest.mark.parametrize(
    "name",
    [
        "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x.yaml",
        "COCO-Detection/retinanet_R_50_FPN_1x.yaml",
        "COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x.yaml",
        "Misc/cascade_mask_rcnn_R_50_FPN_3x.yaml",
        "COCO-PanopticSegmentation/panoptic_fpn_R_50_1x.yaml",
    ],
)
def test_values_are_those_that_detectron2_reads(name: str) -> None:
    from detectron2.config import get_cfg

    from fetal_hc.engine.d2_backend.config import read_config, to_detectron2_config

    theirs = get_cfg()
    theirs.merge_from_file(str(zoo_folder() / name), allow_unsafe=True)
    cfg, _ = read_config(ARCHITECTURES, zoo_folder() / name, [])
    found = dict(leaves(to_detectron2_config(cfg)))
    assert {key: found[key] for key, _ in leaves(theirs)} == dict(leaves(theirs))


@pytest.mark.parametrize(
    "family", ["mask_rcnn_R_50_C4_1x", "mask_rcnn_R_50_DC5_1x", "mask_rcnn_R_50_FPN_3x", "mask_rcnn_X_101_32x8d_FPN_3x"]
)
def test_mask_rcnn_of_the_zoo_needs_no_detectron2(family: str) -> None:
    load_config(ARCHITECTURES, zoo_folder() / "COCO-InstanceSegmentation" / f"{family}.yaml")


def test_lazy_configuration_is_one_sentence_that_names_its_twin() -> None:
    path = zoo_folder() / "COCO-InstanceSegmentation" / "mask_rcnn_R_50_FPN_1x.py"
    with pytest.raises(ConfigError, match=r"--engine detectron2` runs, .*; take .*mask_rcnn_R_50_FPN_1x\.yaml"):
        load_config(ARCHITECTURES, path)


def write_toy(folder: Path, output_dir: Path, changes: dict[str, Any]) -> Path:
    """The tiny training with other values in MODEL, INPUT and TEST."""
    config_file = write_config(folder, output_dir)
    tree = yaml.safe_load(config_file.read_text())
    for node, values in changes.items():
        tree[node] = {**TINY[node], **values}
    config_file.write_text(yaml.safe_dump(tree))
    return config_file


def train(config_file: Path, *overrides: str) -> int:
    torch.set_num_threads(1)
    return start_job(JobOptions(ARCHITECTURES, config_file, overrides, engine="detectron2"))


def test_retinanet_trains_and_is_evaluated(tmp_path: Path) -> None:
    retinanet = {
        **{"META_ARCHITECTURE": "RetinaNet", "MASK_ON": False},
        "BACKBONE": {"NAME": "build_retinanet_resnet_fpn_backbone", "FREEZE_AT": 0},
        "RETINANET": {"NUM_CLASSES": 1, "IN_FEATURES": ["p3", "p4", "p5", "p6", "p7"]},
        "ANCHOR_GENERATOR": {"SIZES": [[24], [48], [64], [96], [128]], "ASPECT_RATIOS": [[1.0]]},
    }
    changes = {"MODEL": retinanet, "TEST": {"EVALUATORS": ["coco"]}}
    config_file = write_toy(tmp_path / "data", tmp_path / "output", changes)
    assert train(config_file) == 0
    assert set(json.loads((tmp_path / "output" / "results.json").read_text())) == {"bbox"}
    assert (
        train(config_file, "MODEL.WEIGHTS", str(tmp_path / "output/model_final.pth"), "OUTPUT_DIR", str(tmp_path / "b"))
        == 0
    )


def test_bit_masks_are_made_by_detectron2_s_own_mapper_and_repeat(tmp_path: Path) -> None:
    changes = {"INPUT": {"MASK_FORMAT": "bitmask", "MIN_SIZE_TRAIN": [56, 60, 64]}}
    config_file = write_toy(tmp_path / "data", tmp_path / "first", changes)
    assert train(config_file) == 0
    assert train(config_file, "OUTPUT_DIR", str(tmp_path / "second")) == 0
    first, second = (torch.load(tmp_path / name / "model_final.pth")["model"] for name in ("first", "second"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_keypoints_train(tmp_path: Path) -> None:
    keypoint_head = {"CONV_DIMS": [8], "NUM_KEYPOINTS": 2, "POOLER_RESOLUTION": 7, "MIN_KEYPOINTS_PER_IMAGE": 1}
    model = {**TINY["MODEL"], "KEYPOINT_ON": True, "ROI_KEYPOINT_HEAD": keypoint_head}
    changes = {"MODEL": model, "TEST": {"EVALUATORS": ["coco"], "KEYPOINT_OKS_SIGMAS": [0.1, 0.1]}}
    config_file = write_toy(tmp_path / "data", tmp_path / "output", changes)
    with pytest.raises(DatasetError, match='KEYPOINT_ON needs "keypoints"'):
        train(config_file)
    path = config_file.parent / "heads.json"
    content = json.loads(path.read_text())
    content["categories"][0]["keypoints"] = ["left_end", "right_end"]
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        annotation["keypoints"] = [x, y + height / 2, 2, x + width, y + height / 2, 2]
    path.write_text(json.dumps(content))
    assert train(config_file, "OUTPUT_DIR", str(tmp_path / "second")) == 0
    assert "loss_keypoint" in (tmp_path / "second" / "metrics.json").read_text()


def test_option_that_would_be_ignored_is_refused(tmp_path: Path) -> None:
    config_file = write_config(tmp_path / "data", tmp_path / "output")
    with pytest.raises(ConfigError, match=r"TEST\.AUG\.ENABLED: True is not acted upon here; expected False"):
        train(config_file, "TEST.AUG.ENABLED", "True")


def test_crop_without_the_library_for_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shapely", None)
    config_file = write_config(tmp_path / "data", tmp_path / "output")
    with pytest.raises(ConfigError, match=r"INPUT\.CROP\.ENABLED: .* shapely, which is not installed"):
        train(config_file, "INPUT.CROP.ENABLED", "True")


def test_wrong_key_is_still_found(tmp_path: Path) -> None:
    config_file = write_config(tmp_path / "data", tmp_path / "output")
    with pytest.raises(ConfigError, match=r"RETINANET\.NUM_CLASES: unknown configuration key; did you mean"):
        train(config_file, "MODEL.RETINANET.NUM_CLASES", "1", "MODEL.KEYPOINT_ON", "True")
