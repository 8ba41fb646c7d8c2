"""The best evaluation of a training so far (best.json), and the patience with those that were not better."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.train import distributed
from fetal_hc.errors import ConfigError
from fetal_hc.io.atomic import write_text_atomic

BEST_RECORD_NAME = "best.json"

logger = logging.getLogger(__name__)


def update_best_record(cfg: CfgNode, flat_results: Mapping[str, float], iteration: int) -> bool:
    """Whether TEST.BEST_METRIC beats the best so far, as process 0 finds; if so, best.json in OUTPUT_DIR says it.

    Args:
        cfg: reads TEST.BEST_METRIC, TEST.BEST_MODE and OUTPUT_DIR.
        flat_results: metrics as "task/metric".
        iteration: 0-based, of the evaluated weights.

    Raises:
        ConfigError: if the metric was not evaluated.
    """
    name, mode = cfg.TEST.BEST_METRIC, cfg.TEST.BEST_MODE
    if name not in flat_results:
        raise ConfigError(f"TEST.BEST_METRIC: {name!r} was not evaluated; expected one of {sorted(flat_results)}")
    path, value = Path(cfg.OUTPUT_DIR) / BEST_RECORD_NAME, flat_results[name]
    best = json.loads(path.read_text(encoding="utf-8"))["value"] if path.is_file() else None
    is_better = best is None or (value > best if mode == "max" else value < best)
    is_best = bool(distributed.all_gather_objects(math.isfinite(value) and is_better)[0])
    if is_best and distributed.is_main():
        record = {"metric": name, "mode": mode, "value": value, "iteration": iteration}
        write_text_atomic(path, json.dumps(record, indent=2) + "\n")
        logger.info("best %s so far: %.4f", name, value)
    return is_best


class Patience:
    """Counts evaluations since the last better TEST.BEST_METRIC and since the learning rates were last lowered.

    Args:
        solver: the node SOLVER; reads PLATEAU.PATIENCE and EARLY_STOPPING.PATIENCE, 0 = wait for ever.
    """

    def __init__(self, solver: CfgNode) -> None:
        self._plateau: int = solver.PLATEAU.PATIENCE
        self._stop: int = solver.EARLY_STOPPING.PATIENCE
        self.n_since_best = 0
        self.n_since_lowered = 0

    @property
    def is_exhausted(self) -> bool:
        """Whether the training should end."""
        return bool(self._stop) and self.n_since_best >= self._stop

    def record(self, is_best: bool) -> bool:
        """Takes in one evaluation; returns whether the learning rates should be lowered now."""
        self.n_since_best = 0 if is_best else self.n_since_best + 1
        self.n_since_lowered = 0 if is_best else self.n_since_lowered + 1
        is_plateau = bool(self._plateau) and self.n_since_lowered >= self._plateau
        if is_plateau:
            self.n_since_lowered = 0
        return is_plateau

    def state_dict(self) -> dict[str, int]:
        """Both counters; nothing when nobody waits for them."""
        if not (self._plateau or self._stop):
            return {}
        return {"n_since_best": self.n_since_best, "n_since_lowered": self.n_since_lowered}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Returns to saved counters; to none when nothing was saved."""
        self.n_since_best, self.n_since_lowered = state.get("n_since_best", 0), state.get("n_since_lowered", 0)
