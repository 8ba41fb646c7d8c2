"""Echo levels of a synthetic scan on its polar grid: tissue, amniotic fluid, skull, brain and shadows."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hc18.ellipse import Ellipse
from hc18.phantom_brain import sketch_brain
from hc18.phantom_speckle import periodic_table, smooth_field
from hc18.phantom_view import PolarGrid

_FLUID_DB = -30.0
_SKULL_OFFSET_MM = 0.85
_FIRST_TRIMESTER_HC_MM = 110.0
_THIRD_TRIMESTER_HC_MM = 225.0


@dataclass(frozen=True, slots=True)
class HeadSettings:
    """The head to paint.

    Attributes:
        ellipse: outer edge of the skull, image pixels.
        pixel_size_mm: edge length of a pixel, mm.
        hc_mm: circumference of the ellipse, mm.
        irregularity_mm: spread of the skull around the ellipse, mm; the ellipse stays the best fit.
        dropout_db: spread of the brightness along the skull, dB.
        shadow: strength of the attenuation by bone, 1 = typical, 0 = none.
    """

    ellipse: Ellipse
    pixel_size_mm: float
    hc_mm: float
    irregularity_mm: float
    dropout_db: float
    shadow: float


@dataclass(slots=True)
class Scene:
    """Amplitudes on the polar grid, float32 (depths, beams); diffuse level in dB against medium tissue."""

    scatter_db: NDArray[np.float32]
    specular: NDArray[np.float32]
    loss_db: NDArray[np.float32]

    def amplitudes(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Diffuse and specular amplitude that reach the probe, noise floor included."""
        gain = _from_db(-self.loss_db)
        return _from_db(self.scatter_db) * gain + np.float32(8e-3), self.specular * gain


@dataclass(frozen=True, slots=True)
class _HeadFrame:
    """Head coordinates of every sample: p, q (unit ellipse = skull), signed distance mm, outline angle, incidence."""

    p: NDArray[np.float32]
    q: NDArray[np.float32]
    distance_mm: NDArray[np.float32]
    angle_index: NDArray[np.intp]
    incidence: NDArray[np.float32]


def _from_db(level_db: NDArray[np.float32] | np.float32) -> NDArray[np.float32]:
    """Amplitude of a level in dB."""
    return np.asarray(np.exp(level_db * np.float32(np.log(10.0) / 20.0)), dtype=np.float32)


def _smooth_step(value: NDArray[np.float32], width: float) -> NDArray[np.float32]:
    """0 below -width, 1 above +width, smooth between."""
    t = np.clip(value * np.float32(0.5 / width) + np.float32(0.5), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)


def paint_scene(grid: PolarGrid, pixel_size_mm: float, head: HeadSettings | None, rng: np.random.Generator) -> Scene:
    """The whole scan, with a head or, for `head` None, tissue alone.

    Args:
        grid: sample points.
        pixel_size_mm: edge length of a pixel, mm.
        head: the head to paint, or None.
        rng: source of all choices.
    """
    scene = _paint_tissue(grid, rng)
    _paint_cavity(scene, grid, pixel_size_mm, head, rng)
    if head is not None:
        _paint_head(scene, grid, head, rng)
    scene.loss_db += _gain_error_db(grid, rng)
    return scene


def _paint_tissue(grid: PolarGrid, rng: np.random.Generator) -> Scene:
    """Uterine wall, placenta and maternal tissue: smooth patches, layers along the surface, bright fascia lines."""
    depth_mm = float(grid.depth_mm[-1, 0])
    width_mm = grid.step_mm * grid.shape[0]
    patches = smooth_field(rng, grid.shape, (max(int(depth_mm / 22), 2), max(int(width_mm / 22), 2)))
    grain = smooth_field(rng, grid.shape, (max(int(depth_mm / 2.2), 4), max(int(width_mm / 8), 3)))
    scatter_db = patches * np.float32(rng.uniform(3.0, 6.0)) + grain * np.float32(rng.uniform(1.0, 4.0))
    wobble = smooth_field(rng, grid.shape, (2, 5))
    surface_mm = grid.depth_mm + wobble * np.float32(1.2)
    specular = np.zeros(grid.shape, dtype=np.float32)
    near_mm = min(0.28 * depth_mm, 30.0)
    for _ in range(int(rng.integers(0, 7))):
        line_mm, thickness_mm = rng.uniform(0.0, near_mm), rng.uniform(0.25, 0.7)
        strength = rng.uniform(0.5, 8.0) * np.clip(smooth_field(rng, (1, grid.shape[1]), (1, 4)) + 0.3, 0.0, 2.0)
        tilt = smooth_field(rng, (1, grid.shape[1]), (1, 2)) * 2.0
        specular += np.exp(-(((surface_mm - line_mm - tilt) / thickness_mm) ** 2)) * strength
    scatter_db += 6.0 * rng.uniform(0.0, 1.0) * np.exp(-grid.depth_mm / near_mm)
    return Scene(scatter_db, specular, np.zeros(grid.shape, dtype=np.float32))


