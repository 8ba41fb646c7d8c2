"""What determines a phantom, and random phantoms with the sizes found in HC18."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hc18.geometry.ellipse import Ellipse

_FULL_HW = (540, 800)
_FULL_RIGHT_MARGIN_PX = 15.0  # HC18 images are black there
_HC_RANGE_MM = (44.0, 346.0)
_HC_RANGE_PX = (540.0, 1700.0)
_PIXEL_SIZE_RANGE_MM = (0.0494, 0.3933)


@dataclass(frozen=True, slots=True)
class PhantomOptions:
    """What a phantom shows; everything not named here follows from its seed.

    Attributes:
        linear: parallel beams instead of a fan.
        cut: an edge of the fan passes through the head.
        calipers: crosses at the ends of the axes.
        overlays: grey bar, machine text and blackened corners.
        irregularity_mm: spread of the skull around the ellipse, mm, 0 to 1.5; the ellipse stays its best fit.
        dropout_db: spread of the brightness along the skull, dB, 0 to 12.
        shadow: attenuation by bone, 0 none, 1 typical, 2 strong.
    """

    linear: bool = False
    cut: bool = False
    calipers: bool = False
    overlays: bool = True
    irregularity_mm: float = 0.35
    dropout_db: float = 4.0
    shadow: float = 1.0


@dataclass(frozen=True, slots=True)
class PhantomSpec:
    """Everything that determines one phantom.

    Attributes:
        image_hw: image height and width, pixels.
        pixel_size_mm: edge length of a pixel, mm.
        ellipse: outer edge of the skull, pixels, pixel centres at integers.
        options: what the picture shows.
        seed: of all random choices.
    """

    image_hw: tuple[int, int]
    pixel_size_mm: float
    ellipse: Ellipse
    options: PhantomOptions = field(default_factory=PhantomOptions)
    seed: int = 0

    @property
    def hc_mm(self) -> float:
        """Head circumference, mm."""
        return self.ellipse.circumference() * self.pixel_size_mm


@dataclass(frozen=True, slots=True)
class _SizeGroup:
    """One trimester of HC18: share of the images, mean and spread of HC in mm and in px, irregularity of the skull."""

    share: float
    hc_mm: tuple[float, float]
    hc_px: tuple[float, float]
    irregularity: float


_SIZE_GROUPS = (
    _SizeGroup(0.20, (80.0, 13.0), (950.0, 230.0), 0.7),
    _SizeGroup(0.64, (173.0, 18.0), (1365.0, 190.0), 1.0),
    _SizeGroup(0.16, (284.0, 27.0), (1355.0, 180.0), 1.3),
)


def sample_spec(
    rng: np.random.Generator,
    image_hw: tuple[int, int] = _FULL_HW,
    *,
    cut_share: float = 0.02,
    linear_share: float = 0.02,
    caliper_share: float = 0.05,
) -> PhantomSpec:
    """A random phantom of the sizes in HC18: HC 44 to 346 mm in three trimesters, 0.049 to 0.393 mm per 800 px pixel.

    Args:
        rng: source of all choices, the phantom's seed included.
        image_hw: image height and width, pixels; the pixel size grows as the image shrinks.
        cut_share: share of phantoms cut by the field of view, 0 to 1.
        linear_share: share of phantoms with parallel beams, 0 to 1.
        caliper_share: share of phantoms with caliper crosses, 0 to 1.
    """
    group = _SIZE_GROUPS[int(rng.choice(len(_SIZE_GROUPS), p=[group.share for group in _SIZE_GROUPS]))]
    hc_mm = float(np.clip(rng.normal(*group.hc_mm), *_HC_RANGE_MM))
    hc_px = float(np.clip(rng.normal(*group.hc_px), *_HC_RANGE_PX))
    hc_px = float(np.clip(hc_px, hc_mm / _PIXEL_SIZE_RANGE_MM[1], hc_mm / _PIXEL_SIZE_RANGE_MM[0]))
    ellipse = _sample_ellipse(rng, image_hw, hc_px)
    options = PhantomOptions(
        linear=bool(rng.random() < linear_share),
        cut=bool(rng.random() < cut_share),
        calipers=bool(rng.random() < caliper_share),
        irregularity_mm=float(rng.uniform(0.3, 0.8) * group.irregularity),
        dropout_db=float(rng.uniform(2.0, 7.0)),
        shadow=float(rng.uniform(0.5, 1.5)),
    )
    return PhantomSpec(image_hw, hc_mm / ellipse.circumference(), ellipse, options, int(rng.integers(2**31)))


def _sample_ellipse(rng: np.random.Generator, image_hw: tuple[int, int], full_hc_px: float) -> Ellipse:
    """A head inside the image, px; it shrinks where its orientation leaves no room.

    Args:
        rng: source of all choices.
        image_hw: image height and width, pixels.
        full_hc_px: circumference wanted in an image of 540 x 800 pixels, px.
    """
    scale = min(image_hw[1] / _FULL_HW[1], image_hw[0] / _FULL_HW[0])
    aspect = float(np.clip(rng.normal(0.79, 0.045), 0.66, 0.9))
    angle_rad = float(np.deg2rad(rng.normal(0.0, 7.0 if rng.random() < 0.75 else 40.0)))
    unit = Ellipse.from_axes(0.0, 0.0, 1.0, aspect, angle_rad)
    _, _, half_x, half_y = unit.box_xyxy()
    width, height = _FULL_HW[1] - _FULL_RIGHT_MARGIN_PX, float(_FULL_HW[0])
    semi_axis_a = min(full_hc_px / unit.circumference(), 0.46 * width / half_x, 0.47 * height / half_y)
    center_x = np.clip(rng.normal(400.0, 40.0), 1.03 * semi_axis_a * half_x, width - 1.03 * semi_axis_a * half_x)
    center_y = np.clip(rng.normal(272.0, 36.0), 1.03 * semi_axis_a * half_y, height - 1.03 * semi_axis_a * half_y)
    full_to_image = (image_hw[1] / _FULL_HW[1], image_hw[0] / _FULL_HW[0])
    return Ellipse.from_axes(
        float(center_x) * full_to_image[0],
        float(center_y) * full_to_image[1],
        semi_axis_a * scale,
        semi_axis_a * aspect * scale,
        angle_rad,
    )
