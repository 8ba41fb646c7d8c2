"""Reading a configuration: defaults, then `_BASE_` files, then the file, then `KEY VALUE` overrides.

Anything this engine does not cover is an error, never a silent default (unknown key, unknown value, wrong type).
YAML is read with the safe loader only: a tag that would construct an object is refused.
"""

from __future__ import annotations

import ast
import copy
import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from fetal_hc.engine.architecture import Architecture, find_architecture
from fetal_hc.engine.config.defaults import CHOICES, DETECTRON2_DEFAULTS, FIXED_VALUES, IGNORED_PREFIXES, OWN_KEYS, Key
from fetal_hc.engine.config.node import CfgNode
from fetal_hc.errors import ConfigError
from fetal_hc.io.documents import parse_yaml

BASE_KEY = "_BASE_"
# File in OUTPUT_DIR that holds the configuration of the training.
CONFIG_NAME = "config.yaml"


def get_default_config(architectures: Sequence[Architecture]) -> CfgNode:
    """The complete, unfrozen tree of defaults: Detectron2's keys, the engine's own, and those of `architectures`."""
    return _plain_tree(_merged_keys(architectures))


def load_config(
    architectures: Sequence[Architecture],
    config_file: str | Path,
    overrides: Sequence[str] = (),
    *,
    detectron2_tree: Mapping[str, Any] | None = None,
) -> CfgNode:
    """The frozen configuration of a YAML file with `KEY VALUE KEY VALUE ...` overrides applied last.

    Args:
        architectures: the models to choose from with MODEL.META_ARCHITECTURE; their keys are part of the tree.
        config_file: YAML file.
        overrides: keys and values as on a command line.
        detectron2_tree: the defaults of an installed Detectron2, when it is to train: all its keys and their values are
            then allowed, and Detectron2 itself has to understand them.

    Raises:
        ConfigError: the file or a `_BASE_` is missing or not YAML, or keys or values are not covered (all listed).
    """
    path = Path(config_file)
    return config_from_leaves(architectures, path, _file_leaves(path, ()), overrides, detectron2_tree=detectron2_tree)


def config_from_leaves(
    architectures: Sequence[Architecture],
    path: Path,
    leaves: Sequence[tuple[str, str, Any]],
    overrides: Sequence[str] = (),
    *,
    detectron2_tree: Mapping[str, Any] | None = None,
) -> CfgNode:
    """The frozen configuration of values that have been read from `path`.

    Args:
        architectures: see `load_config`.
        path: for messages.
        leaves: (source for messages, dotted key, value); later ones win.
        overrides: see `load_config`.
        detectron2_tree: see `load_config`.

    Raises:
        ConfigError: keys or values are not covered (all listed).
    """
    keys = _merged_keys(architectures, detectron2_tree or {})
    cfg = _plain_tree(keys)
    is_closed = detectron2_tree is None
    types = {name: key.types for name, key in _flatten(keys, "") if isinstance(key, Key)}
    problems: list[str] = []
    for source, key, value in leaves:
        _apply(cfg, types, key, value, source, problems, is_closed=is_closed)
    if len(overrides) % 2:
        raise ConfigError(f"overrides come as pairs KEY VALUE; {overrides[-1]!r} has no value")
    for key, text in zip(overrides[::2], overrides[1::2], strict=True):
        _apply(cfg, types, key, text, "command line", problems, is_closed=is_closed)
    if not problems:
        problems = _check_values(cfg, architectures if is_closed else ())
    if problems:
        raise ConfigError(f"{path}: {len(problems)} problem(s) in the configuration:\n  " + "\n  ".join(problems))
    return cfg.freeze()


def dump_config(cfg: CfgNode) -> str:
    """The whole tree as YAML text, readable again by `load_config`."""
    return yaml.safe_dump(cfg.to_dict(), sort_keys=True, default_flow_style=None, width=120)


