"""The configuration loader: Detectron2's files and habits, and refusal of whatever is not covered."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from fetal_hc.engine.config import dump_config, load_config
from fetal_hc.errors import ConfigError
from fetal_hc_cli.training.architectures import ARCHITECTURES

COVERED = """
MODEL:
  BACKBONE: {NAME: build_resnet_fpn_backbone}
  ROI_HEADS: {NAME: StandardROIHeads}
  ROI_BOX_HEAD: {NAME: FastRCNNConvFCHead}
  RPN: {IN_FEATURES: [p2, p3, p4, p5, p6]}
  ANCHOR_GENERATOR: {SIZES: [[32], [64], [128], [256], [512]]}
"""


def write(folder: Path, text: str, name: str = "config.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_file_overrides_defaults_and_command_line_overrides_file(tmp_path: Path) -> None:
    path = write(tmp_path, COVERED + "SOLVER: {BASE_LR: 0.02, MAX_ITER: 90000}\n")
    cfg = load_config(ARCHITECTURES, path, ["SOLVER.BASE_LR", "0.5"])
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.MAX_ITER, cfg.SOLVER.MOMENTUM) == (0.5, 90000, 0.9)


def test_base_files_apply_before_the_file_and_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path, COVERED + "INPUT: {MIN_SIZE_TEST: 100, MAX_SIZE_TEST: 200}\n", "base.yaml")
    child = write(tmp_path / "sub", "_BASE_: ../base.yaml\nINPUT: {MIN_SIZE_TEST: 300}\n")
    cfg = load_config(ARCHITECTURES, child)
    assert (cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST) == (300, 200)


def test_text_that_is_a_python_literal_means_that_literal_as_in_detectron2(tmp_path: Path) -> None:
    cfg = load_config(ARCHITECTURES, write(tmp_path, COVERED + 'SOLVER: {STEPS: "(60000, 80000)", MAX_ITER: 90000}\n'))
    assert cfg.SOLVER.STEPS == [60000, 80000]


def test_dumped_configuration_reads_back_equal(tmp_path: Path) -> None:
    cfg = load_config(ARCHITECTURES, write(tmp_path, COVERED), ["SOLVER.STEPS", "()"])
    again = load_config(ARCHITECTURES, write(tmp_path, dump_config(cfg), "again.yaml"))
    assert again.to_dict() == cfg.to_dict()


def test_all_shipped_configurations_load(repository_root: Path) -> None:
    files = sorted((repository_root / "configs").rglob("*.yaml"))
    assert files
    for path in files:
        cfg = load_config(ARCHITECTURES, path, ["SOLVER.STEPS", "()"])
        assert (cfg.MODEL.META_ARCHITECTURE == "GeneralizedRCNN") == cfg.MODEL.MASK_ON


def test_keys_of_parts_that_are_not_used_are_dropped(tmp_path: Path) -> None:
    text = COVERED + "  RETINANET: {NUM_CLASSES: 80}\nTEST: {AUG: {MIN_SIZES: [400]}}\n"
    assert "RETINANET" not in load_config(ARCHITECTURES, write(tmp_path, text), ["SOLVER.STEPS", "()"]).MODEL


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        (["MODEL.RESNET.DEPTH", "50"], ["MODEL.RESNET.DEPTH", "unknown", "MODEL.RESNETS.DEPTH"]),
        (["MODEL.RESNETS.DEPTH", "42"], ["MODEL.RESNETS.DEPTH", "42", "50"]),
        (["MODEL.KEYPOINT_ON", "True"], ["MODEL.KEYPOINT_ON", "True", "not covered"]),
        (["MODEL.META_ARCHITECTURE", "RetinaNet"], ["META_ARCHITECTURE", "RetinaNet", "GeneralizedRCNN"]),
        (["SOLVER.BASE_LR", "fast"], ["SOLVER.BASE_LR", "fast", "float"]),
        (["MODEL.MASK_ON", "1"], ["MODEL.MASK_ON", "1", "bool"]),
        (["SOLVER.STEPS", "(60000,)"], ["SOLVER.STEPS", "60000", "SOLVER.MAX_ITER 40000"]),
        (["MODEL.WEIGHTS"], ["MODEL.WEIGHTS", "no value"]),
        (["MODEL.RESNETS.DEPTH", "18"], ["RES2_OUT_CHANNELS", "64"]),
        (["MODEL.RPN.IN_FEATURES", "['p2','p3']"], ["ANCHOR_GENERATOR.SIZES", "5 lists", "2 RPN.IN_FEATURES"]),
    ],
)
def test_what_is_not_covered_is_refused_with_key_and_value(
    tmp_path: Path, override: list[str], parts: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(ARCHITECTURES, write(tmp_path, COVERED), override)
    for part in parts:
        assert part in str(error.value)


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(ARCHITECTURES, write(tmp_path, COVERED + "NONSENSE: 1\nSOLVER: {MAX_ITERS: 3}\n"))
    assert "NONSENSE" in str(error.value)
    assert "SOLVER.MAX_ITERS" in str(error.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("SEED: !!python/object/apply:os.system ['true']\n", "not a plain YAML file"),
        ("SEED: " + "[" * 5_000 + "\n", "nested too deeply"),
        ("A: &a 1\nSEED: *a\n", "references"),
        ("- a list\n", "mapping"),
        ("_BASE_: config.yaml\n", "circle"),
        ("_BASE_: missing.yaml\n", "missing.yaml"),
    ],
)
def test_unusable_files_are_refused(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        load_config(ARCHITECTURES, write(tmp_path, text))


def test_a_loaded_configuration_is_frozen_and_its_copy_is_not(tmp_path: Path) -> None:
    cfg = load_config(ARCHITECTURES, write(tmp_path, COVERED), ["SOLVER.STEPS", "()"])
    with pytest.raises(ConfigError, match="frozen"):
        cfg.SOLVER.BASE_LR = 1.0
    copy = cfg.clone()
    copy.SOLVER.BASE_LR = 1.0
    assert (cfg.SOLVER.BASE_LR, copy.SOLVER.BASE_LR) == (0.001, 1.0)


def test_a_frozen_configuration_survives_pickling_to_worker_processes(tmp_path: Path) -> None:
    cfg = load_config(ARCHITECTURES, write(tmp_path, COVERED), ["SOLVER.STEPS", "()"])
    assert pickle.loads(pickle.dumps(cfg)).to_dict() == cfg.to_dict()


def test_empty_file_is_the_network_of_detectron2_s_defaults(tmp_path: Path) -> None:
    cfg = load_config(ARCHITECTURES, write(tmp_path, "SEED: 1\n"))
    assert (cfg.MODEL.BACKBONE.NAME, cfg.MODEL.ROI_HEADS.NAME) == ("build_resnet_backbone", "Res5ROIHeads")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MODEL: {ROI_HEADS: {NAME: StandardROIHeads}}", r"ROI_BOX_HEAD\.NAME: StandardROIHeads needs FastRCNN"),
        ("MODEL: {ROI_HEADS: {IN_FEATURES: [res5]}}", r"ROI_HEADS\.IN_FEATURES: \['res5'\] are not in"),
        ("MODEL: {RESNETS: {DEPTH: 18, RES2_OUT_CHANNELS: 64}}", "Res5ROIHeads needs .* ResNet-50 or 101"),
        ("MODEL: {BACKBONE: {NAME: build_resnet_fpn_backbone}, RESNETS: {RES5_DILATION: 2}}", "RES5_DILATION: 2 needs"),
        ("MODEL: {ROI_HEADS: {NAME: CascadeROIHeads}}", r"CLS_AGNOSTIC_BBOX_REG: CascadeROIHeads needs True"),
        (
            "MODEL: {ROI_HEADS: {NAME: CascadeROIHeads}, ROI_BOX_CASCADE_HEAD: {IOUS: [0.4, 0.5, 0.6]}}",
            "as the first overlap the one of ROI_HEADS.IOU_THRESHOLDS",
        ),
    ],
)
def test_parts_that_do_not_fit_each_other_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(ARCHITECTURES, write(tmp_path, text))
