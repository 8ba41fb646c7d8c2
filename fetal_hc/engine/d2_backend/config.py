"""The project's configuration as Detectron2's CfgNode."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode as Detectron2Node
from detectron2.config import get_cfg

from fetal_hc.engine.architecture import Architecture
from fetal_hc.engine.config import CfgNode, get_default_config, load_config
from fetal_hc.errors import ConfigError, raise_problems


def add_config(cfg: Detectron2Node, architectures: Sequence[Architecture]) -> None:
    """Adds the keys that Detectron2 lacks, with their defaults, to its tree (as its projects' `add_*_config` do)."""
    _add_missing(cfg, get_default_config(architectures).to_dict())


# Values of Detectron2 that the project's data pipeline and loop do not act upon; they are refused, never ignored.
_NOT_ACTED_UPON: dict[str, Any] = {
    "MODEL.LOAD_PROPOSALS": False,
    "DATALOADER.SAMPLER_TRAIN": "TrainingSampler",
    "SOLVER.REFERENCE_WORLD_SIZE": 0,
    "TEST.AUG.ENABLED": False,
    "TEST.PRECISE_BN.ENABLED": False,
}
# Boxes come from each of them as `Instances`.
_DETECTORS = ("GeneralizedRCNN", "PanopticFPN", "RetinaNet")


def read_config(
    architectures: Sequence[Architecture], config_file: Path, overrides: Sequence[str]
) -> tuple[CfgNode, Architecture]:
    """A configuration with any key and value of Detectron2, for its engine alone, and the record of its network.

    The record has the data sets and evaluators of the network that both engines know.

    Raises:
        ConfigError: as `load_config`, or for a network that gives no boxes or an option that would be ignored.
    """
    cfg = load_config(architectures, config_file, overrides, detectron2_tree=as_plain(get_cfg())).clone()
    name, leaves = cfg.MODEL.META_ARCHITECTURE, dict(cfg.leaves())
    problems = [
        f"{key}: {leaves[key]!r} is not acted upon here; expected {only!r}"
        for key, only in _NOT_ACTED_UPON.items()
        if leaves[key] != only
    ]
    if name not in _DETECTORS:
        problems.append(f"MODEL.META_ARCHITECTURE: {name} gives no boxes to evaluate; expected one of {_DETECTORS}")
    if cfg.INPUT.CROP.ENABLED and cfg.MODEL.MASK_ON and not can_import("shapely"):
        problems.append("INPUT.CROP.ENABLED: Detectron2 cuts outlines with the package shapely, which is not installed")
    if problems:
        raise_problems(ConfigError, problems, f"{config_file}: not covered, even with --engine detectron2")
    if not cfg.MODEL.MASK_ON and cfg.TEST.BEST_METRIC == "segm/AP":  # the default
        cfg.TEST.BEST_METRIC = "bbox/AP"
    twin = next(architecture for architecture in architectures if architecture.has_detectron2_twin)
    count_key = "MODEL.RETINANET.NUM_CLASSES" if name == "RetinaNet" else twin.class_count_key
    return cfg.freeze(), replace(twin, name=name, class_count_key=count_key)


def needs_own_mapper(cfg: Detectron2Node) -> bool:
    """Whether samples need what the project's mapper lacks: keypoints, semantic labels, random crops, bit masks."""
    return bool(
        cfg.MODEL.KEYPOINT_ON
        or cfg.MODEL.META_ARCHITECTURE == "PanopticFPN"
        or cfg.INPUT.CROP.ENABLED
        or cfg.INPUT.MASK_FORMAT != "polygon"
    )


def can_import(name: str) -> bool:
    """Whether a module is there and imports."""
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def as_plain(node: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dictionaries, with lists for tuples."""
    return {key: as_plain(value) if isinstance(value, Mapping) else _as_lists(value) for key, value in node.items()}


def _as_lists(value: Any) -> Any:
    return [_as_lists(item) for item in value] if isinstance(value, list | tuple) else value


def to_detectron2_config(cfg: CfgNode) -> Detectron2Node:
    """The frozen tree that Detectron2 works with: its own defaults, our keys, and every value of `cfg`.

    Files are read by `fetal_hc.engine.config.load_config`, safely and with the project's messages; Detectron2's own
    `merge_from_file` on the same file gives the same tree.
    """
    theirs = get_cfg()
    _add_missing(theirs, cfg.to_dict())
    _assign(theirs, cfg)
    if theirs.INPUT.RANDOM_FLIP == "both":  # in older configurations
        theirs.INPUT.RANDOM_FLIP, theirs.INPUT.AUG.VERTICAL_FLIP = "horizontal", True
    theirs.freeze()
    return theirs


def _assign(node: Detectron2Node, tree: CfgNode) -> None:
    """Copies all values; what Detectron2 keeps as a tuple stays one."""
    for key, value in tree.items():
        if isinstance(value, CfgNode):
            _assign(node[key], value)
        else:
            node[key] = tuple(value) if isinstance(node[key], tuple) else copy.deepcopy(value)


def _add_missing(node: Detectron2Node, tree: dict[str, Any]) -> None:
    for key, value in tree.items():
        if key not in node:
            node[key] = Detectron2Node(value) if isinstance(value, dict) else value
        elif isinstance(value, dict):
            _add_missing(node[key], value)
