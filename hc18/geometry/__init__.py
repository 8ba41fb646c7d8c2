"""Ellipses, ellipse fits and pixel sizes."""

from hc18.geometry.ellipse import Ellipse
from hc18.geometry.fits import fit_soft_mask
from hc18.geometry.outline_fit import fit_outline_points
from hc18.geometry.pixel_size import Calibration, CalibrationSource, choose_pixel_size

__all__ = [
    "Calibration",
    "CalibrationSource",
    "Ellipse",
    "choose_pixel_size",
    "fit_outline_points",
    "fit_soft_mask",
]