def _paint_cavity(
    scene: Scene, grid: PolarGrid, pixel_size_mm: float, head: HeadSettings | None, rng: np.random.Generator
) -> None:
    """Amniotic fluid around the head: a warped ellipse of darkness with a bright far wall."""
    if rng.random() < (0.12 if head is None or head.hc_mm < _THIRD_TRIMESTER_HC_MM else 0.45):
        return
    reach_px = 30.0 / pixel_size_mm if head is None else head.ellipse.semi_axis_a
    x0, y0 = (grid.x_px.mean(), grid.y_px.mean()) if head is None else (head.ellipse.center_x, head.ellipse.center_y)
    direction = rng.uniform(0.0, 2.0 * np.pi)
    x0 += reach_px * rng.uniform(0.1, 0.9) * np.cos(direction)
    y0 += reach_px * rng.uniform(0.0, 0.35) * np.sin(direction)
    turn, long, short = rng.normal(0.0, 0.3), reach_px * rng.uniform(1.0, 1.9), reach_px * rng.uniform(0.65, 1.15)
    dx, dy = grid.x_px - np.float32(x0), grid.y_px - np.float32(y0)
    u = (dx * np.float32(np.cos(turn)) + dy * np.float32(np.sin(turn))) / np.float32(long)
    v = (dy * np.float32(np.cos(turn)) - dx * np.float32(np.sin(turn))) / np.float32(short)
    level = np.sqrt(u * u + v * v) - 1.0 + 0.16 * smooth_field(rng, grid.shape, (2, 2))
    level += 0.03 * smooth_field(rng, grid.shape, (5, 6))
    fluid = 1.0 - _smooth_step(level, 0.02)
    scene.scatter_db = scene.scatter_db * (1.0 - fluid) + np.float32(rng.uniform(_FLUID_DB - 6, _FLUID_DB + 8)) * fluid
    slope = np.gradient(level, axis=0) / np.float32(grid.step_mm)
    facing = np.clip(np.abs(slope) * np.float32(short * pixel_size_mm), 0.0, 1.0) ** 6
    scene.specular = scene.specular * (1.0 - fluid) + facing * np.exp(-((level / 0.012) ** 2)) * rng.uniform(1.0, 12.0)
    scene.loss_db -= np.minimum(np.cumsum(fluid, axis=0) * np.float32(grid.step_mm * 0.2), 7.0)


def _head_frame(grid: PolarGrid, head: HeadSettings, rng: np.random.Generator) -> _HeadFrame:
    """Head coordinates of the samples, the skull's irregularity included in the distance."""
    ellipse = head.ellipse
    cos, sin = np.float32(np.cos(ellipse.angle_rad)), np.float32(np.sin(ellipse.angle_rad))
    a, b = np.float32(ellipse.semi_axis_a), np.float32(ellipse.semi_axis_b)
    dx, dy = grid.x_px - np.float32(ellipse.center_x), grid.y_px - np.float32(ellipse.center_y)
    p = ((dx * cos + dy * sin) / a).astype(np.float32, copy=False)
    q = ((dy * cos - dx * sin) / b).astype(np.float32, copy=False)
    radius = np.sqrt(p * p + q * q) + np.float32(1e-6)
    gradient_p, gradient_q = p / a, q / b
    gradient = np.sqrt(gradient_p * gradient_p + gradient_q * gradient_q) + np.float32(1e-9)
    table = periodic_table(rng, range(3, 9)) * np.float32(head.irregularity_mm)
    index = (np.arctan2(q, p) * np.float32(len(table) / (2.0 * np.pi))).astype(np.intp) % len(table)
    distance_mm = (radius - 1.0) * radius / gradient * np.float32(head.pixel_size_mm) - table[index]
    normal_x, normal_y = (gradient_p * cos - gradient_q * sin), (gradient_p * sin + gradient_q * cos)
    incidence = np.abs(normal_x * grid.beam_x + normal_y * grid.beam_y) / gradient
    return _HeadFrame(p, q, distance_mm, index, incidence.astype(np.float32))


