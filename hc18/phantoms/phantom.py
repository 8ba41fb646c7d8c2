"""Synthetic ultrasound images of fetal heads whose outline and circumference are known exactly.

A picture is made the way a scanner makes it: echo levels on a fan of beams (`tissue`, `head`), speckle
by coherent summation under a point-spread function (`speckle`), compression, scan conversion (`view`),
overlays.
The truth ellipse runs along the OUTER edge of the skull, at half its height, as the outlines of HC18 do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hc18.geometry.ellipse import Ellipse
from hc18.phantoms.head import paint_head
from hc18.phantoms.overlay import draw_calipers, draw_covered_text, draw_grey_bar, draw_machine_text
from hc18.phantoms.scene import HeadSettings, stage_of
from hc18.phantoms.spec import PhantomSpec
from hc18.phantoms.speckle import compress, speckle_envelope
from hc18.phantoms.tissue import gain_error_db, paint_cavity, paint_tissue
from hc18.phantoms.view import FanView, sample_grid, sample_view, to_image

DistractorKind = Literal["blank", "grey", "noise", "blobs", "no_skull"]

_COMPOUNDED_LOOKS = 3


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
        kind: "blank" = black, "grey" = one grey level, "noise" = white noise, "blobs" = smooth noise, "no_skull" =
            tissue and fluid as in a phantom.
        image_hw: image height and width, pixels.
        seed: of all random choices.

    Raises:
        ValueError: if `kind` is none of these.
    """
    rng = np.random.default_rng(seed)
    if kind == "blank":
        return np.zeros(image_hw, dtype=np.uint8)
    if kind == "grey":
        return np.full(image_hw, rng.integers(1, 256), dtype=np.uint8)
    if kind == "noise":
        return rng.integers(0, 256, image_hw, dtype=np.uint8)
    if kind == "blobs":
        smooth = ndimage.gaussian_filter(rng.standard_normal(image_hw), rng.uniform(0.002, 0.03) * image_hw[1])
        grey: NDArray[np.float64] = rng.uniform(40.0, 140.0) + rng.uniform(20.0, 60.0) * smooth / smooth.std()
        return np.rint(np.clip(grey, 0.0, 255.0)).astype(np.uint8)
    if kind == "no_skull":
        pixel_size_mm = 0.13 * 800.0 / image_hw[1]
        view = sample_view(rng, image_hw, pixel_size_mm, None, linear=False, cut=False, whole_fan=False)
        image = _render(view, image_hw, pixel_size_mm, None, rng)
        _draw_overlays(image, rng)
        return image
    raise ValueError(f"unknown distractor {kind!r}; expected one of {', '.join(get_args(DistractorKind))}")


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
    grey = compress(envelope, reference_grey=float(rng.uniform(46.0, 80.0)), exponent=float(rng.uniform(0.43, 0.53)))
    return np.rint(to_image(grey, view, image_hw)).astype(np.uint8)


def _draw_overlays(image: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Draws what HC18 images carry besides the scan, in place."""
    draw_machine_text(image, "C5-2 MI 1.1" if rng.random() < 0.5 else "RAB 4-8")
    draw_covered_text(image, rng)
    draw_grey_bar(image)
