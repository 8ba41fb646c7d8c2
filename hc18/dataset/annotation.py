"""From an HC18 annotation picture to the centre-line ellipse the sonographer drew."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from hc18.geometry.ellipse import Ellipse
from hc18.geometry.outline_fit import fit_outline_points

DISC_FILL_FRACTION = 0.5  # of the bounding box: a thin ring covers far less, a filled ellipse about pi / 4
MIN_AXIS_RATIO = 0.3  # minor / major; the published heads have 0.66 to 0.93
_LEAK_RADIUS = 1.15  # relative to the ellipse: background that far out, reached from inside, left through a gap


@dataclass(frozen=True, slots=True)
class AnnotationFit:
    """The ellipse of one annotation and what kind of drawing it was fitted to.

    Attributes:
        ellipse: centre line of a ring, outer edge of a disc, in px (pixel centres at integers); None if nothing fits.
        reason: why there is no ellipse, else "".
        kind: "ring" (as published), "disc" (filled copies) or "empty".
        is_closed: whether the drawing separates the head from the rest of the image.
        touches_border: whether drawn pixels lie on the image border: the head leaves the field of view.
        rms_residual_px: root mean square distance of the fitted points from the ellipse; None without ellipse.
    """

    ellipse: Ellipse | None
    reason: str
    kind: str
    is_closed: bool
    touches_border: bool
    rms_residual_px: float | None


def fit_annotation(annotation: NDArray[np.uint8]) -> AnnotationFit:
    """The ellipse of an annotation picture, whether it shows an outline or a filled disc.

    A ring gives the least-squares ellipse through all its pixels, which is the centre line whatever the line width. A
    disc gives the ellipse through its edge at half intensity; whether that edge is the inner, middle or outer rim of
    the original outline is unknown.

    Args:
        annotation: uint8 (H, W); drawn pixels are brighter than half of the brightest one.
    """
    height, width = annotation.shape
    drawn = annotation > int(annotation.max(initial=0)) / 2
    rows, columns = np.nonzero(drawn)
    if rows.size == 0:
        return AnnotationFit(None, "no drawn pixel", "empty", False, False, None)
    x0, x1, y0, y1 = int(columns.min()), int(columns.max()), int(rows[0]), int(rows[-1])
    touches_border = x0 == 0 or y0 == 0 or x1 == width - 1 or y1 == height - 1
    is_disc = rows.size > DISC_FILL_FRACTION * (x1 - x0 + 1) * (y1 - y0 + 1)
    points = _edge_points(drawn) if is_disc else np.stack([columns, rows], axis=1).astype(np.float64)
    fit = fit_outline_points(points)
    if fit.ellipse is not None and fit.ellipse.semi_axis_b < MIN_AXIS_RATIO * fit.ellipse.semi_axis_a:
        axes = f"semi-axes {fit.ellipse.semi_axis_a:.1f} and {fit.ellipse.semi_axis_b:.1f} px are those of no head"
        fit = replace(fit, ellipse=None, reason=axes, rms_residual_px=None)
    is_closed = fit.ellipse is not None and (is_disc or _is_closed_ring(drawn, fit.ellipse))
    return AnnotationFit(
        fit.ellipse, fit.reason, "disc" if is_disc else "ring", is_closed, touches_border, fit.rms_residual_px
    )


def _edge_points(drawn: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Midpoints (n, 2) x, y between drawn and undrawn pixel neighbours: the 0.5 iso-contour of a binary picture.

    The image border gives no points, so a head that leaves the image is fitted to its visible edge only.
    """
    rows, columns = np.nonzero(drawn[:, 1:] != drawn[:, :-1])
    rows_below, columns_below = np.nonzero(drawn[1:] != drawn[:-1])
    horizontal = np.stack([columns + 0.5, rows], axis=1)
    return np.concatenate([horizontal, np.stack([columns_below, rows_below + 0.5], axis=1)])


def _is_closed_ring(drawn: NDArray[np.bool_], ellipse: Ellipse) -> bool:
    """Whether a flood fill (4 neighbours) from the ellipse's centre stays inside and off the image border."""
    height, width = drawn.shape
    x, y = round(ellipse.center_x), round(ellipse.center_y)
    if not (0 <= x < width and 0 <= y < height) or drawn[y, x]:
        return False
    reach = _LEAK_RADIUS * ellipse.semi_axis_a
    left, right = max(round(x - reach), 0), min(round(x + reach) + 1, width)
    top, bottom = max(round(y - reach), 0), min(round(y + reach) + 1, height)
    _, labels = cv2.connectedComponents((~drawn[top:bottom, left:right]).astype(np.uint8), connectivity=4)
    inside = labels == labels[y - top, x - left]
    return not (inside[0].any() or inside[-1].any() or inside[:, 0].any() or inside[:, -1].any())
