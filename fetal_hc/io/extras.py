"""Libraries of optional requirement sets, imported when needed, with one clear message when they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from fetal_hc.errors import ConfigError

SCALE_REQUIREMENTS = "'fetal-hc[scale]'"


def import_scale_library(name: str, purpose: str) -> Any:
    """A module of a library that only the extra scale installs.

    Args:
        name: module to import, for instance `pyarrow.parquet`.
        purpose: what it is needed for, for the message.

    Raises:
        ConfigError: if it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"{purpose} needs the library {name.partition('.')[0]}, which is not installed ({error}); install it with "
            f"pip install {SCALE_REQUIREMENTS}"
        ) from error
