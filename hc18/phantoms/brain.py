"""Inside of a synthetic fetal head, drawn once in head coordinates (p along the major axis, q along the minor)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hc18.phantoms.scene import EARLY, LATE, Stage
from hc18.phantoms.speckle import smooth_field

_SIZE = 256
_EXTENT = 1.1
_SCALE = 0.5 * (_SIZE - 1) / _EXTENT
_SUBPIXEL_BITS = 4


@dataclass(frozen=True, slots=True)
class BrainSketch:
    """Echo levels of the brain over p, q in [-1.1, 1.1]; float32 (256, 256), rows are q.

    Attributes:
        scatter_db: diffuse echo relative to the brain's mean level.
        specular: amplitude of lines and walls.
    """

    scatter_db: NDArray[np.float32]
    specular: NDArray[np.float32]

    def sampled(
        self, p: NDArray[np.float32], q: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Both layers at head coordinates `p`, `q` (equal shapes); 0 outside the sketch."""
        u, v = (np.float32(_SCALE) * (axis + np.float32(_EXTENT)) for axis in (p, q))
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
        self.blobs_db = np.zeros((_SIZE, _SIZE), dtype=np.float32)
        self.lines = np.zeros((_SIZE, _SIZE), dtype=np.float32)

    @staticmethod
    def _cell(p: float, q: float) -> tuple[int, int]:
        """Position on the canvas in fractions of a cell, as OpenCV's drawing takes it."""
        unit = _SCALE * 2**_SUBPIXEL_BITS
        return round((p + _EXTENT) * unit), round((q + _EXTENT) * unit)

    def blob(self, p: float, q: float, radius_p: float, radius_q: float, angle_deg: float, level_db: float) -> None:
        """Adds `level_db` to the diffuse level of an elliptical region."""
        unit = _SCALE * 2**_SUBPIXEL_BITS
        layer = np.zeros((_SIZE, _SIZE), dtype=np.uint8)
        axes = (int(radius_p * unit), int(radius_q * unit))
        cv2.ellipse(layer, self._cell(p, q), axes, angle_deg, 0, 360, 1, -1, cv2.LINE_8, _SUBPIXEL_BITS)
        self.blobs_db += np.float32(level_db) * layer

    def line(self, start: tuple[float, float], end: tuple[float, float], level_db: float) -> None:
        """A reflecting line: brightest where the beam meets it at right angles."""
        along = (end[0] - start[0], (end[1] - start[1]) * self.aspect)
        across_beam = abs(along[1] * self.beam_pq[0] - along[0] * self.beam_pq[1]) / max(float(np.hypot(*along)), 1e-6)
        amplitude = 10.0 ** ((level_db - 20.0 * (1.0 - across_beam)) / 20.0)
        bend = self.rng.normal(0.0, 0.012)
        middle = (0.5 * (start[0] + end[0]), 0.5 * (start[1] + end[1]) + bend)
        points = np.array([self._cell(*start), self._cell(*middle), self._cell(*end)], dtype=np.int32)
        cv2.polylines(self.lines, [points.reshape(-1, 1, 2)], False, amplitude, 2, cv2.LINE_8, _SUBPIXEL_BITS)

    def finished(self) -> BrainSketch:
        """The sketch, its shapes softened and its lines broken."""
        scatter_db = cv2.GaussianBlur(self.blobs_db, (0, 0), 2.5)
        broken = self.lines * np.exp(np.float32(0.7) * smooth_field(self.rng, self.lines.shape, (36, 24)))
        specular = cv2.GaussianBlur(broken, (0, 0), sigmaX=2.0, sigmaY=0.8)
        return BrainSketch(np.asarray(scatter_db, dtype=np.float32), np.asarray(specular, dtype=np.float32))


def sketch_brain(rng: np.random.Generator, beam_pq: tuple[float, float], aspect: float, stage: Stage) -> BrainSketch:
    """A random plane through the brain: midline, cavum, thalami, ventricles, choroid plexus, short unnamed echoes.

    Args:
        rng: source of all choices.
        beam_pq: unit direction of the beam at the head, along the major and the minor axis.
        aspect: minor over major axis.
        stage: in the first trimester the choroid plexuses fill the head; in the third small echoes crowd its middle.
    """
    canvas = _Canvas(rng, beam_pq, aspect)
    facing = 1.0 if rng.random() < 0.5 else -1.0
    deep = 1.0 if beam_pq[1] >= 0 else -1.0
    if stage is EARLY:
        _draw_early_head(canvas, facing)
    else:
        _draw_midline(canvas, facing)
        _draw_ventricles(canvas, facing, deep)
    n_echoes, spread = (int(rng.integers(15, 45)), 0.28) if stage is LATE else (int(rng.integers(3, 14)), 0.36)
    for _ in range(n_echoes):
        p, q = rng.normal(0.0, spread), rng.normal(0.05 * deep, spread)
        length, slope = rng.uniform(0.01, 0.09), rng.normal(0.0, 0.4)
        if np.hypot(p, q) < 0.78:
            canvas.line((p - length, q - slope * length), (p + length, q + slope * length), rng.uniform(2.0, 22.0))
    return canvas.finished()


