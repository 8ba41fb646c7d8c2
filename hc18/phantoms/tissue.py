"""Everything around a synthetic head: maternal tissue, amniotic fluid, the scanner's gain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hc18.phantoms.scene import EARLY, MIDDLE, HeadSettings, Scene, from_db, smooth_step, stage_of
from hc18.phantoms.speckle import smooth_field
from hc18.phantoms.view import PolarGrid

_FLUID_DB = (-36.0, -22.0)
_HEADLESS_REACH_MM = 15.0


def paint_tissue(grid: PolarGrid, rng: np.random.Generator) -> Scene:
    """Uterine wall, placenta and maternal tissue: smooth patches, fibres, bright streaks, layers under the skin."""
    depth_mm = float(grid.depth_mm[-1, 0])

    def texture(axial_mm: float, lateral_mm: float) -> NDArray[np.float32]:
        return smooth_field(rng, grid.shape, (max(int(depth_mm / axial_mm), 2), max(int(depth_mm / lateral_mm), 2)))

    patches_db = texture(18.0, 18.0) * np.float32(rng.uniform(3.0, 7.0))
    scatter_db = patches_db + texture(2.2, 7.0) * np.float32(rng.uniform(1.0, 4.5)) + np.float32(rng.uniform(-3.0, 4.0))
    streaks = np.maximum(texture(1.8, 6.0) - np.float32(0.9), 0.0)
    specular = streaks * from_db(2.0 * patches_db) * np.float32(rng.uniform(0.0, 3.0))
    near_mm = min(0.25 * depth_mm, 30.0)
    scatter_db += np.float32(6.0 * rng.random()) * np.exp(-grid.depth_mm / np.float32(near_mm))
    specular += _layers(grid, rng, near_mm)
    return Scene(scatter_db, specular, np.zeros(grid.shape, dtype=np.float32))


def _layers(grid: PolarGrid, rng: np.random.Generator, near_mm: float) -> NDArray[np.float32]:
    """Skin and fascia: thin bright lines along the probe, amplitude, float32 (depths, beams)."""
    n_beams = grid.shape[1]
    rows = int(np.searchsorted(grid.depth_mm[:, 0], near_mm * 1.2))
    depth_mm = grid.depth_mm[:rows] + smooth_field(rng, (max(rows, 1), n_beams), (2, 5))[:rows]
    lines = np.zeros(grid.shape, dtype=np.float32)
    for _ in range(int(rng.integers(0, 10))):
        thickness_mm = np.float32(rng.uniform(0.25, 0.7))
        course_mm = np.float32(rng.uniform(0.0, near_mm)) + 2.0 * smooth_field(rng, (1, n_beams), (1, 2))
        strength = np.float32(rng.uniform(0.3, 7.0)) * np.clip(smooth_field(rng, (1, n_beams), (1, 4)) + 0.3, 0.0, 2.0)
        lines[:rows] += np.exp(-(((depth_mm - course_mm) / thickness_mm) ** 2)) * strength
    return lines


def paint_cavity(
    scene: Scene, grid: PolarGrid, pixel_size_mm: float, head: HeadSettings | None, rng: np.random.Generator
) -> None:
    """Amniotic fluid: a warped ellipse of darkness with bright walls, reaching past the head at one or two sides."""
    stage = MIDDLE if head is None else stage_of(head.hc_mm)
    if rng.random() > stage.fluid_share:
        return
    reach_px = _HEADLESS_REACH_MM / pixel_size_mm if head is None else head.ellipse.semi_axis_a
    x0, y0 = float(grid.x_px.mean()), float(grid.y_px.mean())
    if head is not None:
        x0, y0 = head.ellipse.center_x, head.ellipse.center_y
    direction, roominess = rng.uniform(0.0, 2.0 * np.pi), 1.4 if stage is EARLY else 1.0
    x0 += reach_px * rng.uniform(0.1, 0.9) * np.cos(direction)
    y0 += reach_px * rng.uniform(0.0, 0.35) * np.sin(direction)
    turn = rng.normal(0.0, 0.3)
    long, short = roominess * reach_px * rng.uniform(1.0, 1.9), roominess * reach_px * rng.uniform(0.5, 1.05)
    dx, dy = grid.x_px - np.float32(x0), grid.y_px - np.float32(y0)
    u = (dx * np.float32(np.cos(turn)) + dy * np.float32(np.sin(turn))) / np.float32(long)
    v = (dy * np.float32(np.cos(turn)) - dx * np.float32(np.sin(turn))) / np.float32(short)
    level = np.sqrt(u * u + v * v) - np.float32(1.0) + np.float32(0.16) * smooth_field(rng, grid.shape, (2, 2))
    level += np.float32(0.03) * smooth_field(rng, grid.shape, (5, 6))
    fluid = np.float32(1.0) - smooth_step(level, 0.02)
    wall = np.exp(-((level / np.float32(0.012)) ** 2)) * _facing(level, grid.step_mm / (short * pixel_size_mm))
    scene.replace(fluid, np.float32(rng.uniform(*_FLUID_DB)) * np.ones_like(fluid), np.float32(0.0))
    scene.specular += wall * np.float32(rng.uniform(1.0, 12.0))
    scene.loss_db -= np.minimum(np.cumsum(fluid, axis=0) * np.float32(grid.step_mm * 0.2), np.float32(7.0))


def _facing(level: NDArray[np.float32], step: float) -> NDArray[np.float32]:
    """1 where a wall of constant `level` lies across the beam, 0 where it runs along; `step` = level per sample."""
    slope = np.zeros_like(level)
    slope[1:] = np.abs(level[1:] - level[:-1]) / np.float32(step)
    return np.asarray(np.minimum(slope, 1.0) ** 6, dtype=np.float32)


def gain_error_db(grid: PolarGrid, rng: np.random.Generator) -> NDArray[np.float32]:
    """Loss that time-gain compensation leaves, dB: bands in depth, poor contact, darker flanks, darker far field."""
    n_depths, n_beams = grid.shape
    bands = smooth_field(rng, (n_depths, 1), (5, 1)) * np.float32(rng.uniform(0.5, 2.5))
    contact = smooth_field(rng, (1, n_beams), (1, 6)) * np.float32(rng.uniform(0.0, 3.0))
    across = np.abs(np.linspace(-1.0, 1.0, n_beams, dtype=np.float32))[None, :]
    down = np.linspace(-0.5, 0.5, n_depths, dtype=np.float32)[:, None]
    far = np.float32(rng.uniform(0.0, 8.0)) * down
    return np.asarray(bands + contact + np.float32(rng.uniform(0.0, 14.0)) * across**3 + far, dtype=np.float32)