def _merged_keys(
    architectures: Sequence[Architecture], detectron2_tree: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """All defaults in one tree, some still wrapped in `Key`."""
    merged: dict[str, Any] = {}
    own = [tree for architecture in architectures for tree in architecture.config]
    for tree in (detectron2_tree, DETECTRON2_DEFAULTS, OWN_KEYS, *own):
        _merge(merged, tree)
    return merged


def _merge(tree: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping):
            _merge(tree.setdefault(key, {}), value)
        else:
            tree[key] = value


def _plain_tree(keys: Mapping[str, Any]) -> CfgNode:
    """A configuration of its own from a tree of defaults."""
    tree = CfgNode()
    for key, value in keys.items():
        value = value.default if isinstance(value, Key) else value
        tree[key] = _plain_tree(value) if isinstance(value, Mapping) else copy.deepcopy(value)
    return tree


# What Detectron2's model zoo lets Python compute, in Base-RetinaNet.yaml, and its value; blanks do not count.
_EXPRESSION = re.compile(r'!!python/object/apply:eval\s*\["([^"]*)"\]')
_ZOO_EXPRESSIONS = {
    "[[x,x*2**(1.0/3),x*2**(2.0/3)]forxin[32,64,128,256,512]]": [
        [x, x * 2 ** (1.0 / 3), x * 2 ** (2.0 / 3)] for x in (32, 64, 128, 256, 512)
    ],
}


def _replace_expression(found: re.Match[str]) -> str:
    """The value of a known expression as YAML; others stay, and are refused with the tag that they stand behind."""
    value = _ZOO_EXPRESSIONS.get("".join(found[1].split()))
    return found[0] if value is None else str(value)


def _file_leaves(path: Path, parents: tuple[Path, ...]) -> list[tuple[str, str, Any]]:
    """(source file, dotted key, raw value) of a file and its bases, bases first."""
    path = path.resolve()
    if path.suffix == ".py":
        twin = path.with_suffix(".yaml")
        remedy = f"take {twin}, which describes the same" if twin.is_file() else "write the network as YAML"
        raise ConfigError(
            f"{path}: a lazy configuration is Python code, which only `fetal-hc train --engine detectron2` runs, "
            f"where Detectron2 is installed; {remedy}"
        )
    if path in parents:
        chain = " -> ".join(p.name for p in (*parents, path))
        raise ConfigError(f"{path}: {BASE_KEY} files refer to each other in a circle: {chain}")
    try:
        tree = parse_yaml(_EXPRESSION.sub(_replace_expression, path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the configuration file ({error.strerror}); check the path") from error
    except ValueError as error:  # also text that is not UTF-8
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


def _apply(
    cfg: CfgNode,
    types: Mapping[str, tuple[type, ...]],
    key: str,
    raw: Any,
    source: str,
    problems: list[str],
    *,
    is_closed: bool,
) -> None:
    """Sets one key, or adds to `problems` why it cannot be set; `is_closed` refuses what Detectron2 alone knows."""
    value = _decode(raw)
    if is_closed and key in FIXED_VALUES:
        if value != FIXED_VALUES[key]:
            only = FIXED_VALUES[key]
            problems.append(
                f"{source}: {key}: {value!r} is known to Detectron2 only, not covered by the built-in engine; a config "
                f"for both has {only!r}, and --engine detectron2 takes all values where Detectron2 is installed"
            )
        return
    *parents, leaf = key.split(".")
    node: Any = cfg
    for part in parents:
        node = node.get(part) if isinstance(node, CfgNode) else None
    if not isinstance(node, CfgNode) or leaf not in node or isinstance(node[leaf], CfgNode):
        if is_closed and any(key.startswith(prefix) for prefix in IGNORED_PREFIXES):
            return
        close = difflib.get_close_matches(key, [name for name, _ in cfg.leaves()], n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        problems.append(f"{source}: {key}: unknown configuration key{hint}")
        return
    try:
        node[leaf] = _convert(value, node[leaf], types.get(key, ()))
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


def _convert(value: Any, default: Any, types: tuple[type, ...]) -> Any:
    """The value in the type of the default, or in one of `types` where a key names some.

    Raises:
        TypeError: if it has another type.
    """
    if types:
        if not isinstance(value, types) or isinstance(value, bool):
            raise TypeError(f"{value!r} is not one of {', '.join(kind.__name__ for kind in types)}")
        return [value] if list in types and not isinstance(value, list) else value
    if value is None:
        raise TypeError(f"{value!r} is not allowed here; expected {type(default).__name__}")
    if isinstance(default, bool) != isinstance(value, bool):
        raise TypeError(f"{value!r} is not a {type(default).__name__}")
    if isinstance(default, float) and isinstance(value, int):
        return float(value)
    if isinstance(default, int) and isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(default, str) and not isinstance(value, str):
        return str(value)
    if type(value) is not type(default):
        raise TypeError(f"{value!r} is not a {type(default).__name__}")
    return value


def _check_values(cfg: CfgNode, architectures: Sequence[Architecture]) -> list[str]:
    """One message for every value, or combination of values, that cannot be trained."""
    names = tuple(architecture.name for architecture in architectures)
    own = {key for key, _ in _flatten(OWN_KEYS, "")}
    choices = {key: allowed for key, allowed in CHOICES.items() if names or key in own}
    problems = _find_other_values(cfg, {**choices, **({"MODEL.META_ARCHITECTURE": names} if names else {})})
    late = [step for step in cfg.SOLVER.STEPS if step >= cfg.SOLVER.MAX_ITER]
    if late and cfg.SOLVER.LR_SCHEDULER_NAME == "WarmupMultiStepLR":
        problems.append(f"SOLVER.STEPS: {late} are not before SOLVER.MAX_ITER {cfg.SOLVER.MAX_ITER}; shorten STEPS")
    counts = (("SOLVER.MAX_ITER", cfg.SOLVER.MAX_ITER), ("SOLVER.IMS_PER_BATCH", cfg.SOLVER.IMS_PER_BATCH))
    for key, value in (*counts, ("TEST.IMS_PER_BATCH", cfg.TEST.IMS_PER_BATCH)):
        if value < 1:
            problems.append(f"{key}: {value} must be at least 1")
    problems += _find_patience_problems(cfg)
    if cfg.MODEL.META_ARCHITECTURE not in names:
        return problems
    chosen = find_architecture(architectures, cfg.MODEL.META_ARCHITECTURE)
    return problems + _find_other_values(cfg, chosen.choices) + chosen.check_config(cfg)


def _find_other_values(cfg: CfgNode, choices: Mapping[str, tuple[Any, ...]]) -> list[str]:
    leaves = dict(cfg.leaves())
    return [
        f"{key}: {leaves[key]!r} is not covered by this engine; allowed: {list(allowed)}"
        for key, allowed in choices.items()
        if leaves[key] not in allowed
    ]


def _find_patience_problems(cfg: CfgNode) -> list[str]:
    problems = []
    for key in ("PLATEAU", "EARLY_STOPPING"):
        patience = cfg.SOLVER[key].PATIENCE
        if patience < 0:
            problems.append(f"SOLVER.{key}.PATIENCE: {patience} must be 0 (off) or a number of evaluations")
        elif patience and (not cfg.TEST.EVAL_PERIOD or not cfg.DATASETS.TEST):
            problems.append(f"SOLVER.{key} waits for evaluations; set TEST.EVAL_PERIOD and DATASETS.TEST")
    if not 0.0 < cfg.SOLVER.PLATEAU.FACTOR < 1.0:
        problems.append(f"SOLVER.PLATEAU.FACTOR: {cfg.SOLVER.PLATEAU.FACTOR} must lie between 0 and 1")
    return problems
