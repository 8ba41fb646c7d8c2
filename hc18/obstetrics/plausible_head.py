"""Sizes and shapes that a fetal head can have; what lies beyond is measured wrongly or is something else."""

from __future__ import annotations

from hc18.geometry.ellipse import Ellipse

PLAUSIBLE_HC_MM = (30.0, 420.0)  # HC18 has 44 to 346 mm
PLAUSIBLE_AXIS_RATIO = 0.5  # minor / major axis; HC18 and published heads have 0.66 to 0.93


def is_plausible_hc(hc_mm: float) -> bool:
    """Whether a fetal head can have this circumference in mm."""
    low_mm, high_mm = PLAUSIBLE_HC_MM
    return low_mm <= hc_mm <= high_mm


def is_too_flat(ellipse: Ellipse) -> bool:
    """Whether an ellipse, in any unit, is flatter than a fetal head can be."""
    return ellipse.semi_axis_b < PLAUSIBLE_AXIS_RATIO * ellipse.semi_axis_a
