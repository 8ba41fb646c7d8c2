"""Synthetic ultrasound images of fetal heads whose outline and circumference are known exactly.

A picture is made the way a scanner makes it: echo levels on a fan of beams (`phantom_tissue`, `phantom_head`), speckle
by coherent summation under a point-spread function (`phantom_speckle`), compression, scan conversion (`phantom_view`),
overlays.
The truth ellipse runs along the OUTER edge of the skull, at half its height, as the outlines of HC18 do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hc18.ellipse import Ellipse
from hc18.phantom_head import paint_head
from hc18.phantom_overlay import draw_calipers, draw_covered_text, draw_grey_bar, draw_machine_text
from hc18.phantom_scene import HeadSettings, stage_of
from hc18.phantom_speckle import compress, speckle_envelope
from hc18.phantom_tissue import gain_error_db, paint_cavity, paint_tissue
from hc18.phantom_view import FanView, sample_grid, sample_view, to_image

DistractorKind = Literal["blank", "noise", "no_skull"]

_COMPOUNDED_LOOKS = 3


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
    dropout_db: float = 5.0
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
class Phantom:
    """A rendered phantom: image uint8 (H, W), the truth ellipse in pixels, pixel size and circumference in mm."""

    image: NDArray[np.uint8]
    ellipse: Ellipse
    pixel_size_mm: float
    hc_mm: float


def render_phantom(spec: PhantomSpec) -> Phantom:
    """The image of `spec` with its truth; the same spec always gives the same pixels."""
    rng = np.random.default_rng(spec.seed)
    options = spec.options
    whole_fan = bool(rng.random() < stage_of(spec.hc_mm).whole_fan_share) and not options.linear
    view = sample_view(
        rng,
        spec.image_hw,
        spec.pixel_size_mm,
        spec.ellipse,
        linear=options.linear,
        cut=options.cut,
        whole_fan=whole_fan,
    )
    head = HeadSettings(
        spec.ellipse, spec.pixel_size_mm, spec.hc_mm, options.irregularity_mm, options.dropout_db, options.shadow
    )
    image = _render(view, spec.image_hw, spec.pixel_size_mm, head, rng)
    if options.calipers:
        draw_calipers(image, spec.ellipse)
    if options.overlays:
        _draw_overlays(image, rng)
    return Phantom(image, spec.ellipse, spec.pixel_size_mm, spec.hc_mm)


def render_distractor(kind: DistractorKind, image_hw: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """An image without a head, uint8 (H, W).

    Args:
        kind: "blank" = black, "noise" = white noise, "no_skull" = tissue and fluid as in a phantom.
        image_hw: image height and width, pixels.
        seed: of all random choices.

    Raises:
        ValueError: if `kind` is none of these.
    """
    rng = np.random.default_rng(seed)
    if kind == "blank":
        return np.zeros(image_hw, dtype=np.uint8)
    if kind == "noise":
        return rng.integers(0, 256, image_hw, dtype=np.uint8)
    if kind == "no_skull":
        pixel_size_mm = 0.13 * 800.0 / image_hw[1]
        view = sample_view(rng, image_hw, pixel_size_mm, None, linear=False, cut=False, whole_fan=False)
        image = _render(view, image_hw, pixel_size_mm, None, rng)
        _draw_overlays(image, rng)
        return image
    raise ValueError(f"unknown distractor {kind!r}; expected 'blank', 'noise' or 'no_skull'")


def _render(
    view: FanView, image_hw: tuple[int, int], pixel_size_mm: float, head: HeadSettings | None, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The picture inside the fan, uint8 (H, W), without overlays."""
    grid = sample_grid(view, image_hw, pixel_size_mm)
    scene = paint_tissue(grid, rng)
    paint_cavity(scene, grid, pixel_size_mm, head, rng)
    if head is not None:
        paint_head(scene, grid, head, rng)
    scene.loss_db += gain_error_db(grid, rng)
    scatter, specular = scene.amplitudes()
    envelope = speckle_envelope(scatter, specular, grid, rng, n_looks=_COMPOUNDED_LOOKS)
    grey = compress(envelope, reference_grey=float(rng.uniform(42.0, 74.0)), exponent=float(rng.uniform(0.44, 0.54)))
    return np.rint(to_image(grey, view, image_hw)).astype(np.uint8)


def _draw_overlays(image: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Draws what HC18 images carry besides the scan, in place."""
    draw_machine_text(image, "C5-2 MI 1.1" if rng.random() < 0.5 else "RAB 4-8")
    draw_covered_text(image, rng)
    draw_grey_bar(image)


def sample_spec(
    rng: np.random.Generator,
    image_hw: tuple[int, int] = (540, 800),
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
    height, width = image_hw
    scale = min(width / 800.0, height / 540.0)
    trimester = rng.choice(3, p=[0.2, 0.64, 0.16])
    hc_mm = float(np.clip(rng.normal((80.0, 173.0, 284.0)[trimester], (13.0, 18.0, 27.0)[trimester]), 44.0, 346.0))
    hc_px = float(
        np.clip(rng.normal((950.0, 1365.0, 1355.0)[trimester], (230.0, 190.0, 180.0)[trimester]), 540.0, 1700.0)
    )
    pixel_size_mm = float(np.clip(hc_mm / hc_px, 0.0494, 0.3933))
    aspect = float(np.clip(rng.normal(0.79, 0.045), 0.66, 0.9))
    unit = Ellipse.from_axes(0.0, 0.0, 1.0, aspect, 0.0).circumference()
    semi_axis_a = hc_mm / pixel_size_mm / unit
    angle_rad = np.deg2rad(rng.normal(0.0, 7.0) if rng.random() < 0.75 else rng.normal(0.0, 40.0))
    half_x = np.hypot(semi_axis_a * np.cos(angle_rad), semi_axis_a * aspect * np.sin(angle_rad))
    half_y = np.hypot(semi_axis_a * np.sin(angle_rad), semi_axis_a * aspect * np.cos(angle_rad))
    shrink = min(1.0, 0.47 * 540.0 / half_y, 0.46 * 770.0 / half_x)
    center_x = _inside(rng.normal(400.0, 40.0), half_x * shrink + 14.0, 785.0)
    center_y = _inside(rng.normal(272.0, 36.0), half_y * shrink + 3.0, 540.0)
    factor = shrink * scale
    ellipse = Ellipse.from_axes(
        center_x * width / 800.0,
        center_y * height / 540.0,
        semi_axis_a * factor,
        semi_axis_a * aspect * factor,
        float(angle_rad),
    )
    options = PhantomOptions(
        linear=bool(rng.random() < linear_share),
        cut=bool(rng.random() < cut_share),
        calipers=bool(rng.random() < caliper_share),
        irregularity_mm=float(rng.uniform(0.3, 0.8) * (0.7, 1.0, 1.3)[trimester]),
        dropout_db=float(rng.uniform(2.0, 7.0)),
        shadow=float(rng.uniform(0.5, 1.5)),
    )
    return PhantomSpec(image_hw, float(pixel_size_mm / factor), ellipse, options, int(rng.integers(2**31)))


def _inside(center: float, half_extent: float, size: float) -> float:
    """`center` moved until the extent lies within 0..size, or the middle where it does not fit."""
    return float(np.clip(center, half_extent, size - half_extent)) if 2 * half_extent < size else size / 2
