"""Lazy configurations (`.py`) of Detectron2's Mask R-CNN family, trained on the project's data sets and evaluators.

Such a file is Python code. It is run only for `--engine detectron2`, through Detectron2's own `LazyConfig`. Network,
optimiser, learning-rate schedule and mappers are those that it describes, built by Detectron2's `instantiate`. Data
sets, evaluators, checkpoints and resuming are the project's. What a training needs to know beyond the network (number
of iterations, device, batch size) is copied into the project's own tree, so that all else works as with YAML.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from detectron2.config import CfgNode as Detectron2Node
from detectron2.config import LazyConfig, get_cfg, instantiate
from detectron2.modeling import GeneralizedRCNN
from detectron2.solver import LRMultiplier
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.utils.data import DataLoader

from fetal_hc.engine.architecture import Architecture
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.config.load import config_from_leaves
from fetal_hc.engine.d2_backend.components import pool_in_float32
from fetal_hc.engine.d2_backend.config import as_plain, can_import
from fetal_hc.engine.d2_backend.data import SeededMapper, TrainingData, build_test_data
from fetal_hc.engine.d2_backend.trainer import Trainer
from fetal_hc.errors import ConfigError, raise_problems

PARTS = ("model", "optimizer", "lr_multiplier", "dataloader", "train")
# The project's key for each value of a lazy configuration that the training itself acts upon.
SHARED_KEYS = {
    "OUTPUT_DIR": "train.output_dir",
    "CUDNN_BENCHMARK": "train.cudnn_benchmark",
    "MODEL.WEIGHTS": "train.init_checkpoint",
    "MODEL.DEVICE": "train.device",
    "MODEL.ROI_HEADS.NUM_CLASSES": "model.roi_heads.num_classes",
    "INPUT.FORMAT": "model.input_format",
    "SOLVER.MAX_ITER": "train.max_iter",
    "SOLVER.AMP.ENABLED": "train.amp.enabled",
    "SOLVER.CHECKPOINT_PERIOD": "train.checkpointer.period",
    "SOLVER.IMS_PER_BATCH": "dataloader.train.total_batch_size",
    "DATALOADER.NUM_WORKERS": "dataloader.train.num_workers",
    "DATALOADER.ASPECT_RATIO_GROUPING": "dataloader.train.aspect_ratio_grouping",
    "DATALOADER.FILTER_EMPTY_ANNOTATIONS": "dataloader.train.dataset.filter_empty",
    "TEST.EVAL_PERIOD": "train.eval_period",
}
# What a lazy configuration leaves to the project: keys that begin so are set as in YAML.
OWN_PREFIXES = ("DATASETS.", "TEST.", "SOLVER.EMA.", "SOLVER.AMP.DTYPE", "SEED", "DETERMINISTIC", "FLOAT32_PRECISION")


def read_lazy_tree(config_file: Path, overrides: Sequence[str]) -> DictConfig:
    """What a lazy configuration describes, with `overrides` applied. The file is run as Python code.

    Args:
        config_file: the `.py` file.
        overrides: KEY VALUE KEY VALUE ... or KEY=VALUE with keys of the file, or the project's keys for them.

    Raises:
        ConfigError: if the file cannot be run, describes another kind of network, or an override fits nothing in it.
    """
    try:
        tree = LazyConfig.load(str(config_file))
    except OSError as error:
        raise ConfigError(f"{config_file}: cannot read the configuration file ({error.strerror})") from error
    except Exception as error:
        raise ConfigError(f"{config_file}: running it failed ({type(error).__name__}: {error})") from error
    absent = [part for part in PARTS if part not in tree]
    if absent:
        raise ConfigError(f"{config_file}: a lazy configuration defines {', '.join(PARTS)}; it lacks {absent}")
    _apply_overrides(tree, config_file, overrides)
    _check_tree(tree, config_file)
    return tree


def config_from_lazy(
    architectures: Sequence[Architecture], config_file: Path, overrides: Sequence[str]
) -> tuple[CfgNode, Architecture]:
    """The project's configuration of a lazy one, and the record of its network.

    Raises:
        ConfigError: as `read_lazy_tree`, or for a key of the project that has no place here.
    """
    tree = read_lazy_tree(config_file, overrides)
    found = {ours: OmegaConf.select(tree, theirs) for ours, theirs in SHARED_KEYS.items()}
    leaves = [(config_file.name, key, value) for key, value in found.items() if value is not None]
    has_masks = "mask_head" in tree.model.roi_heads
    fixed = {"MODEL.MASK_ON": has_masks, "SOLVER.STEPS": []}
    if not has_masks:
        fixed["TEST.BEST_METRIC"] = "bbox/AP"
    leaves += [(config_file.name, key, value) for key, value in fixed.items()]
    own = [pair for pair in _pairs(overrides) if _is_own(pair[0])]
    cfg = config_from_leaves(
        architectures, config_file, leaves, [text for pair in own for text in pair], detectron2_tree=as_plain(get_cfg())
    )
    twin = next(architecture for architecture in architectures if architecture.has_detectron2_twin)
    return cfg, replace(twin, name=GeneralizedRCNN.__name__)


def _pairs(overrides: Sequence[str]) -> list[tuple[str, str]]:
    """(key, value) of KEY VALUE and KEY=VALUE; both may be mixed."""
    pairs, rest = [], list(overrides)
    while rest:
        text = rest.pop(0)
        key, equals, value = text.partition("=")
        if not equals and not rest:
            raise ConfigError(f"overrides come as KEY VALUE or KEY=VALUE; {text!r} has no value")
        pairs.append((key, value if equals else rest.pop(0)))
    return pairs


def _is_own(key: str) -> bool:
    return key not in SHARED_KEYS and key.startswith(OWN_PREFIXES)


def _apply_overrides(tree: DictConfig, config_file: Path, overrides: Sequence[str]) -> None:
    problems = []
    for given, text in _pairs(overrides):
        key = SHARED_KEYS.get(given, given)
        parent = OmegaConf.select(tree, key.rpartition(".")[0]) if "." in key else None
        if _is_own(given):
            continue
        if parent is None or (key.startswith("train.") and key not in SHARED_KEYS.values() and key not in _names(tree)):
            problems.append(f"{given}: no such key in this lazy configuration")
            continue
        try:
            LazyConfig.apply_overrides(tree, [f"{key}={_quoted(text)}"])
        except Exception as error:  # noqa: BLE001 (of three libraries, each with errors of its own)
            problems.append(f"{given}: {text!r} is not understood ({error})")
    if problems:
        raise_problems(ConfigError, problems, f"{config_file}: overrides")


def _names(tree: DictConfig) -> set[str]:
    return {f"train.{name}" for name in tree.train}


def _quoted(text: str) -> str:
    """A value for Hydra's grammar: a Python or YAML literal as it is, other text, such as a path, in quotes."""
    if text.lower() in ("true", "false", "null"):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        escaped = text.replace("'", "\\'")
        return f"'{escaped}'"
    return str(list(value)) if isinstance(value, tuple) else text


