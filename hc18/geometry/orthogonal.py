"""Orthogonal distances to an ellipse and the fit that minimises them.

Coordinates: x right, y down, pixel centres at integers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hc18.geometry.ellipse import Ellipse

FOOT_POINT_STEPS = 4  # from the middle of the quadrant: to 1e-5 of the distance for b > a / 5, anywhere in the plane
MAX_ITERATIONS = 50
RELATIVE_STEP = 1e-6  # the next step would be smaller still: steps shrink quadratically


@dataclass(frozen=True, slots=True)
class FootPoints:
    """Nearest points on an ellipse, in its own frame (first axis = major).

    Attributes:
        distance: (n,) signed orthogonal distance, positive outside.
        unit_circle: (n, 2) cosine and sine of the foot point's eccentric angle.
        normal: (n, 2) outward unit normal there.
    """

    distance: NDArray[np.float64]
    unit_circle: NDArray[np.float64]
    normal: NDArray[np.float64]


def foot_points(ellipse: Ellipse, points_xy: NDArray[np.float64]) -> FootPoints:
    """Nearest points on `ellipse` to each of the (n, 2) points x, y.

    Each step replaces the ellipse by its circle of curvature at the present foot point and projects onto that; the
    start in the middle of the quadrant is safe for any point.

    References: Simple method for distance to ellipse, blog.chatfield.io (2017); without trigonometric functions:
    A. Stephens, github.com/0xfaded/ellipse_demo, issue 1.
    """
    a, b = ellipse.semi_axis_a, ellipse.semi_axis_b
    cosine, sine = math.cos(ellipse.angle_rad), math.sin(ellipse.angle_rad)
    dx, dy = points_xy[:, 0] - ellipse.center_x, points_xy[:, 1] - ellipse.center_y
    local_x, local_y = cosine * dx + sine * dy, cosine * dy - sine * dx
    x, y = np.abs(local_x), np.abs(local_y)
    unit_x = unit_y = np.full_like(x, math.sqrt(0.5))
    focal_squared = (a - b) * (a + b)
    for _ in range(FOOT_POINT_STEPS):
        evolute_x = focal_squared / a * (unit_x * unit_x * unit_x)
        evolute_y = -focal_squared / b * (unit_y * unit_y * unit_y)
        radius = _length(a * unit_x - evolute_x, b * unit_y - evolute_y)
        toward_x, toward_y = _normalised(x - evolute_x, y - evolute_y)
        unit_x, unit_y = _normalised(
            np.maximum(radius * toward_x + evolute_x, 0.0) / a, np.maximum(radius * toward_y + evolute_y, 0.0) / b
        )
    unit_x, unit_y = np.copysign(unit_x, local_x), np.copysign(unit_y, local_y)
    normal_x, normal_y = _normalised(b * unit_x, a * unit_y)
    distance = (local_x - a * unit_x) * normal_x + (local_y - b * unit_y) * normal_y
    return FootPoints(distance, np.stack([unit_x, unit_y], axis=1), np.stack([normal_x, normal_y], axis=1))


def fit_orthogonal(start: Ellipse, points_xy: NDArray[np.float64]) -> tuple[Ellipse, float]:
    """The ellipse near `start` with the least squared orthogonal distances to (n, 2) points, and their rms.

    Levenberg-Marquardt on centre, mean radius (a + b) / 2 and the vector (a - b) / 2 * (cos 2 angle, sin 2 angle):
    unlike the angle itself, that vector stays well defined as the ellipse becomes a circle.

    References: S. J. Ahn, W. Rauh, H.-J. Warnecke, Least-squares orthogonal distances fitting of circle, sphere,
    ellipse, hyperbola, and parabola, Pattern Recognition 34 (2001) 2283-2303.
    """
    best, feet = start, foot_points(start, points_xy)
    rms = _rms(feet.distance)
    damping = 0.0
    for _ in range(MAX_ITERATIONS):
        step = _damped_step(_distance_jacobian(best, feet), feet.distance, damping)
        candidate = _moved(best, step)
        candidate_feet = foot_points(candidate or best, points_xy)
        candidate_rms = _rms(candidate_feet.distance)
        if candidate is not None and candidate_rms <= rms:
            best, feet, rms, damping = candidate, candidate_feet, candidate_rms, damping / 10.0
        else:
            damping = max(10.0 * damping, 1e-6)
        if np.abs(step).max() <= RELATIVE_STEP * best.semi_axis_a or damping > 1e6:
            break
    return best, rms


def _damped_step(jacobian: NDArray[np.float64], distance: NDArray[np.float64], damping: float) -> NDArray[np.float64]:
    """Levenberg-Marquardt step (5,); directions that the points do not determine stay unchanged."""
    normal_matrix = jacobian.T @ jacobian
    normal_matrix += damping * np.diag(np.diag(normal_matrix))
    return np.asarray(np.linalg.lstsq(normal_matrix, -jacobian.T @ distance, rcond=None)[0], dtype=np.float64)


def _distance_jacobian(ellipse: Ellipse, feet: FootPoints) -> NDArray[np.float64]:
    """Derivatives (n, 5) of the signed distances by centre x, y, mean radius, and the two parts of the elongation."""
    cosine, sine = math.cos(ellipse.angle_rad), math.sin(ellipse.angle_rad)
    unit_x, unit_y = feet.unit_circle.T
    normal_x, normal_y = feet.normal.T
    by_a, by_b = -normal_x * unit_x, -normal_y * unit_y
    tangential = (ellipse.semi_axis_a + ellipse.semi_axis_b) * unit_x * unit_y
    tangential /= _length(ellipse.semi_axis_b * unit_x, ellipse.semi_axis_a * unit_y)
    cosine_2, sine_2 = math.cos(2.0 * ellipse.angle_rad), math.sin(2.0 * ellipse.angle_rad)
    return np.stack(
        [
            sine * normal_y - cosine * normal_x,
            -sine * normal_x - cosine * normal_y,
            by_a + by_b,
            (by_a - by_b) * cosine_2 + tangential * sine_2,
            (by_a - by_b) * sine_2 - tangential * cosine_2,
        ],
        axis=1,
    )


def _moved(ellipse: Ellipse, step: NDArray[np.float64]) -> Ellipse | None:
    """The ellipse after a parameter step, or None where that is not an ellipse."""
    mean_radius = (ellipse.semi_axis_a + ellipse.semi_axis_b) / 2.0 + step[2]
    elongation = (ellipse.semi_axis_a - ellipse.semi_axis_b) / 2.0
    along = elongation * math.cos(2.0 * ellipse.angle_rad) + step[3]
    across = elongation * math.sin(2.0 * ellipse.angle_rad) + step[4]
    elongation = math.hypot(along, across)
    if not (np.isfinite(step).all() and elongation < mean_radius):
        return None
    return Ellipse.from_axes(
        ellipse.center_x + step[0],
        ellipse.center_y + step[1],
        mean_radius + elongation,
        mean_radius - elongation,
        math.atan2(across, along) / 2.0,
    )


def _length(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Length of the vectors (x, y); faster than `np.hypot`, whose care for huge values is not needed here."""
    length: NDArray[np.float64] = np.sqrt(x * x + y * y)
    return length


def _normalised(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors along (x, y); along x where the vector vanishes."""
    length = _length(x, y)
    if not length.all():
        vanishes = length == 0.0
        x, length = np.where(vanishes, 1.0, x), np.where(vanishes, 1.0, length)
    return x / length, y / length


def _rms(values: NDArray[np.float64]) -> float:
    """Root mean square."""
    return math.sqrt(float(values @ values) / values.size)
