"""Shared library of the project: files and images, training engine, ONNX models, batches. It knows neither domain."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

DISCLAIMER = "Research use only. Not a medical device. Not for clinical decisions."


def installed_version() -> str:
    """The installed version of this program, or `unknown` in a checkout that is not installed."""
    try:
        return version("fetal-hc")
    except PackageNotFoundError:
        return "unknown"
