"""Lazy configurations (`.py`) of Detectron2's model zoo: read and trained by Detectron2, refused elsewhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from fetal_hc.engine.checkpoints import checkpoint
from fetal_hc.engine.train.training_job import JobOptions, start_job
from fetal_hc.errors import ConfigError
from fetal_hc_cli.training.architectures import ARCHITECTURES
from tests.fetal_hc.engine.toy_heads import write_heads

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]
R50 = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.py"
LARGE_SCALE_JITTER = "new_baselines/mask_rcnn_R_50_FPN_100ep_LSJ.py"
# The network of the zoo with few channels, on small images.
SMALL = (
    *("model.backbone.bottom_up.freeze_at=0", "model.backbone.out_channels=8"),
    *("model.proposal_generator.head.in_channels=8", "model.roi_heads.num_classes=1"),
    *("model.roi_heads.box_head.input_shape.channels=8", "model.roi_heads.box_head.fc_dims=[16]"),
    *("model.roi_heads.box_predictor.input_shape.channels=16", "model.roi_heads.mask_head.input_shape.channels=8"),
    *("model.roi_heads.mask_head.conv_dims=[8,8]", "optimizer.lr=0.001"),
    *("dataloader.train.total_batch_size=2", "dataloader.train.num_workers=0"),
    *("dataloader.train.mapper.augmentations.0.short_edge_length=[64]",),
    *("dataloader.test.mapper.augmentations.0.short_edge_length=64",),
)


def zoo_file(name: str) -> Path:
    import detectron2

    return Path(detectron2.__file__).parent / "model_zoo" / "configs" / name


def mask_rcnn_files() -> list[Path]:
    folder = zoo_file("")
    return sorted([*folder.glob("COCO-InstanceSegmentation/*.py"), *folder.glob("new_baselines/*.py")])


def read(path: Path, *overrides: str) -> Any:
    from fetal_hc.engine.d2_backend.lazy import config_from_lazy

    return config_from_lazy(ARCHITECTURES, path, overrides)[0]


def train(path: Path, tmp_path: Path, *overrides: str, output: str = "output", **options: Any) -> int:
    torch.set_num_threads(1)
    write_heads(tmp_path / "data")
    data = ("DATASETS.ROOT", str(tmp_path / "data"), "DATASETS.TRAIN", "('heads',)", "DATASETS.TEST", "('heads',)")
    own = ("OUTPUT_DIR", str(tmp_path / output), "MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", "SEED", "3")
    given = (*data, *own, "TEST.EVALUATORS", "['coco','hc']", "SOLVER.MAX_ITER", "3", *overrides)
    return start_job(JobOptions(ARCHITECTURES, path, given, engine="detectron2", **options))


def test_every_mask_rcnn_of_the_zoo_is_read() -> None:
    files = mask_rcnn_files()
    assert len(files) == 17
    for path in files:
        cfg = read(path, "dataloader.train.mapper.instance_mask_format=bitmask")
        assert cfg.MODEL.MASK_ON
        assert cfg.SOLVER.MAX_ITER >= 90000
        assert cfg.MODEL.ROI_HEADS.NUM_CLASSES == 80


@pytest.mark.parametrize("path", ["COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x.py", R50, LARGE_SCALE_JITTER])
def test_network_is_the_one_that_detectron2_builds(path: str) -> None:
    from detectron2.config import LazyConfig, instantiate

    from fetal_hc.engine.d2_backend.lazy import make_lazy_trainer, read_lazy_tree

    overrides = ["dataloader.train.mapper.instance_mask_format=bitmask", "MODEL.DEVICE", "meta"]
    tree = read_lazy_tree(zoo_file(path), overrides)
    with torch.device("meta"):
        expected = instantiate(LazyConfig.load(str(zoo_file(path))).model)
        found = make_lazy_trainer(tree).build_model(_DeviceOnly("meta"))
    shapes = [{name: tuple(value.shape) for name, value in model.state_dict().items()} for model in (found, expected)]
    assert shapes[0] == shapes[1]


class _DeviceOnly:
    """A tree with nothing but MODEL.DEVICE."""

    def __init__(self, device: str) -> None:
        self.MODEL = self
        self.DEVICE = device


@pytest.mark.slow
def test_zoo_file_trains_on_our_data_and_is_scored_by_our_evaluators(tmp_path: Path) -> None:
    assert train(zoo_file(R50), tmp_path, *SMALL) == 0
    results = json.loads((tmp_path / "output" / "results.json").read_text())
    assert {"bbox", "segm", "hc"} <= set(results)
    rows = [json.loads(line) for line in (tmp_path / "output" / "metrics.json").read_text().splitlines()]
    assert {"loss_mask", "loss_rpn_cls", "lr"} <= set().union(*rows)
    assert json.loads((tmp_path / "output" / "run.json").read_text())["engine"] == "detectron2"
    weights = ("MODEL.WEIGHTS", str(tmp_path / "output" / "model_final.pth"))
    assert train(zoo_file(R50), tmp_path, *SMALL, *weights, output="again", eval_only=True) == 0
    assert json.loads((tmp_path / "again" / "results.json").read_text()) == results


@pytest.mark.slow
def test_resumed_training_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    period = ("SOLVER.CHECKPOINT_PERIOD", "2", "SOLVER.EMA.ENABLED", "True")
    assert train(zoo_file(R50), tmp_path, *SMALL, *period) == 0
    straight = checkpoint.read_checkpoint(tmp_path / "output" / "model_final.pth")["model"]
    (tmp_path / "output" / "last_checkpoint").write_text("model_0000001.pth")
    assert train(zoo_file(R50), tmp_path, *SMALL, *period, resume=True) == 0
    resumed = checkpoint.read_checkpoint(tmp_path / "output" / "model_final.pth")["model"]
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


@pytest.mark.slow
def test_learning_rate_is_that_of_the_file(tmp_path: Path) -> None:
    from detectron2.config import LazyConfig, instantiate

    assert train(zoo_file(R50), tmp_path, *SMALL, "SOLVER.MAX_ITER", "2") == 0
    rows = [json.loads(line) for line in (tmp_path / "output" / "metrics.json").read_text().splitlines()]
    factor = instantiate(LazyConfig.load(str(zoo_file(R50))).lr_multiplier)
    assert next(row["lr"] for row in reversed(rows) if "lr" in row) == pytest.approx(0.001 * factor(0.5))


@pytest.mark.parametrize("engine", ["auto", "builtin"])
def test_other_engine_runs_no_code_and_says_so_in_one_sentence(tmp_path: Path, engine: str) -> None:
    path = tmp_path / "network.py"
    path.write_text(f"open({str(tmp_path / 'was_run')!r}, 'w')")
    with pytest.raises(
        ConfigError, match=r"Python code, which only `fetal-hc train --engine detectron2` runs"
    ) as error:
        start_job(JobOptions(ARCHITECTURES, path, engine=engine))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "was_run").exists()


def test_failing_file_is_one_message(tmp_path: Path) -> None:
    path = tmp_path / "network.py"
    path.write_text("1 / 0")
    with pytest.raises(ConfigError, match=r"network\.py: running it failed \(ZeroDivisionError"):
        read(path)
    path.write_text("model = dict()")
    with pytest.raises(ConfigError, match=r"lacks \['optimizer', 'lr_multiplier', 'dataloader', 'train'\]"):
        read(path)
    with pytest.raises(ConfigError, match="cannot read the configuration file"):
        read(tmp_path / "absent.py")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.max_itre=5", r"train\.max_itre: no such key"),
        ("modle.roi_heads=5", r"modle\.roi_heads: no such key"),
        ("SOLVER.BASE_LR=5", r"SOLVER\.BASE_LR: no such key"),
        ("DATASETS.ROOTS=5", r"DATASETS\.ROOTS: unknown configuration key"),
        ("SEED", "'SEED' has no value"),
    ],
)
def test_override_that_fits_nothing_is_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(zoo_file(R50), override)


def test_wrong_keyword_of_a_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model of the lazy configuration cannot be built \(TypeError"):
        train(zoo_file(R50), tmp_path, *SMALL, "model.backbone.out_chanels=3")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("COCO-Detection/retinanet_R_50_FPN_1x.py", "RetinaNet is not of the Mask R-CNN family"),
        ("COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x.py", "keypoints are trained from YAML files only"),
    ],
)
def test_other_networks_are_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(zoo_file(name))


def test_cropped_outlines_need_a_library_or_bit_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shapely", None)
    with pytest.raises(ConfigError, match=r"shapely, which is not installed; add .*instance_mask_format=bitmask"):
        read(zoo_file(LARGE_SCALE_JITTER))
    assert read(zoo_file(LARGE_SCALE_JITTER), "dataloader.train.mapper.instance_mask_format=bitmask").MODEL.MASK_ON
