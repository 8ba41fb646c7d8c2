"""The ellipse through outline points, by orthogonal distance.

Coordinates: x right, y down, pixel centres at integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fetal_hc.errors import MeasurementError
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.orthogonal import fit_orthogonal

MIN_POINTS = 5
MIN_FLATNESS = 1e-4  # spread across / spread along a line below which points count as lying on it
MAX_RELATIVE_RESIDUAL = 0.12  # of the mean semi-axis; a filled disc has 0.35, a square outline 0.06
MAX_SPREAD_RATIO = 20.0  # semi-axis a over the points' own spread; a noise-free quarter arc has 6


@dataclass(frozen=True, slots=True)
class EllipseFit:
    """The outcome of one fit; true if and only if there is an ellipse.

    Attributes:
        ellipse: in the coordinates of the points, None if the fit failed.
        reason: why it failed; empty if it did not.
        rms_residual_px: root mean square orthogonal distance of the points, None without ellipse or points.
        n_points: how many points the fit rests on.
    """

    ellipse: Ellipse | None
    reason: str
    rms_residual_px: float | None
    n_points: int

    def __bool__(self) -> bool:
        return self.ellipse is not None


def fit_outline_points(points_xy: ArrayLike) -> EllipseFit:
    """The ellipse with the least squared orthogonal distances to outline points.

    A direct least-squares conic gives the start, a circle where that conic is degenerate; the refinement
    removes the direct fit's bias towards small ellipses. Works for near-circles, far-off origins and partial arcs.

    Args:
        points_xy: (n, 2) x, y in any order and of any numeric type, at least 5 distinct ones.

    Returns:
        The fit; failed (with the reason) for too few, not finite or collinear points and for points on no ellipse.
    """
    points = np.ascontiguousarray(points_xy, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        return _failed(f"expected points of shape (n, 2), got {points.shape}", 0)
    n_points = len(points)
    if not np.isfinite(points).all():
        return _failed(f"{int((~np.isfinite(points)).any(axis=1).sum())} of {n_points} points are not finite", n_points)
    if n_points < MIN_POINTS or np.unique(points.view(np.complex128)).size < MIN_POINTS:
        return _failed(f"{n_points} points, fewer than {MIN_POINTS} distinct ones", n_points)
    center = points.mean(axis=0)
    centred = points - center
    scale = float(np.sqrt(np.square(centred).sum(axis=1).mean()))
    along, across = np.linalg.svd(centred.T @ centred, compute_uv=False)
    if across <= MIN_FLATNESS**2 * along:
        return _failed("the points lie on a straight line", n_points)
    normal_points = centred / scale
    best, residual = fit_orthogonal(_start(normal_points), normal_points)
    if best.semi_axis_a > MAX_SPREAD_RATIO:
        return _failed("the points are too short an arc to determine an ellipse", n_points)
    if residual > MAX_RELATIVE_RESIDUAL * (best.semi_axis_a + best.semi_axis_b) / 2.0:
        return _failed(f"the points lie on no ellipse (rms distance {residual * scale:.3g})", n_points)
    ellipse = Ellipse.from_axes(
        best.center_x * scale + center[0],
        best.center_y * scale + center[1],
        best.semi_axis_a * scale,
        best.semi_axis_b * scale,
        best.angle_rad,
    )
    return EllipseFit(ellipse, "", residual * scale, n_points)


def _start(points: NDArray[np.float64]) -> Ellipse:
    """Start ellipse for centred, scaled points: the direct conic fit where that is an ellipse, else a circle."""
    try:
        return Ellipse.from_conic(_direct_conic(points))
    except (MeasurementError, np.linalg.LinAlgError):
        return _algebraic_circle(points)


def _direct_conic(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients A..F (6,) of the ellipse with the least algebraic distance under 4AC - B^2 = 1.

    The linear part is eliminated by a QR projection instead of normal equations, which keeps twice the digits.

    Raises:
        LinAlgError: if no ellipse minimises it.

    References: R. Halir, J. Flusser, Numerically stable direct least squares fitting of ellipses, WSCG 1998, eq. 23-29.
    """
    x, y = points.T
    quadratic = np.stack([x * x, x * y, y * y], axis=1)
    linear = np.stack([x, y, np.ones_like(x)], axis=1)
    basis, triangle = np.linalg.qr(linear)
    projection = basis.T @ quadratic
    rest = quadratic - basis @ projection
    scatter = rest.T @ rest
    reduced = np.stack([scatter[2] / 2.0, -scatter[1], scatter[0] / 2.0])
    _, vectors = np.linalg.eig(reduced)
    vectors = np.real(vectors)
    constraint = 4.0 * vectors[0] * vectors[2] - vectors[1] ** 2
    conic = vectors[:, int(np.argmax(constraint))]
    return np.concatenate([conic, -np.linalg.solve(triangle, projection @ conic)])


def _algebraic_circle(points: NDArray[np.float64]) -> Ellipse:
    """The circle with the least algebraic distance to centred points (I. Kasa, IEEE Trans. Instrum. Meas. 25, 1976)."""
    design = np.column_stack([2.0 * points, np.ones(len(points))])
    center_x, center_y, offset = np.linalg.lstsq(design, np.square(points).sum(axis=1), rcond=None)[0]
    radius = float(np.sqrt(max(offset + center_x**2 + center_y**2, 1e-12)))
    return Ellipse.from_axes(center_x, center_y, radius, radius, 0.0)


def _failed(reason: str, n_points: int) -> EllipseFit:
    """A failed fit."""
    return EllipseFit(None, reason, None, n_points)
