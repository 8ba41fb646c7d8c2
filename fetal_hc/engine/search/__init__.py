"""Hyper-parameter search, cross-validation and ensembles."""
