"""Gestational age, growth and plausible sizes of fetal heads."""

from hc18.obstetrics.gestational_age import GestationalAge, gestational_ages
from hc18.obstetrics.growth import GrowthAssessment, intergrowth_hc, is_plausible_hc, is_too_flat

__all__ = [
    "GestationalAge",
    "GrowthAssessment",
    "gestational_ages",
    "intergrowth_hc",
    "is_plausible_hc",
    "is_too_flat",
]
