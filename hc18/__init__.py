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
    from hc18.measure.head_model import HeadModel as HeadModel
    from hc18.measure.head_model import load_model as load_model
    from hc18.measure.measurement import Measurement as Measurement
    from hc18.measure.pipeline import measure as measure

__all__ = ["HeadModel", "Measurement", "load_model", "measure"]


def __getattr__(name: str) -> Any:
    """One of the public names."""
    if name not in __all__:
        raise AttributeError(f"module 'hc18' has no attribute '{name}'; expected one of {', '.join(__all__)}")
    room = import_module("hc18.measure")
    return room if name == "measure" else getattr(room, name)
