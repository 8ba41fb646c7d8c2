"""Reading a configuration: defaults, then `_BASE_` files, then the file, then `KEY VALUE` overrides.

Anything this engine does not cover is an error, never a silent default (unknown key, unknown value, wrong type).
YAML is read with the safe loader only: a tag that would construct an object is refused.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from face_mask.training.config import FACE_MASK_KEYS, RCNN_PREFIXES, find_conflicts
from fetal_hc.engine.config.defaults import CHOICES, DETECTRON2_DEFAULTS, FIXED_VALUES, IGNORED_PREFIXES, OWN_KEYS
from fetal_hc.engine.config.node import CfgNode
from fetal_hc.errors import ConfigError
from hc18.training.config import REFINER_KEYS

BASE_KEY = "_BASE_"


def get_default_config() -> CfgNode:
    """The complete, unfrozen tree of defaults. It names no architecture: a file must choose one."""
    cfg = CfgNode(DETECTRON2_DEFAULTS)
    _add_own_keys(cfg, OWN_KEYS)
    _add_own_keys(cfg, FACE_MASK_KEYS)
    _add_own_keys(cfg, REFINER_KEYS)
    return cfg.clone()


def load_config(config_file: str | Path, overrides: Sequence[str] = ()) -> CfgNode:
    """The frozen configuration of a YAML file with `KEY VALUE KEY VALUE ...` overrides applied last.

    Raises:
        ConfigError: the file or a `_BASE_` is missing or not YAML, or keys or values are not covered (all listed).
    """
    path = Path(config_file)
    cfg = get_default_config()
    problems: list[str] = []
    for source, key, value in _file_leaves(path, ()):
        _apply(cfg, key, value, source, problems)
    if len(overrides) % 2:
        raise ConfigError(f"overrides come as pairs KEY VALUE; {overrides[-1]!r} has no value")
    for key, text in zip(overrides[::2], overrides[1::2], strict=True):
        _apply(cfg, key, text, "command line", problems)
    if not problems:
        problems = _check_values(cfg)
    if problems:
        raise ConfigError(f"{path}: {len(problems)} problem(s) in the configuration:\n  " + "\n  ".join(problems))
    return cfg.freeze()


def dump_config(cfg: CfgNode) -> str:
    """The whole tree as YAML text, readable again by `load_config`."""
    return yaml.safe_dump(cfg.to_dict(), sort_keys=True, default_flow_style=None, width=120)


def _add_own_keys(node: CfgNode, tree: dict[str, Any]) -> None:
    for key, value in tree.items():
        if isinstance(value, dict) and key in node:
            _add_own_keys(node[key], value)
        else:
            node[key] = CfgNode(value) if isinstance(value, dict) else value


def _file_leaves(path: Path, parents: tuple[Path, ...]) -> list[tuple[str, str, Any]]:
    """(source file, dotted key, raw value) of a file and its bases, bases first."""
    path = path.resolve()
    if path in parents:
        chain = " -> ".join(p.name for p in (*parents, path))
        raise ConfigError(f"{path}: {BASE_KEY} files refer to each other in a circle: {chain}")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the configuration file ({error.strerror}); check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a plain YAML file: {error}; remove tags such as !!python/...") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected a YAML mapping of configuration keys, got {type(tree).__name__}")
    base = tree.pop(BASE_KEY, None)
    leaves = [] if base is None else _file_leaves(path.parent / str(base), (*parents, path))
    leaves.extend((path.name, key, value) for key, value in _flatten(tree, ""))
    return leaves


def _flatten(tree: dict[str, Any], prefix: str) -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for key, value in tree.items():
        dotted = f"{prefix}{key}"
        leaves.extend(_flatten(value, f"{dotted}.") if isinstance(value, dict) else [(dotted, value)])
    return leaves


def _apply(cfg: CfgNode, key: str, raw: Any, source: str, problems: list[str]) -> None:
    value = _decode(raw)
    if key in FIXED_VALUES:
        if value != FIXED_VALUES[key]:
            only = FIXED_VALUES[key]
            problems.append(
                f"{source}: {key}: {value!r} is known to Detectron2 only, not covered by the built-in engine; a config "
                f"for both has {only!r}"
            )
        return
    *parents, leaf = key.split(".")
    node: Any = cfg
    for part in parents:
        node = node.get(part) if isinstance(node, CfgNode) else None
    if not isinstance(node, CfgNode) or leaf not in node or isinstance(node[leaf], CfgNode):
        if any(key.startswith(prefix) for prefix in IGNORED_PREFIXES):
            return
        close = difflib.get_close_matches(key, [name for name, _ in cfg.leaves()], n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        problems.append(f"{source}: {key}: unknown configuration key{hint}")
        return
    try:
        node[leaf] = _convert(value, node[leaf], key)
    except TypeError as error:
        problems.append(f"{source}: {key}: {error}")


def _decode(raw: Any) -> Any:
    """Detectron2's habit: text that is a Python literal, such as "(60000, 80000)", means that literal."""
    if isinstance(raw, str):
        try:
            raw = ast.literal_eval(raw)
        except (ValueError, SyntaxError):
            return raw
    return _lists(raw)


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, (tuple, list)) else value


