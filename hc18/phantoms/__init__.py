"""Synthetic ultrasound images of heads whose circumference is known."""

from hc18.phantoms.folder import write_phantom_folder
from hc18.phantoms.phantom import Phantom, render_phantom
from hc18.phantoms.spec import PhantomOptions, PhantomSpec, sample_spec

__all__ = ["Phantom", "PhantomOptions", "PhantomSpec", "render_phantom", "sample_spec", "write_phantom_folder"]
