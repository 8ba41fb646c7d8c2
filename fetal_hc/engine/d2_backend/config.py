"""The project's configuration as Detectron2's CfgNode."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode as Detectron2Node
from detectron2.config import get_cfg

from fetal_hc.engine.architecture import Architecture
from fetal_hc.engine.config import CfgNode, get_default_config


def add_config(cfg: Detectron2Node, architectures: Sequence[Architecture]) -> None:
    """Adds the keys that Detectron2 lacks, with their defaults, to its tree (as its projects' `add_*_config` do)."""
    _add_missing(cfg, get_default_config(architectures).to_dict())


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
