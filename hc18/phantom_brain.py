"""Inside of a synthetic fetal head, drawn once in head coordinates (p along the major axis, q along the minor)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_SIZE = 256
_EXTENT = 1.1


@dataclass(frozen=True, slots=True)
class BrainSketch:
    """Echo levels of the brain on a square grid over p, q in [-1.1, 1.1]; float32 (256, 256), rows are q.

    Attributes:
        scatter_db: diffuse echo relative to the brain's mean level.
        specular: amplitude of lines and walls.
    """

    scatter_db: NDArray[np.float32]
    specular: NDArray[np.float32]

    def sampled(
        self, p: NDArray[np.float32], q: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Both layers at head coordinates `p`, `q` (equal shapes); 0 outside the grid."""
        scale, shift = np.float32(0.5 * (_SIZE - 1) / _EXTENT), np.float32(0.5 * (_SIZE - 1))
        u, v = p * scale + shift, q * scale + shift
        return (
            np.asarray(cv2.remap(self.scatter_db, u, v, cv2.INTER_LINEAR), dtype=np.float32),
            np.asarray(cv2.remap(self.specular, u, v, cv2.INTER_LINEAR), dtype=np.float32),
        )


class _Canvas:
    """Shapes in head coordinates, collected on the two layers of a sketch."""

    def __init__(self, rng: np.random.Generator, beam_pq: tuple[float, float], aspect: float) -> None:
        self.rng = rng
        self.beam_pq = beam_pq
        self.aspect = aspect
        self.scatter_db = np.zeros((_SIZE, _SIZE), dtype=np.float32)
        self.specular = np.zeros((_SIZE, _SIZE), dtype=np.float32)

    def _pixel(self, p: float, q: float) -> tuple[int, int]:
        scale = 0.5 * (_SIZE - 1) / _EXTENT
        return round((p + _EXTENT) * scale * 16), round((q + _EXTENT) * scale * 16)

    def blob(self, p: float, q: float, radius_p: float, radius_q: float, angle_deg: float, level_db: float) -> None:
        """A soft elliptical region that changes the diffuse level."""
        scale = 0.5 * (_SIZE - 1) / _EXTENT
        layer = np.zeros_like(self.scatter_db)
        axes = (int(radius_p * scale * 16), int(radius_q * scale * 16))
        cv2.ellipse(layer, self._pixel(p, q), axes, angle_deg, 0, 360, 1.0, -1, cv2.LINE_8, 4)
        self.scatter_db += level_db * cv2.GaussianBlur(layer, (0, 0), 2.5)

    def line(self, start: tuple[float, float], end: tuple[float, float], level_db: float, width: int = 2) -> None:
        """A reflecting line: brightest where the beam meets it at right angles."""
        along = np.array([end[0] - start[0], (end[1] - start[1]) * self.aspect])
        incidence = abs(float(along @ (-self.beam_pq[1], self.beam_pq[0]))) / max(float(np.hypot(*along)), 1e-6)
        amplitude = 10.0 ** ((level_db - 20.0 * (1.0 - incidence)) / 20.0)
        bend = self.rng.normal(0.0, 0.012)
        middle = (0.5 * (start[0] + end[0]), 0.5 * (start[1] + end[1]) + bend)
        layer = np.zeros_like(self.specular)
        points = np.array([self._pixel(*start), self._pixel(*middle), self._pixel(*end)], dtype=np.int32)
        cv2.polylines(layer, [points.reshape(-1, 1, 2)], False, amplitude, width, cv2.LINE_8, 4)
        self.specular = np.maximum(self.specular, layer)