def _paint_head(scene: Scene, grid: PolarGrid, head: HeadSettings, rng: np.random.Generator) -> None:
    """Skull, brain and the shadow they cast, over what the scene holds already."""
    frame = _head_frame(grid, head, rng)
    centre = frame.distance_mm + np.float32(_SKULL_OFFSET_MM)
    early, late = head.hc_mm < _FIRST_TRIMESTER_HC_MM, head.hc_mm > _THIRD_TRIMESTER_HC_MM
    inside = 1.0 - _smooth_step(centre, 0.4)
    brain_db, brain_lines = _brain(frame, grid, head, rng)
    scene.scatter_db = scene.scatter_db * (1.0 - inside) + brain_db * inside
    scene.specular = scene.specular * (1.0 - inside) + brain_lines * inside
    sigma_mm = np.float32(rng.uniform(0.5, 0.7) if late else rng.uniform(0.34, 0.5)) * (
        1.0 + 0.2 * periodic_table(rng, range(2, 7))
    )
    profile = np.exp(-0.5 * (centre / sigma_mm[frame.angle_index]) ** 2)
    level_db = np.minimum(periodic_table(rng, range(1, 12)) * np.float32(head.dropout_db), 5.0)
    level_db += periodic_table(rng, range(12, 45)) * np.float32(1.5)
    reflected = profile * _from_db(level_db[frame.angle_index] - 22.0 * (1.0 - frame.incidence))
    strength = _from_db(np.float32(rng.uniform(22.0, 29.0)))
    scene.specular = np.maximum(scene.specular, 0.8 * strength * reflected)
    scene.scatter_db = np.maximum(scene.scatter_db, 20.0 * np.log10(0.5 * strength * reflected + 1e-3))
    bone = np.exp(-0.5 * (centre / 0.5) ** 2)
    loss_db_per_mm = head.shadow * (0.6 if early else 2.4 if late else 1.7)
    path = np.cumsum(bone, axis=0) - 0.5 * bone
    shadow_db = np.minimum(path * np.float32(grid.step_mm * loss_db_per_mm), 34.0)
    scene.loss_db += cv2.GaussianBlur(shadow_db, (0, 0), sigmaX=1.2 * grid.lateral_sigma, sigmaY=0.1)


def _brain(
    frame: _HeadFrame, grid: PolarGrid, head: HeadSettings, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Diffuse level in dB and specular amplitude inside the skull."""
    ellipse, (apex_x, apex_y) = head.ellipse, grid.view.apex_xy
    beam = np.arctan2(ellipse.center_y - apex_y, ellipse.center_x - apex_x) - ellipse.angle_rad
    beam_pq = (float(np.cos(beam)), float(np.sin(beam)))
    sketch = sketch_brain(rng, beam_pq, ellipse.semi_axis_b / ellipse.semi_axis_a, head.hc_mm)
    scatter_db, specular = sketch.sampled(frame.p, frame.q)
    texture = smooth_field(rng, grid.shape, (14, 12)) * 3.0 + smooth_field(rng, grid.shape, (40, 30)) * 2.0
    near = frame.p * np.float32(beam_pq[0]) + frame.q * np.float32(beam_pq[1])
    haze_db = rng.uniform(0.0, 8.0) * np.clip(-near, 0.0, 1.0)
    rim_db = -np.float32(rng.uniform(0.0, 14.0)) * _smooth_step(
        np.hypot(frame.p, frame.q).astype(np.float32, copy=False) - np.float32(0.78), 0.2
    )
    level_db = rng.uniform(-11.0, -1.0)
    return scatter_db + texture + haze_db + rim_db + np.float32(level_db), specular


def _gain_error_db(grid: PolarGrid, rng: np.random.Generator) -> NDArray[np.float32]:
    """What time-gain compensation leaves: bands in depth, darker flanks, darker far field."""
    n_depths, n_beams = grid.shape
    bands = smooth_field(rng, (n_depths, 1), (5, 1))[:, :1] * rng.uniform(0.5, 2.5)
    across = np.linspace(-1.0, 1.0, n_beams, dtype=np.float32)[None, :]
    contact = smooth_field(rng, (1, n_beams), (1, 6)) * rng.uniform(0.0, 3.0)
    flank = rng.uniform(0.0, 14.0) * np.abs(across) ** 3
    far = rng.uniform(0.0, 8.0) * np.linspace(-0.5, 0.5, n_depths, dtype=np.float32)[:, None]
    return np.asarray(bands + contact + flank + far, dtype=np.float32)
