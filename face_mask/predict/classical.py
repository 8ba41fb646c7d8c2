"""Masks without learning: the baselines that report 2 compares its networks with.

References: Otsu, A threshold selection method from gray-level histograms, IEEE Trans. SMC 9(1) (1979); Beucher,
Lantuejoul, Use of watersheds in contour detection (1979).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

# Smoothing before a threshold and clean-up after it, as shares of the shorter side.
BLUR_FRAC = 0.01
CLOSING_FRAC = 0.03
# Region growing: pixels farther from Otsu's threshold than this share of the way to their class's mean are markers.
SURE_SHARE = 0.6
# Of several parts the large and central one is the mask: at this distance from the centre, in sides of the photo, area
# weighs 1/e.
CENTER_DISTANCE = 0.25


def otsu_mask(image_rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The less red of Otsu's two classes, cleaned up: bool (H, W) from RGB (H, W, 3).

    A mask has less red than skin, in any light. The large central part is kept.
    """
    lack = _lack_of_red(image_rgb)
    _, found = cv2.threshold(lack, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return _central_part(_clean(np.asarray(found, dtype=np.uint8)))


def region_mask(image_rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Regions grown from surely red and surely not red pixels up to the edges: bool (H, W) from RGB (H, W, 3).

    Threshold and edges together: markers on both sides of Otsu's threshold, a watershed on the gradient between them.
    """
    lack = _lack_of_red(image_rgb)
    threshold, found = cv2.threshold(lack, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    is_above = np.asarray(found) > 0
    if not is_above.any() or is_above.all():
        return np.zeros(lack.shape, dtype=bool)
    low, high = float(lack[~is_above].mean()), float(lack[is_above].mean())
    markers = np.zeros(lack.shape, dtype=np.int32)
    markers[lack <= threshold - SURE_SHARE * (threshold - low)] = 1
    markers[lack >= threshold + SURE_SHARE * (high - threshold)] = 2
    across, down = (cv2.Sobel(lack, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    gradient = np.asarray(cv2.magnitude(across, down))
    edges = (255.0 * gradient / max(float(gradient.max()), 1e-6)).astype(np.uint8)
    regions = np.asarray(cv2.watershed(cv2.cvtColor(edges, cv2.COLOR_GRAY2BGR), markers))
    return _central_part(_clean(np.where(regions == 2, 255, 0).astype(np.uint8)))


METHODS: Mapping[str, Callable[[NDArray[np.uint8]], NDArray[np.bool_]]] = {"otsu": otsu_mask, "region": region_mask}


def _lack_of_red(image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """255 minus the red-difference channel Cr, smoothed: (H, W)."""
    lack = 255 - np.asarray(cv2.cvtColor(image_rgb, cv2.COLOR_RGB2YCrCb))[..., 1]
    sigma_px = max(BLUR_FRAC * min(lack.shape), 0.5)
    return np.asarray(cv2.GaussianBlur(lack, (0, 0), sigma_px), dtype=np.uint8)


def _clean(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mask with small holes closed and small specks removed."""
    side = max(3, round(CLOSING_FRAC * min(mask.shape)) | 1)
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, element)
    return np.asarray(cv2.morphologyEx(closed, cv2.MORPH_OPEN, element), dtype=np.uint8)


def _central_part(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The connected part with most pixels, those far from the centre counting less; all False when there is none."""
    count, labels, stats, centers_xy = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return np.zeros(mask.shape, dtype=bool)
    size_wh = np.array([mask.shape[1], mask.shape[0]])
    distance = np.linalg.norm(np.asarray(centers_xy)[1:] / size_wh - 0.5, axis=1)
    weight = np.asarray(stats)[1:, cv2.CC_STAT_AREA] * np.exp(-((distance / CENTER_DISTANCE) ** 2))
    return np.asarray(labels == 1 + int(np.argmax(weight)), dtype=bool)
