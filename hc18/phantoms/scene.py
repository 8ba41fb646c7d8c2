"""Echo levels of a synthetic scan on its polar grid, and how they differ between the trimesters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hc18.geometry.ellipse import Ellipse


@dataclass(frozen=True, slots=True)
class Stage:
    """Look of a head by its size; ranges are drawn from uniformly.

    Attributes:
        max_hc_mm: largest circumference of the stage, mm.
        skull_depth_mm: how deep under its outer edge the skull is brightest, mm.
        skull_sigma_mm: range of the half thickness (standard deviation) of that reflection, mm.
        skull_db: range of its level where the beam meets it at right angles, dB against medium tissue.
        oblique_db: loss of level where the beam grazes it, dB.
        bone_db_per_mm: attenuation in bone, dB per mm of path.
        brain_db: range of the mean level inside, dB.
        fluid_share: share of images with amniotic fluid next to the head, 0 to 1.
        whole_fan_share: share of images that show the fan from the skin down, 0 to 1.
    """

    max_hc_mm: float
    skull_depth_mm: float
    skull_sigma_mm: tuple[float, float]
    skull_db: tuple[float, float]
    oblique_db: float
    bone_db_per_mm: float
    brain_db: tuple[float, float]
    fluid_share: float
    whole_fan_share: float


EARLY = Stage(110.0, 0.98, (0.34, 0.5), (16.0, 27.0), 13.0, 0.5, (-5.0, 4.0), 0.95, 0.03)
MIDDLE = Stage(225.0, 0.85, (0.36, 0.5), (25.0, 33.0), 17.0, 1.5, (-11.0, 0.0), 0.85, 0.12)
LATE = Stage(float("inf"), 1.6, (0.45, 0.7), (25.0, 32.0), 23.0, 2.6, (-13.0, -3.0), 0.4, 0.8)


def stage_of(hc_mm: float) -> Stage:
    """The stage a head of this circumference (mm) is in."""
    return next(stage for stage in (EARLY, MIDDLE, LATE) if hc_mm <= stage.max_hc_mm)


@dataclass(frozen=True, slots=True)
class HeadSettings:
    """The head to paint.

    Attributes:
        ellipse: outer edge of the skull, image pixels.
        pixel_size_mm: edge length of a pixel, mm.
        hc_mm: circumference of the ellipse, mm.
        irregularity_mm: spread of the skull around the ellipse, mm; the ellipse stays the best fit.
        dropout_db: spread of the brightness along the skull, dB.
        shadow: strength of the attenuation by bone, 1 = typical, 0 = none.
    """

    ellipse: Ellipse
    pixel_size_mm: float
    hc_mm: float
    irregularity_mm: float
    dropout_db: float
    shadow: float


@dataclass(slots=True)
class Scene:
    """Echo levels, float32 (depths, beams).

    Attributes:
        scatter_db: random scatterers, dB against medium tissue.
        specular: amplitude of mirror-like reflectors.
        loss_db: what the way to the sample and back takes, dB.
    """

    scatter_db: NDArray[np.float32]
    specular: NDArray[np.float32]
    loss_db: NDArray[np.float32]

    def amplitudes(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Diffuse (noise floor included) and specular amplitude that reach the probe."""
        gain = from_db(-self.loss_db)
        return from_db(self.scatter_db) * gain + np.float32(8e-3), self.specular * gain

    def replace(
        self, share: NDArray[np.float32], scatter_db: NDArray[np.float32], specular: NDArray[np.float32] | np.float32
    ) -> None:
        """Puts other levels where `share` (0 to 1) is one."""
        keep = np.float32(1.0) - share
        self.scatter_db = self.scatter_db * keep + scatter_db * share
        self.specular = self.specular * keep + specular * share


def from_db(level_db: NDArray[np.float32]) -> NDArray[np.float32]:
    """Amplitude of a level in dB."""
    return np.asarray(np.exp(level_db * np.float32(np.log(10.0) / 20.0)), dtype=np.float32)


def smooth_step(value: NDArray[np.float32], half_width: float) -> NDArray[np.float32]:
    """0 below -half_width, 1 above +half_width, smooth between."""
    t = np.clip(value * np.float32(0.5 / half_width) + np.float32(0.5), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)
