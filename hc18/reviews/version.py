"""The version of this program, for the record."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def app_version() -> str:
    """The installed version, or `unknown` in a checkout that is not installed."""
    try:
        return version("fetal-hc")
    except PackageNotFoundError:
        return "unknown"