def _check_tree(tree: DictConfig, config_file: Path) -> None:
    problems = []
    target = tree.model.get("_target_")
    name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
    if name.rpartition(".")[2] != GeneralizedRCNN.__name__ or "roi_heads" not in tree.model:
        problems.append(f"model: {name} is not of the Mask R-CNN family; expected GeneralizedRCNN")
    elif "num_classes" not in tree.model.roi_heads:
        problems.append("model.roi_heads.num_classes: missing; it must be the number of classes of the data sets")
    if "keypoint_head" in tree.model.get("roi_heads", {}):
        problems.append("model.roi_heads.keypoint_head: keypoints are trained from YAML files only")
    if "sampler" in tree.dataloader.train:
        problems.append("dataloader.train.sampler: images come in the project's own order; remove it")
    if _crops_outlines(tree.dataloader.train.mapper) and not can_import("shapely"):
        problems.append(
            "dataloader.train.mapper: Detectron2 crops outlines with the package shapely, which is not installed; add "
            "dataloader.train.mapper.instance_mask_format=bitmask"
        )
    if problems:
        raise_problems(ConfigError, problems, f"{config_file}: not covered")


def _crops_outlines(mapper: DictConfig) -> bool:
    names = [str(OmegaConf.to_container(step).get("_target_")) for step in mapper.get("augmentations", [])]
    is_polygon = mapper.get("use_instance_mask", False) and mapper.get("instance_mask_format", "polygon") == "polygon"
    return is_polygon and any("Crop" in name for name in names)


class LazyTrainer(Trainer):
    """The project's trainer with the parts that a lazy configuration describes; see `make_lazy_trainer`."""

    tree: ClassVar[DictConfig]

    @classmethod
    def build_model(cls, cfg: Detectron2Node) -> nn.Module:
        """The network of the file, on MODEL.DEVICE."""
        return pool_in_float32(_build(cls.tree.model, "model")).to(cfg.MODEL.DEVICE)

    @classmethod
    def build_optimizer(cls, cfg: Detectron2Node, model: nn.Module) -> torch.optim.Optimizer:
        """The optimiser of the file over the parameters of `model`."""
        settings = copy.deepcopy(cls.tree.optimizer)
        settings.params.model = model
        return _build(settings, "optimizer")

    @classmethod
    def build_lr_scheduler(cls, cfg: Detectron2Node, optimizer: torch.optim.Optimizer) -> LRMultiplier:
        """The learning-rate schedule of the file."""
        return LRMultiplier(optimizer, _build(cls.tree.lr_multiplier, "lr_multiplier"), cfg.SOLVER.MAX_ITER)

    @classmethod
    def build_train_data(cls, cfg: Detectron2Node, architecture: Architecture) -> TrainingData:
        """DATASETS.TRAIN behind the training mapper of the file."""
        mapper = SeededMapper(_build(cls.tree.dataloader.train.mapper, "dataloader.train.mapper"))
        return TrainingData(cfg, architecture, mapper)

    @classmethod
    def build_test_loader(cls, cfg: Detectron2Node, dataset_name: str) -> DataLoader[Any]:
        """One pass over a dataset behind the test mapper of the file."""
        return build_test_data(cfg, dataset_name, _build(cls.tree.dataloader.test.mapper, "dataloader.test.mapper"))


def make_lazy_trainer(tree: DictConfig) -> type[LazyTrainer]:
    """A trainer class for the tree of `read_lazy_tree`."""
    return type(LazyTrainer.__name__, (LazyTrainer,), {"tree": tree})


def _build(settings: DictConfig, what: str) -> Any:
    """What a part of the tree describes.

    Raises:
        ConfigError: if it cannot be built, because of a wrong key or value.
    """
    try:
        return instantiate(settings)
    except Exception as error:
        raise ConfigError(
            f"{what} of the lazy configuration cannot be built ({type(error).__name__}: {error})"
        ) from error
