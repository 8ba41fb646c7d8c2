"""Fitting and validating the interval of a model."""
