"""Brains of phantoms."""

import numpy as np
import pytest

from hc18.phantoms.brain import sketch_brain
from hc18.phantoms.scene import EARLY, LATE, MIDDLE, Stage, stage_of


def total_reflection(beam_pq: tuple[float, float], stage: Stage) -> float:
    sketches = [sketch_brain(np.random.default_rng(seed), beam_pq, 0.79, stage) for seed in range(6)]
    return float(np.mean([sketch.specular.sum() for sketch in sketches]))


def test_midline_is_brighter_across_the_beam_than_along_it() -> None:
    assert total_reflection((0.0, 1.0), MIDDLE) > 2.0 * total_reflection((1.0, 0.0), MIDDLE)


@pytest.mark.parametrize("stage", [EARLY, MIDDLE, LATE])
def test_sketch_ends_inside_the_skull(stage: Stage) -> None:
    sketch = sketch_brain(np.random.default_rng(0), (0.0, 1.0), 0.79, stage)
    angle = np.linspace(0.0, 2.0 * np.pi, 60, dtype=np.float32)[None, :]
    scatter_db, specular = sketch.sampled(np.cos(angle) * np.float32(1.05), np.sin(angle) * np.float32(1.05))
    assert np.abs(scatter_db).max() < 0.5
    assert np.abs(specular).max() < 0.5


@pytest.mark.parametrize(("hc_mm", "stage"), [(44.0, EARLY), (110.0, EARLY), (173.0, MIDDLE), (346.0, LATE)])
def test_stage_follows_the_circumference(hc_mm: float, stage: Stage) -> None:
    assert stage_of(hc_mm) is stage
