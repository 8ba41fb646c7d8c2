"""How long a training has not improved: lower the learning rate, and in the end stop."""

from __future__ import annotations

from fetal_hc.engine.config import CfgNode


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
