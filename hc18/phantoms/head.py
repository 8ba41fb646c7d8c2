"""The head of a synthetic scan: skull, scalp, brain and the shadow of the bone."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hc18.phantoms.brain import sketch_brain
from hc18.phantoms.scene import HeadSettings, Scene, from_db, smooth_step, stage_of
from hc18.phantoms.speckle import periodic_table, smooth_field
from hc18.phantoms.view import PolarGrid

_STEERING = 0.5  # compounded beams come from several directions, so the walls see less of the fan's opening
_MAX_SHADOW_DB = 34.0


@dataclass(frozen=True, slots=True)
class _HeadFrame:
    """Head coordinates of every sample, float32 (depths, beams) except `angle_index`.

    Attributes:
        p, q: along the major and minor axis; the skull's outer edge is the unit circle.
        distance_mm: signed distance from the skull's outer edge, its irregularity included, positive outside.
        angle_index: position along the outline, index into tables of `periodic_table`.
        incidence: cosine between the beam and the outline's normal.
    """

    p: NDArray[np.float32]
    q: NDArray[np.float32]
    distance_mm: NDArray[np.float32]
    angle_index: NDArray[np.intp]
    incidence: NDArray[np.float32]


def paint_head(scene: Scene, grid: PolarGrid, head: HeadSettings, rng: np.random.Generator) -> None:
    """Puts a head over what the scene holds already."""
    stage = stage_of(head.hc_mm)
    frame = _head_frame(grid, head, rng)
    from_skull_mm = frame.distance_mm + np.float32(stage.skull_depth_mm)
    brain_db, brain_lines = _brain(frame, grid, head, rng)
    scene.replace(np.float32(1.0) - smooth_step(from_skull_mm, 0.4), brain_db, brain_lines)
    _paint_scalp(scene, frame, head, rng)
    _paint_skull(scene, frame, from_skull_mm, head, rng)
    bone = np.exp(-((from_skull_mm / np.float32(0.7)) ** 2))
    path_mm = (np.cumsum(bone, axis=0) - np.float32(0.5) * bone) * np.float32(grid.step_mm)
    shadow_db = np.minimum(path_mm * np.float32(head.shadow * stage.bone_db_per_mm), np.float32(_MAX_SHADOW_DB))
    scene.loss_db += cv2.GaussianBlur(shadow_db, (0, 0), sigmaX=1.2 * grid.lateral_sigma, sigmaY=0.1)


def _head_frame(grid: PolarGrid, head: HeadSettings, rng: np.random.Generator) -> _HeadFrame:
    """Head coordinates of the samples; the distance is exact to first order, so near the skull."""
    ellipse = head.ellipse
    cos, sin = np.float32(np.cos(ellipse.angle_rad)), np.float32(np.sin(ellipse.angle_rad))
    inverse_a, inverse_b = np.float32(1.0 / ellipse.semi_axis_a), np.float32(1.0 / ellipse.semi_axis_b)
    dx, dy = grid.x_px - np.float32(ellipse.center_x), grid.y_px - np.float32(ellipse.center_y)
    p, q = (dx * cos + dy * sin) * inverse_a, (dy * cos - dx * sin) * inverse_b
    radius = np.sqrt(p * p + q * q)
    slope_p, slope_q = p * inverse_a, q * inverse_b
    slope = np.sqrt(slope_p * slope_p + slope_q * slope_q) + np.float32(1e-9)
    table_mm = periodic_table(rng, range(3, 9)) * np.float32(head.irregularity_mm)
    index = (cv2.phase(p, q) * np.float32(len(table_mm) / (2.0 * np.pi))).astype(np.intp) % len(table_mm)
    distance_mm = (radius - np.float32(1.0)) * radius / slope * np.float32(head.pixel_size_mm) - table_mm[index]
    steer_x = np.float32(_STEERING) * grid.beam_x
    along = np.abs((slope_p * cos - slope_q * sin) * steer_x + (slope_p * sin + slope_q * cos) * grid.beam_y)
    incidence = along / (slope * np.sqrt(steer_x * steer_x + grid.beam_y * grid.beam_y))
    return _HeadFrame(p, q, distance_mm, index, incidence)


def _paint_skull(
    scene: Scene, frame: _HeadFrame, from_skull_mm: NDArray[np.float32], head: HeadSettings, rng: np.random.Generator
) -> None:
    """The bright outline: strongest across the beam, broken elsewhere, of varying thickness; partly diffuse."""
    stage = stage_of(head.hc_mm)
    sigma_mm = np.float32(rng.uniform(*stage.skull_sigma_mm)) * (1.0 + 0.2 * periodic_table(rng, range(2, 7)))
    level_db = np.minimum(periodic_table(rng, range(1, 12)) * np.float32(head.dropout_db), 5.0)
    level_db += periodic_table(rng, range(12, 45)) * np.float32(1.5) + np.float32(rng.uniform(*stage.skull_db))
    profile = np.exp(-0.5 * (from_skull_mm / np.maximum(sigma_mm, 0.1)[frame.angle_index]) ** 2)
    oblique_db = np.float32(stage.oblique_db) * (np.float32(1.0) - frame.incidence)
    echo = profile * from_db(level_db[frame.angle_index] - oblique_db)
    scene.specular = np.maximum(scene.specular, np.float32(0.8) * echo)
    scene.scatter_db = np.maximum(scene.scatter_db, np.float32(20.0) * np.log10(np.float32(0.5) * echo + 1e-3))


def _paint_scalp(scene: Scene, frame: _HeadFrame, head: HeadSettings, rng: np.random.Generator) -> None:
    """Soft tissue over the skull, with a thin skin line where the beam meets it at right angles."""
    if rng.random() < 0.35:
        return
    half_mm = np.float32(rng.uniform(0.006, 0.012) * head.hc_mm)
    within = 1.0 - smooth_step(np.abs(frame.distance_mm - half_mm) - half_mm, 0.3)
    level_db = np.float32(rng.uniform(-22.0, -6.0))
    scene.scatter_db = np.maximum(scene.scatter_db, level_db * within - 60.0 * (1.0 - within))
    skin = np.exp(-(((frame.distance_mm - 2.0 * half_mm) / np.float32(0.3)) ** 2)) * frame.incidence**8
    scene.specular = np.maximum(scene.specular, skin * np.float32(rng.uniform(0.0, 3.0)))


def _brain(
    frame: _HeadFrame, grid: PolarGrid, head: HeadSettings, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Diffuse level in dB and specular amplitude inside the skull."""
    ellipse, (apex_x, apex_y) = head.ellipse, grid.view.apex_xy
    beam_rad = np.arctan2(ellipse.center_y - apex_y, ellipse.center_x - apex_x) - ellipse.angle_rad
    beam_pq = (float(np.cos(beam_rad)), float(np.sin(beam_rad)))
    sketch = sketch_brain(rng, beam_pq, ellipse.semi_axis_b / ellipse.semi_axis_a, stage_of(head.hc_mm))
    scatter_db, specular = sketch.sampled(frame.p, frame.q)
    for cells, spread_db in (((4, 4), 3.0), ((16, 12), 3.5), ((50, 30), 2.0)):
        scatter_db += smooth_field(rng, grid.shape, cells) * np.float32(spread_db)
    from_probe = frame.p * np.float32(beam_pq[0]) + frame.q * np.float32(beam_pq[1])
    scatter_db += np.float32(rng.uniform(0.0, 8.0)) * np.clip(-from_probe, 0.0, 1.0)  # reverberation under the skull
    rim = smooth_step(np.sqrt(frame.p * frame.p + frame.q * frame.q) - np.float32(0.78), 0.2)
    scatter_db += np.float32(rng.uniform(*stage_of(head.hc_mm).brain_db)) - np.float32(rng.uniform(0.0, 12.0)) * rim
    return scatter_db, specular
