"""Diameters of the head and its shape, from the ellipse on the outer edge of the skull.

BPD is the biparietal, OFD the occipitofrontal diameter. Outer to outer runs from outer edge to outer edge. Outer to
inner ends at the inner edge of the far skull, so it is shorter by one thickness of the skull, which the picture gives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from hc18.geometry.ellipse import Ellipse

# Cephalic index, percent: mean 78.3 and standard deviation 4.4, so one SD to both sides.
# References: F. P. Hadlock, R. L. Deter, R. J. Carpenter, S. K. Park, Estimating fetal age: effect of head shape on
# BPD, Am. J. Roentgenol. 137 (1981).
CEPHALIC_INDEX_RANGE = (74.0, 83.0)

_RAYS_DEG = np.arange(-12.0, 12.1, 1.0)  # about the end of the short axis
_OUTSIDE_MM, _INSIDE_MM, _STEP_MM = 1.5, 8.0, 0.1
_THICKNESS_MM = (0.8, 6.0)  # of a fetal skull's echo; others are no skull
_LEAST_CONTRAST = 12.0  # grey levels between the echo and what lies inside


@dataclass(frozen=True, slots=True)
class HeadShape:
    """Diameters of a head.

    Attributes:
        ofd_outer_outer_mm: occipitofrontal diameter, the long axis of the ellipse.
        bpd_outer_outer_mm: biparietal diameter, the short axis of the ellipse.
        bpd_outer_inner_mm: the same up to the inner edge of the far skull; None where the picture does not show it.
    """

    ofd_outer_outer_mm: float
    bpd_outer_outer_mm: float
    bpd_outer_inner_mm: float | None = None

    @property
    def cephalic_index_percent(self) -> float:
        """100 BPD / OFD, both outer to outer."""
        return 100.0 * self.bpd_outer_outer_mm / self.ofd_outer_outer_mm

    @property
    def is_usual(self) -> bool:
        """Whether the cephalic index lies in its reference range."""
        low, high = CEPHALIC_INDEX_RANGE
        return low <= self.cephalic_index_percent <= high


def measure_head_shape(
    ellipse_px: Ellipse | None,
    pixel_size_xy_mm: tuple[float, float] | None,
    image_rgb: NDArray[np.uint8] | None = None,
) -> HeadShape | None:
    """Diameters of the head; None without an ellipse or a pixel size.

    Args:
        ellipse_px: on the outer edge of the skull, px, pixel centres at integers.
        pixel_size_xy_mm: mm per px.
        image_rgb: (H, W, 3) uint8, for the thickness of the skull; None leaves the outer-inner diameter out.
    """
    if ellipse_px is None or pixel_size_xy_mm is None:
        return None
    ellipse_mm = ellipse_px.to_mm(*pixel_size_xy_mm)
    bpd = 2.0 * ellipse_mm.semi_axis_b
    thickness = None if image_rgb is None else _skull_thickness_mm(ellipse_mm, pixel_size_xy_mm, image_rgb)
    return HeadShape(2.0 * ellipse_mm.semi_axis_a, bpd, None if thickness is None else bpd - thickness)


def _skull_thickness_mm(
    ellipse_mm: Ellipse, pixel_size_xy_mm: tuple[float, float], image_rgb: NDArray[np.uint8]
) -> float | None:
    """Thickness of the skull's echo at the lower end of the short axis, away from the probe; None if it is not clear.

    It is the depth at which the mean profile behind the brightest point falls to half between echo and inside.
    """
    turn = ellipse_mm.angle_rad + math.pi / 2.0
    side = 1.0 if math.sin(turn) >= 0.0 else -1.0  # y points down, away from the probe
    end = math.pi / 2.0 * side
    eccentric = end + np.deg2rad(_RAYS_DEG)
    depth_mm = np.arange(-_OUTSIDE_MM, _INSIDE_MM, _STEP_MM)
    local = np.stack([ellipse_mm.semi_axis_a * np.cos(eccentric), ellipse_mm.semi_axis_b * np.sin(eccentric)], axis=1)
    cosine, sine = math.cos(ellipse_mm.angle_rad), math.sin(ellipse_mm.angle_rad)
    edge = local @ np.array([[cosine, sine], [-sine, cosine]])
    inward = -edge / np.linalg.norm(edge, axis=1, keepdims=True)
    points = edge[:, None, :] + depth_mm[None, :, None] * inward[:, None, :]
    points += (ellipse_mm.center_x, ellipse_mm.center_y)
    grey = image_rgb.mean(axis=2)
    x, y = points[..., 0] / pixel_size_xy_mm[0], points[..., 1] / pixel_size_xy_mm[1]
    if x.min() < 0.0 or y.min() < 0.0 or x.max() > grey.shape[1] - 1 or y.max() > grey.shape[0] - 1:
        return None
    profile = map_coordinates(grey, [y, x], order=1).mean(axis=0)
    brightest = int(np.argmax(profile[: int((_OUTSIDE_MM + _THICKNESS_MM[1]) / _STEP_MM)]))
    inside = float(profile[brightest:].min())
    if profile[brightest] - inside < _LEAST_CONTRAST:
        return None
    below = np.flatnonzero(profile[brightest:] <= (profile[brightest] + inside) / 2.0)
    thickness = float(depth_mm[brightest + below[0]])
    return thickness if _THICKNESS_MM[0] <= thickness <= _THICKNESS_MM[1] else None
