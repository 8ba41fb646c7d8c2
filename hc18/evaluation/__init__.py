"""Errors of measurements against a reference, and pictures of them."""
