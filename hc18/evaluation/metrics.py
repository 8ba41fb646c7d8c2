"""Distances of a submitted ellipse from the reference: circumference, overlap and outline distance."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hc18.geometry.ellipse import Ellipse

_CHORDS = 4096  # chords of the overlap: error below 1e-6 of the area
_DIRECTIONS = 4096  # directions of the Hausdorff distance: error below 1e-6 of the larger axis


def hc_error(predicted: Ellipse, reference_hc_mm: float) -> float:
    """Difference DF = predicted - reference head circumference, in mm.

    Args:
        predicted: ellipse in mm.
        reference_hc_mm: circumference to compare with, in mm.
    """
    return predicted.circumference() - reference_hc_mm


def dice(first: Ellipse, second: Ellipse) -> float:
    """Dice coefficient 2 |A n B| / (|A| + |B|) of two filled ellipses, in [0, 1], accurate to 1e-5.

    Args:
        first: one ellipse; its unit (px or mm) must be that of `second`.
        second: the other ellipse.
    """
    return min(2.0 * intersection_area(first, second) / (first.area() + second.area()), 1.0)


def intersection_area(first: Ellipse, second: Ellipse) -> float:
    """Area common to two filled ellipses, in the squared unit of their axes.

    An affine map that makes `first` the unit circle makes `second` some ellipse, and a turn of the circle makes that
    one upright. There the overlap is an integral over chord lengths; x = middle + half cos(t) removes the square-root
    ends of the integrand.

    Args:
        first: one ellipse; its unit (px or mm) must be that of `second`.
        second: the other ellipse.
    """
    relative = _in_unit_circle_of(first, second)
    cosine, sine = math.cos(relative.angle_rad), math.sin(relative.angle_rad)
    x = relative.center_x * cosine + relative.center_y * sine  # in axes parallel to those of `relative`
    y = relative.center_y * cosine - relative.center_x * sine
    a, b = relative.semi_axis_a, relative.semi_axis_b
    left, right = max(-1.0, x - a), min(1.0, x + a)
    if right <= left:
        return 0.0
    angle = (np.arange(_CHORDS) + 0.5) * (math.pi / _CHORDS)
    chord_x = (left + right) / 2.0 + (right - left) / 2.0 * np.cos(angle)
    half_first = np.sqrt(np.maximum(1.0 - chord_x**2, 0.0))
    half_second = b * np.sqrt(np.maximum(1.0 - ((chord_x - x) / a) ** 2, 0.0))
    length = np.minimum(half_first, y + half_second) - np.maximum(-half_first, y - half_second)
    weight = (right - left) / 2.0 * np.sin(angle) * (math.pi / _CHORDS)
    return float(np.maximum(length, 0.0) @ weight) * first.semi_axis_a * first.semi_axis_b


def hausdorff(first: Ellipse, second: Ellipse) -> float:
    """Symmetric Hausdorff distance of two ellipses, in the unit of their axes.

    For convex bodies it is the largest difference of their support functions h(u) = c.u + |(a cos, b sin)|, and it is
    the same for the filled ellipses as for their outlines.

    Args:
        first: one ellipse; its unit (px or mm) must be that of `second`.
        second: the other ellipse.

    References: R. Schneider, Convex Bodies: The Brunn-Minkowski Theory, 2nd ed. (2014), Lemma 1.8.1, Theorem 1.8.11.
    """
    direction = np.linspace(0.0, 2.0 * math.pi, _DIRECTIONS, endpoint=False)
    return float(np.abs(_support(first, direction) - _support(second, direction)).max())


def _in_unit_circle_of(first: Ellipse, second: Ellipse) -> Ellipse:
    """`second` in the frame in which `first` is the unit circle about the origin."""
    cosine, sine = math.cos(first.angle_rad), math.sin(first.angle_rad)
    linear = np.array([[cosine, sine], [-sine, cosine]]) / [[first.semi_axis_a], [first.semi_axis_b]]
    shift = -linear @ [first.center_x, first.center_y]
    return second.transformed(np.column_stack([linear, shift]))


def _support(ellipse: Ellipse, direction_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signed distance from the origin of the tangent with each outward normal direction."""
    center = ellipse.center_x * np.cos(direction_rad) + ellipse.center_y * np.sin(direction_rad)
    turned = direction_rad - ellipse.angle_rad
    return center + np.hypot(ellipse.semi_axis_a * np.cos(turned), ellipse.semi_axis_b * np.sin(turned))