def _convert(value: Any, default: Any, key: str) -> Any:
    """The value in the type of the default; list-like keys accept one bare number, as Detectron2's do."""
    if default is None or value is None:
        if key != "SOLVER.WEIGHT_DECAY_BIAS" or not (value is None or isinstance(value, (int, float))):
            raise TypeError(f"{value!r} is not allowed here; expected {type(default).__name__}")
        return value
    if isinstance(default, bool) != isinstance(value, bool):
        raise TypeError(f"{value!r} is not a {type(default).__name__}")
    if isinstance(default, float) and isinstance(value, int):
        return float(value)
    if isinstance(default, list) and key in ("INPUT.MIN_SIZE_TRAIN",) and isinstance(value, int):
        return [value]
    if isinstance(default, int) and isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(default, str) and not isinstance(value, str):
        return str(value)
    if type(value) is not type(default):
        raise TypeError(f"{value!r} is not a {type(default).__name__}")
    return value


def _check_values(cfg: CfgNode) -> list[str]:
    problems: list[str] = []
    leaves = dict(cfg.leaves())
    unread = () if cfg.MODEL.META_ARCHITECTURE == "GeneralizedRCNN" else RCNN_PREFIXES
    for key, allowed in CHOICES.items():
        if leaves[key] not in allowed and not key.startswith(unread):
            problems.append(f"{key}: {leaves[key]!r} is not covered by this engine; allowed: {list(allowed)}")
    late = [step for step in cfg.SOLVER.STEPS if step >= cfg.SOLVER.MAX_ITER]
    if late and cfg.SOLVER.LR_SCHEDULER_NAME == "WarmupMultiStepLR":
        problems.append(f"SOLVER.STEPS: {late} are not before SOLVER.MAX_ITER {cfg.SOLVER.MAX_ITER}; shorten STEPS")
    if cfg.MODEL.RESNETS.DEPTH in (18, 34) and cfg.MODEL.RESNETS.RES2_OUT_CHANNELS != 64:
        problems.append("MODEL.RESNETS.RES2_OUT_CHANNELS: must be 64 for ResNet-18 and ResNet-34")
    for name, low in (("ANCHOR_GENERATOR.SIZES", 1), ("ANCHOR_GENERATOR.ASPECT_RATIOS", 1)):
        count = len(leaves[f"MODEL.{name}"])
        if count not in (low, len(cfg.MODEL.RPN.IN_FEATURES)):
            problems.append(f"MODEL.{name}: {count} lists for {len(cfg.MODEL.RPN.IN_FEATURES)} RPN.IN_FEATURES")
    for key in ("SOLVER.MAX_ITER", "SOLVER.IMS_PER_BATCH", "MODEL.ROI_HEADS.NUM_CLASSES"):
        if leaves[key] < 1:
            problems.append(f"{key}: {leaves[key]} must be at least 1")
    return problems + find_conflicts(cfg)