def _draw_early_head(canvas: _Canvas, facing: float) -> None:
    """First trimester: lobes of bright choroid plexus between dark pockets of fluid."""
    rng = canvas.rng
    canvas.blob(0.0, 0.0, 0.86, 0.86, 0.0, rng.uniform(-9.0, 0.0))
    level_db = rng.uniform(2.0, 8.0)
    for side in (-1.0, 1.0):
        for _ in range(2):
            canvas.blob(
                rng.normal(-0.1 * facing, 0.2),
                side * rng.uniform(0.2, 0.42),
                rng.uniform(0.25, 0.5),
                rng.uniform(0.15, 0.3),
                side * facing * rng.uniform(0.0, 25.0),
                level_db,
            )
    for _ in range(int(rng.integers(2, 6))):
        angle, radius = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.5, 0.72)
        canvas.blob(
            radius * np.cos(angle),
            radius * np.sin(angle),
            rng.uniform(0.08, 0.22),
            rng.uniform(0.05, 0.16),
            rng.uniform(0.0, 180.0),
            -20.0,
        )
    if rng.random() < 0.5:
        canvas.line((-0.85, rng.normal(0.0, 0.04)), (0.85, rng.normal(0.0, 0.04)), rng.uniform(0.0, 16.0))


def _draw_midline(canvas: _Canvas, facing: float) -> None:
    """The broken midline echo with the cavum septi pellucidi and the thalami next to it."""
    rng = canvas.rng
    tilt, position = rng.normal(0.0, 0.04), -0.93
    while position < 0.88:
        end = min(position + rng.uniform(0.08, 0.4), 0.92)
        if rng.random() < 0.72:
            canvas.line((position, tilt * position), (end, tilt * end), rng.uniform(4.0, 23.0))
        position = end + rng.uniform(0.01, 0.1)
    cavum, half_width = 0.48 * facing, rng.uniform(0.05, 0.075)
    canvas.blob(cavum, 0.0, 0.13, half_width, 0.0, -18.0)
    for side in (-1.0, 1.0):
        canvas.line((cavum - 0.1, side * half_width), (cavum + 0.1, side * half_width), rng.uniform(8.0, 26.0))
        canvas.blob(0.05 * facing, side * 0.16, 0.17, 0.12, side * facing * 25.0, rng.uniform(-10.0, -3.0))


def _draw_ventricles(canvas: _Canvas, facing: float, deep: float) -> None:
    """Lateral ventricles with their walls and plexus, clearest in the hemisphere away from the probe."""
    rng = canvas.rng
    for side, clarity in ((deep, rng.uniform(0.4, 1.0)), (-deep, rng.uniform(0.0, 0.5))):
        q, p = rng.uniform(0.36, 0.5), -0.3 * facing + rng.normal(0.0, 0.06)
        turn_deg = side * facing * rng.uniform(0.0, 16.0)
        canvas.blob(p, side * q, rng.uniform(0.35, 0.5), rng.uniform(0.1, 0.17), turn_deg, -20.0 * clarity)
        canvas.blob(
            p - 0.08 * facing,
            side * (q + 0.02),
            rng.uniform(0.13, 0.28),
            rng.uniform(0.07, 0.12),
            turn_deg,
            rng.uniform(22.0, 36.0) * clarity,
        )
        canvas.blob(0.25 * facing, side * 0.68, 0.35, 0.08, -turn_deg, -12.0 * clarity)
        inner, outer = side * (q - 0.15), side * (q + 0.16)
        canvas.line((p - 0.1, inner), (p + 0.45 * facing, inner - 0.05 * side), rng.uniform(4.0, 24.0) * clarity)
        canvas.line((p + 0.05, outer), (p + 0.3 * facing, outer - 0.04 * side), rng.uniform(4.0, 24.0) * clarity)
