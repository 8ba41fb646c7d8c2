"""Field of view of a synthetic ultrasound image: a fan of beams, its sampling grid and the scan conversion."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hc18.geometry.ellipse import Ellipse

_FULL_WIDTH_PX = 800
_REFERENCE_PIXEL_SIZE_MM = 0.128
_LINEAR_APEX_HEIGHTS = 60.0


@dataclass(frozen=True, slots=True)
class FanView:
    """A fan of beams in image pixels (pixel centres at integers, x right, y down).

    A linear probe is a fan whose apex lies very far above the image, so one rule serves both.

    Attributes:
        apex_xy: point where all beams meet, above the image.
        radius_range_px: distances from the apex where the picture starts and ends.
        angle_range_rad: first and last beam, measured from straight down, positive to the right.
    """

    apex_xy: tuple[float, float]
    radius_range_px: tuple[float, float]
    angle_range_rad: tuple[float, float]


@dataclass(frozen=True, slots=True)
class PolarGrid:
    """Sample points of a fan: rows are depths, columns are beams; all arrays float32 of shape (depths, beams).

    Attributes:
        x_px, y_px: positions in image pixels.
        beam_x, beam_y: unit direction of travel of the pulse, shape (1, beams).
        depth_mm: distance from the top of the fan, shape (depths, 1).
        step_mm: axial distance of two samples.
        axial_sigma, lateral_sigma: size of the point-spread function in samples.
    """

    view: FanView
    x_px: NDArray[np.float32]
    y_px: NDArray[np.float32]
    beam_x: NDArray[np.float32]
    beam_y: NDArray[np.float32]
    depth_mm: NDArray[np.float32]
    step_mm: float
    axial_sigma: float
    lateral_sigma: float

    @property
    def shape(self) -> tuple[int, int]:
        """Number of depths and of beams."""
        return self.x_px.shape[0], self.x_px.shape[1]


def sample_view(
    rng: np.random.Generator,
    image_hw: tuple[int, int],
    pixel_size_mm: float,
    ellipse: Ellipse | None,
    *,
    linear: bool,
    cut: bool,
    whole_fan: bool,
) -> FanView:
    """A field of view that holds the head, or cuts it at one side.

    Args:
        rng: source of all choices.
        image_hw: image height and width, pixels.
        pixel_size_mm: edge length of a pixel, mm.
        ellipse: the head in pixels, or None for an image without one.
        linear: parallel beams instead of a fan.
        cut: let one edge of the fan pass through the head.
        whole_fan: show the fan from the skin down instead of an enlarged part.
    """
    height, width = image_hw
    hidden_mm = (
        0.0 if whole_fan else max(0.0, rng.uniform(90.0, 130.0) - height * pixel_size_mm) * rng.uniform(0.2, 0.8)
    )
    apex_height = float(rng.uniform(42.0, 58.0) + hidden_mm) / pixel_size_mm
    half_angle = float(np.deg2rad(rng.uniform(21.0, 32.0)))
    if linear:
        apex_height = _LINEAR_APEX_HEIGHTS * height
        half_angle = 0.5 * width / apex_height * rng.uniform(0.8, 1.0)
    apex_xy = (width * (0.5 + 0.03 * rng.standard_normal()), -apex_height)
    tilt = rng.uniform(-0.1, 0.1) * half_angle
    top = apex_height + height * (rng.uniform(0.02, 0.12) if whole_fan else rng.uniform(-0.06, 0.04))
    bottom = apex_height + height * (rng.uniform(0.88, 1.02) if whole_fan else rng.uniform(0.97, 1.15))
    view = FanView(apex_xy, (top, bottom), (tilt - half_angle, tilt + half_angle))
    cut_side = int(rng.integers(2)) if cut else None
    return view if ellipse is None else _fit_to_head(view, ellipse, cut_side)


def _fit_to_head(view: FanView, ellipse: Ellipse, cut_side: int | None) -> FanView:
    """The view opened until the head lies inside, except at the side (0 left, 1 right) that shall cut it."""
    offset = ellipse.outline(64) - np.array(view.apex_xy)
    angles, radii = np.arctan2(offset[:, 0], offset[:, 1]), np.hypot(offset[:, 0], offset[:, 1])
    left, right = float(angles.min()), float(angles.max())
    margin = 0.06 * (right - left)
    first, last = min(view.angle_range_rad[0], left - margin), max(view.angle_range_rad[1], right + margin)
    if cut_side == 0:
        first = left + 1.5 * margin
    elif cut_side == 1:
        last = right - 1.5 * margin
    room = 0.02 * float(radii.max() - radii.min())
    top, bottom = view.radius_range_px
    radius_range = (min(top, float(radii.min()) - room), max(bottom, float(radii.max()) + room))
    return FanView(view.apex_xy, radius_range, (first, last))


def sample_grid(view: FanView, image_hw: tuple[int, int], pixel_size_mm: float) -> PolarGrid:
    """Sample points for `view`, just fine enough for the speckle of an image of this size.

    Speckle in HC18 images (half width of the autocorrelation: 3.0 px axially, 5.9 px laterally at 0.128 mm) grows a
    little more slowly than the magnification; smaller images hold the same picture with fewer pixels.
    """
    scale = image_hw[1] / _FULL_WIDTH_PX
    zoom = _REFERENCE_PIXEL_SIZE_MM / (pixel_size_mm * scale)
    radial_step = max(1.25 * scale, 0.5)
    lateral_step = max(2.0 * scale, 0.8)
    radius_0, radius_1 = view.radius_range_px
    angle_0, angle_1 = view.angle_range_rad
    mid_radius = 0.5 * (radius_0 + radius_1)
    n_depths = max(int((radius_1 - radius_0) / radial_step), 8)
    n_beams = max(int((angle_1 - angle_0) * mid_radius / lateral_step), 8)
    radius = np.linspace(radius_0, radius_1, n_depths)[:, None]
    angle = np.linspace(angle_0, angle_1, n_beams)[None, :]
    sin, cos = np.sin(angle), np.cos(angle)
    return PolarGrid(
        view=view,
        x_px=(view.apex_xy[0] + radius * sin).astype(np.float32),
        y_px=(view.apex_xy[1] + radius * cos).astype(np.float32),
        beam_x=sin.astype(np.float32),
        beam_y=cos.astype(np.float32),
        depth_mm=((radius - radius_0) * pixel_size_mm).astype(np.float32),
        step_mm=float(radius[1, 0] - radius[0, 0]) * pixel_size_mm,
        axial_sigma=2.65 * scale * zoom**0.4 / radial_step,
        lateral_sigma=6.1 * scale * zoom**0.4 / lateral_step,
    )


def to_image(samples: NDArray[np.float32], view: FanView, image_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Scan conversion: samples of shape (depths, beams) to an image of shape (H, W); 0 outside the fan."""
    height, width = image_hw
    n_depths, n_beams = samples.shape
    dx = (np.arange(width, dtype=np.float32) - view.apex_xy[0])[None, :]
    dy = (np.arange(height, dtype=np.float32) - view.apex_xy[1])[:, None]
    radius_0, radius_1 = view.radius_range_px
    angle_0, angle_1 = view.angle_range_rad
    map_depth = (np.sqrt(dx * dx + dy * dy) - np.float32(radius_0)) * np.float32((n_depths - 1) / (radius_1 - radius_0))
    map_beam = (np.arctan2(dx, dy) - np.float32(angle_0)) * np.float32((n_beams - 1) / (angle_1 - angle_0))
    image = cv2.remap(
        samples,
        map_beam.astype(np.float32),
        map_depth.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0.0,
    )
    return np.asarray(image, dtype=np.float32)
