"""Fetal-head domain: ellipses, fits, measurements and the HC18 challenge's formats (torch-free)."""
