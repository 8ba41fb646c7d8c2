"""Ellipses, ellipse fits and pixel sizes."""
