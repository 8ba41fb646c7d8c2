"""Calibrates and validates the intervals of a model (conformal prediction)."""
