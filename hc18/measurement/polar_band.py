"""The band of an image around an outline, unrolled into a rectangle: where the refinement stage looks for the skull.

A start ellipse with centre c, semi-axes a, b and angle t is the unit circle of a frame of its own: the point at angle
phi and relative radius r lies at c + R(t) diag(a, b) r (cos phi, sin phi), so r = 1 is the ellipse itself. The band
holds relative radii `RADIUS_RANGE` as rows, the innermost first, and angles once around as columns. In this frame a
nearby ellipse is, to first order, r(phi) = 1 + m . basis(phi) with five numbers m: mean radius, shift and stretch.

Coordinates: x right, y down, pixel centres at integers.

References: J. Daugman, High confidence visual recognition of persons by a test of statistical independence, TPAMI 1993
(the unrolled ring of an iris).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fetal_hc.errors import ModelError, raise_problems
from hc18.geometry.ellipse import Ellipse

N_ANGLES = 64
N_RADII = 96
RADIUS_RANGE = (0.55, 1.45)
# Samples averaged along the outline for one column: speckle is finer than a column is wide.
SAMPLES_PER_ANGLE = 4
# Channels of `band_input`.
N_CHANNELS = 7
# Grey values are centred and scaled as for the trained networks.
_GREY_MEAN, _GREY_GAIN, _SLOPE_GAIN, _RADIUS_GAIN = 0.2, 4.0, 8.0, 4.0
_MEAN_AXIS_RATIO = 0.78  # of the heads of HC18
RIDGE = 1e-3  # keeps the fit defined where hardly any angle counts

FloatArray = NDArray[np.float64]

ANGLES_RAD: FloatArray = (np.arange(N_ANGLES) + 0.5) / N_ANGLES * 2.0 * math.pi
RELATIVE_RADII: FloatArray = RADIUS_RANGE[0] + (np.arange(N_RADII) + 0.5) / N_RADII * (
    RADIUS_RANGE[1] - RADIUS_RANGE[0]
)
# Columns of the five ways in which an ellipse can differ from the start, (N_ANGLES, 5).
BASIS: FloatArray = np.stack(
    [
        np.ones(N_ANGLES),
        np.cos(ANGLES_RAD),
        np.sin(ANGLES_RAD),
        np.cos(2.0 * ANGLES_RAD),
        np.sin(2.0 * ANGLES_RAD),
    ],
    axis=1,
)


# What a refiner was trained with. A bundle states it, and a bundle that states anything else is refused. Single ONNX
# files of earlier releases state nothing; they were all made with these numbers.
BAND_GEOMETRY: dict[str, Any] = {
    "n_angles": N_ANGLES,
    "n_radii": N_RADII,
    "n_channels": N_CHANNELS,
    "relative_radius_min": RADIUS_RANGE[0],
    "relative_radius_max": RADIUS_RANGE[1],
    "samples_per_angle": SAMPLES_PER_ANGLE,
    "grey_mean": _GREY_MEAN,
    "grey_gain": _GREY_GAIN,
    "slope_gain": _SLOPE_GAIN,
    "radius_gain": _RADIUS_GAIN,
    "mean_axis_ratio": _MEAN_AXIS_RATIO,
    "fit_ridge": RIDGE,
}


def check_band_geometry(stated: Mapping[str, Any], source: str) -> None:
    """Returns if a refiner was trained with the band that this module samples.

    Args:
        stated: `BAND_GEOMETRY` as the refiner's bundle states it.
        source: name of the file, for messages.

    Raises:
        ModelError: naming every number that is missing or differs.
    """
    problems = [
        f"refiner.band.{name} is {stated.get(name, 'missing')}; this release samples bands with {expected}"
        for name, expected in BAND_GEOMETRY.items()
        if stated.get(name) != expected
    ]
    problems += [f"refiner.band.{name} is unknown to this release" for name in stated if name not in BAND_GEOMETRY]
    if problems:
        raise_problems(ModelError, problems, f"{source}: its refiner needs another release, or has to be trained again")


@dataclass(frozen=True, slots=True)
class OutlineBand:
    """The surroundings of an ellipse, unrolled.

    Attributes:
        grey: float32 (N_RADII, N_ANGLES), 0 to 255; 0 outside the image.
        inside: float32 (N_RADII, N_ANGLES), share of the samples that lie in the image.
        normals_xy: (2, N_ANGLES), unit normals of the ellipse in the image: where sound comes from matters.
        axis_ratio: minor over major semi-axis of the ellipse.
    """

    grey: NDArray[np.float32]
    inside: NDArray[np.float32]
    normals_xy: FloatArray
    axis_ratio: float

    def with_grey(self, grey: NDArray[np.generic]) -> OutlineBand:
        """The same band with other grey values (N_RADII, N_ANGLES), 0 to 255."""
        return replace(self, grey=grey.astype(np.float32))

    def mirrored(self) -> OutlineBand:
        """The band of the left-right mirrored image around the mirrored ellipse."""
        order = (N_ANGLES // 2 - 1 - np.arange(N_ANGLES)) % N_ANGLES
        return replace(
            self,
            grey=self.grey[:, order],
            inside=self.inside[:, order],
            normals_xy=self.normals_xy[:, order] * np.array([[-1.0], [1.0]]),
        )

    def half_turned(self) -> OutlineBand:
        """The same band begun at the other end of the major axis."""
        return replace(
            self,
            grey=np.roll(self.grey, N_ANGLES // 2, axis=1),
            inside=np.roll(self.inside, N_ANGLES // 2, axis=1),
            normals_xy=np.roll(self.normals_xy, N_ANGLES // 2, axis=1),
        )


def mirror_radii(radii: FloatArray) -> FloatArray:
    """Values (..., N_ANGLES) of a band as they stand in the mirrored band, and back."""
    return radii[..., (N_ANGLES // 2 - 1 - np.arange(N_ANGLES)) % N_ANGLES]


def sample_band(image_grey: NDArray[np.uint8], ellipse_px: Ellipse) -> OutlineBand:
    """The band of an image around an ellipse, bilinear.

    Args:
        image_grey: uint8 (H, W).
        ellipse_px: in px of the image; may reach beyond it.
    """
    n_fine = N_ANGLES * SAMPLES_PER_ANGLE
    fine_rad = (np.arange(n_fine) + 0.5) / n_fine * 2.0 * math.pi
    along_xy = _frame(ellipse_px) @ np.stack([np.cos(fine_rad), np.sin(fine_rad)])
    x = ellipse_px.center_x + RELATIVE_RADII[:, None] * along_xy[0]
    y = ellipse_px.center_y + RELATIVE_RADII[:, None] * along_xy[1]
    grey = cv2.remap(
        image_grey,
        x.astype(np.float32),
        y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    inside = (x >= 0.0) & (x <= image_grey.shape[1] - 1) & (y >= 0.0) & (y <= image_grey.shape[0] - 1)
    normals = np.linalg.inv(_frame(ellipse_px)).T @ np.stack([np.cos(ANGLES_RAD), np.sin(ANGLES_RAD)])
    return OutlineBand(
        _mean_per_angle(grey),
        _mean_per_angle(inside),
        normals / np.linalg.norm(normals, axis=0),
        ellipse_px.semi_axis_b / ellipse_px.semi_axis_a,
    )


def band_input(band: OutlineBand) -> NDArray[np.float32]:
    """What a network sees of a band, (N_CHANNELS, N_RADII, N_ANGLES).

    Grey value, whether the place is in the image, normal x, normal y, relative radius, radial slope of the grey
    value, axis ratio of the start.
    """
    grey = band.grey / np.float32(255.0)
    shape = (N_RADII, N_ANGLES)
    channels = [
        (grey - _GREY_MEAN) * _GREY_GAIN,
        band.inside - 0.5,
        np.broadcast_to(band.normals_xy[0], shape),
        np.broadcast_to(band.normals_xy[1], shape),
        np.broadcast_to(((RELATIVE_RADII - 1.0) * _RADIUS_GAIN)[:, None], shape),
        np.gradient(grey, axis=0) * _SLOPE_GAIN,
        np.full(shape, band.axis_ratio - _MEAN_AXIS_RATIO),
    ]
    return np.stack(channels).astype(np.float32)


def relative_radii(ellipse_px: Ellipse, start_px: Ellipse) -> FloatArray:
    """Where an ellipse crosses the rays of a start ellipse's band, (N_ANGLES,) in units of the start.

    The start's centre must lie inside the ellipse.
    """
    to_circle = np.linalg.inv(_frame(ellipse_px))
    origin = to_circle @ (start_px.center_x - ellipse_px.center_x, start_px.center_y - ellipse_px.center_y)
    rays = to_circle @ _frame(start_px) @ np.stack([np.cos(ANGLES_RAD), np.sin(ANGLES_RAD)])
    square, linear = (rays * rays).sum(axis=0), origin @ rays
    root: FloatArray = np.sqrt(np.maximum(linear * linear - square * (origin @ origin - 1.0), 0.0))
    radii: FloatArray = (root - linear) / square
    return radii


def fit_radii(radii: FloatArray, weights: FloatArray) -> FloatArray:
    """The radii (N_ANGLES,) of the nearest ellipse-like outline 1 + BASIS m, weighted least squares."""
    weighted = BASIS * weights[:, None]
    normal = weighted.T @ BASIS + RIDGE * np.eye(BASIS.shape[1])
    fitted: FloatArray = 1.0 + BASIS @ np.linalg.solve(normal, weighted.T @ (radii - 1.0))
    return fitted


def radii_to_points(radii: FloatArray, start_px: Ellipse) -> FloatArray:
    """Points (N_ANGLES, 2) x, y in the image at relative radii of a start ellipse's band."""
    from_center_xy = _frame(start_px) @ (radii * np.stack([np.cos(ANGLES_RAD), np.sin(ANGLES_RAD)]))
    center_xy = np.array([start_px.center_x, start_px.center_y])
    points: FloatArray = from_center_xy.T + center_xy
    return points


def _frame(ellipse_px: Ellipse) -> FloatArray:
    """Matrix (2, 2) from the unit circle to the ellipse about its centre."""
    cosine, sine = math.cos(ellipse_px.angle_rad), math.sin(ellipse_px.angle_rad)
    a, b = ellipse_px.semi_axis_a, ellipse_px.semi_axis_b
    return np.array([[a * cosine, -b * sine], [a * sine, b * cosine]])


def _mean_per_angle(fine: NDArray[np.generic]) -> NDArray[np.float32]:
    """Mean over the samples of each column."""
    mean: NDArray[np.float32] = fine.reshape(N_RADII, N_ANGLES, SAMPLES_PER_ANGLE).astype(np.float32).mean(axis=2)
    return mean
