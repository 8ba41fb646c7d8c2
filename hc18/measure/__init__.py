"""From an image file to a head circumference in millimetres, with interval and quality flags.

The room itself can be called: `hc18.measure(image, model)` is `hc18.measure.pipeline.measure`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

_MODULES = {
    "FLAG_TEXTS": "flags",
    "Flag": "flags",
    "Status": "flags",
    "HeadModel": "head_model",
    "load_model": "head_model",
    "HeadOutline": "outline",
    "Interval": "interval_model",
    "Measurement": "measurement",
    "apply_pixel_size": "measurement",
    "measure_frame": "pipeline",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    """One of the public names, loaded when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module 'hc18.measure' has no attribute '{name}'")
    return getattr(import_module(f"hc18.measure.{_MODULES[name]}"), name)


class _Room(ModuleType):
    """This module, which is also the function of the same name."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """See `hc18.measure.pipeline.measure`."""
        return import_module("hc18.measure.pipeline").measure(*arguments, **options)


sys.modules[__name__].__class__ = _Room