def sketch_brain(rng: np.random.Generator, beam_pq: tuple[float, float], aspect: float, hc_mm: float) -> BrainSketch:
    """A random standard plane: midline, cavum, thalami, ventricles, choroid plexus, and short unnamed echoes.

    Args:
        rng: source of all choices.
        beam_pq: unit direction of the beam at the head, along the major and the minor axis.
        aspect: minor over major axis.
        hc_mm: head circumference; below 110 mm the two choroid plexuses fill the head.
    """
    canvas = _Canvas(rng, beam_pq, aspect)
    facing = 1.0 if rng.random() < 0.5 else -1.0
    deep = 1.0 if beam_pq[1] >= 0 else -1.0
    if hc_mm < 110.0:
        _early_head(canvas, facing)
    else:
        _plane_structures(canvas, facing, deep)
    for _ in range(int(rng.integers(3, 12))):
        p, q = rng.normal(0.0, 0.38), rng.normal(0.05 * deep, 0.32)
        length, slope = rng.uniform(0.02, 0.11), rng.normal(0.0, 0.35)
        if np.hypot(p, q) < 0.78:
            canvas.line((p - length, q - slope * length), (p + length, q + slope * length), rng.uniform(8.0, 26.0), 2)
    specular = np.asarray(cv2.GaussianBlur(canvas.specular, (0, 0), 1.0), dtype=np.float32)
    return BrainSketch(canvas.scatter_db, specular)


def _early_head(canvas: _Canvas, facing: float) -> None:
    """First trimester: falx and two bright choroid plexuses in fluid-filled hemispheres."""
    rng = canvas.rng
    canvas.blob(0.0, 0.0, 0.85, 0.85, 0.0, rng.uniform(-14.0, 2.0))
    level = rng.uniform(4.0, 18.0)
    for side in (-1.0, 1.0):
        canvas.blob(
            -0.1 * facing,
            side * rng.uniform(0.38, 0.46),
            rng.uniform(0.4, 0.62),
            rng.uniform(0.2, 0.3),
            side * facing * rng.uniform(0.0, 20.0),
            level,
        )
    if rng.random() < 0.8:
        canvas.line((-0.85, rng.normal(0.0, 0.04)), (0.85, rng.normal(0.0, 0.04)), rng.uniform(4.0, 22.0))


def _plane_structures(canvas: _Canvas, facing: float, deep: float) -> None:
    """Second and third trimester: the structures of the transthalamic and transventricular planes."""
    rng = canvas.rng
    tilt = rng.normal(0.0, 0.04)
    position = -0.93
    while position < 0.88:  # the midline echo is broken into pieces
        length = rng.uniform(0.08, 0.4)
        if rng.random() < 0.72:
            end = min(position + length, 0.92)
            canvas.line((position, tilt * position), (end, tilt * end), rng.uniform(10.0, 27.0))
        position += length + rng.uniform(0.0, 0.1)
    cavum, half_width = 0.48 * facing, rng.uniform(0.05, 0.075)
    canvas.blob(cavum, 0.0, 0.13, half_width, 0.0, -22.0)
    for side in (-1.0, 1.0):
        canvas.line((cavum - 0.1, side * half_width), (cavum + 0.1, side * half_width), rng.uniform(18.0, 30.0))
        canvas.blob(0.05 * facing, side * 0.16, 0.17, 0.12, side * facing * 25.0, rng.uniform(-10.0, -3.0))
    _ventricles(canvas, facing, deep)


def _ventricles(canvas: _Canvas, facing: float, deep: float) -> None:
    """Lateral ventricles with their walls and plexus, clearest in the hemisphere away from the probe."""
    rng = canvas.rng
    for side, clarity in ((deep, 1.0), (-deep, rng.uniform(0.0, 0.5))):
        offset, p = rng.uniform(0.36, 0.5), -0.3 * facing + rng.normal(0.0, 0.06)
        turn = side * facing * rng.uniform(0.0, 16.0)
        canvas.blob(p, side * offset, rng.uniform(0.35, 0.5), rng.uniform(0.1, 0.17), turn, -20.0 * clarity)
        canvas.blob(
            p - 0.08 * facing,
            side * (offset + 0.02),
            rng.uniform(0.13, 0.26),
            rng.uniform(0.07, 0.11),
            turn,
            (rng.uniform(28.0, 44.0)) * clarity,
        )
        canvas.line(
            (p - 0.1, side * (offset - 0.15)),
            (p + 0.45 * facing, side * (offset - 0.2)),
            rng.uniform(12.0, 28.0) * clarity,
            2,
        )
        canvas.line(
            (p + 0.05, side * (offset + 0.16)),
            (p + 0.3 * facing, side * (offset + 0.12)),
            rng.uniform(8.0, 26.0) * clarity,
            2,
        )
        canvas.blob(0.25 * facing, side * 0.68, 0.35, 0.08, -turn, -12.0 * clarity)
