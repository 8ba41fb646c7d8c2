"""Fetal heads in ultrasound images: measure their circumference, evaluate, report and review it.

    from hc18 import load_model, measure
    model = load_model()
    print(measure("000_HC.png", model, pixel_size_mm=0.0691).hc_mm)

Importing this package loads nothing else; the names below are loaded when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hc18.measurement.head_model import HeadModel as HeadModel
    from hc18.measurement.head_model import load_model as load_model
    from hc18.measurement.measurement import Measurement as Measurement
    from hc18.measurement.pipeline import measure as measure

_MODULES = {
    "HeadModel": "hc18.measurement.head_model",
    "Measurement": "hc18.measurement.measurement",
    "load_model": "hc18.measurement.head_model",
    "measure": "hc18.measurement.pipeline",
}

__all__ = ["HeadModel", "Measurement", "load_model", "measure"]


def __getattr__(name: str) -> Any:
    """One of the public names."""
    if name not in _MODULES:
        raise AttributeError(f"module 'hc18' has no attribute '{name}'; expected one of {', '.join(__all__)}")
    return getattr(import_module(_MODULES[name]), name)
