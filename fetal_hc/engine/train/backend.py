"""The choice of the engine that trains a configuration: the built-in one, or Detectron2 where it can be imported."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fetal_hc.engine.architecture import Architecture
from fetal_hc.engine.config import CfgNode
from fetal_hc.errors import ConfigError

ENGINES = ("auto", "builtin", "detectron2")
INSTALL_GUIDE = "https://detectron2.readthedocs.io/en/latest/tutorials/install.html"

# Keys that only the built-in engine acts upon, and their value that asks for nothing.
BUILTIN_ONLY: dict[str, Any] = {
    "SOLVER.PLATEAU.PATIENCE": 0,
    "SOLVER.EARLY_STOPPING.PATIENCE": 0,
    "TEST.ENSEMBLE": [],
    "TEST.LOSSES": False,
}


@dataclass(frozen=True)
class EngineChoice:
    """An engine ("builtin" or "detectron2") and, for the log, why it was chosen."""

    name: str
    reason: str


def find_import_problem() -> str:
    """What keeps Detectron2 from being imported; empty when it is there. It is imported by this."""
    if importlib.util.find_spec("detectron2") is None:
        return "detectron2 is not installed"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on import it warns of its own use of old torch functions
            importlib.import_module("detectron2.modeling")
            importlib.import_module("detectron2.engine")
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return f"detectron2 is installed but cannot be imported ({type(error).__name__}: {error})"
    return ""


def choose_engine(
    requested: str,
    cfg: CfgNode,
    architecture: Architecture,
    earlier: str | None = None,
    *,
    find_import_problem: Callable[[], str] = find_import_problem,
) -> EngineChoice:
    """The engine to use.

    "auto" is the engine of the training that is resumed; otherwise Detectron2, if it can be imported and covers the
    configuration, else the built-in engine.

    Args:
        requested: one of ENGINES.
        cfg: the configuration to train or evaluate.
        architecture: its model.
        earlier: engine of the training to be resumed; None when none is.
        find_import_problem: what keeps Detectron2 from being imported; empty when it can be.

    Raises:
        ConfigError: if the requested engine is unknown, cannot be imported, does not cover the configuration, or is
            not the one that began the training.
    """
    if requested not in ENGINES:
        raise ConfigError(f"--engine {requested}: unknown; expected one of {', '.join(ENGINES)}")
    if earlier is not None and requested not in ("auto", earlier):
        raise ConfigError(
            f"--engine {requested}: OUTPUT_DIR {cfg.OUTPUT_DIR} holds a training of the engine {earlier}, which alone "
            f"can resume it; use --engine {earlier}, or start again in another OUTPUT_DIR with MODEL.WEIGHTS set to "
            "its checkpoint"
        )
    if "builtin" in (requested, earlier):
        return EngineChoice("builtin", "asked for" if requested == "builtin" else "it began this training")
    obstacles = _find_obstacles(cfg, architecture, find_import_problem)
    if not obstacles:
        reason = "it is installed" if requested == "auto" else "asked for"
        return EngineChoice("detectron2", reason if earlier is None else "it began this training")
    if requested == "auto" and earlier is None:
        return EngineChoice("builtin", "; ".join(obstacles))
    raise ConfigError(
        f"the engine detectron2 cannot be used: {'; '.join(obstacles)}; --engine builtin reads the same config"
    )


def _find_obstacles(cfg: CfgNode, architecture: Architecture, find_import_problem: Callable[[], str]) -> list[str]:
    """Why Detectron2 cannot train this configuration here; empty when it can."""
    if not architecture.has_detectron2_twin:
        return [f"MODEL.META_ARCHITECTURE {architecture.name} is a model of the built-in engine alone"]
    leaves = dict(cfg.leaves())
    obstacles = [
        f"{key} {leaves[key]} is a key of the built-in engine alone (here {off} is possible)"
        for key, off in BUILTIN_ONLY.items()
        if leaves.get(key, off) != off
    ]
    problem = find_import_problem()
    return [*obstacles, f"{problem}; its installation guide: {INSTALL_GUIDE}"] if problem else obstacles
