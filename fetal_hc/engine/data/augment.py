"""Random augmentation of training images: one affine for image and outlines, then grey-value changes.

Every part is off at its default; `INPUT.AUG.*` and `INPUT.RANDOM_FLIP` switch it on. All randomness comes from the
generator handed in, so a sample depends on (seed, position in the stream) alone.
"""

from __future__ import annotations

import cv2
import numpy as np
from cv2.typing import MatLike

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.data import geometry
from fetal_hc.engine.data.geometry import Float64Array
from fetal_hc.errors import ConfigError, raise_problems

# What OpenCV takes and returns; here uint8 (H, W) or (H, W, 3), and float32 (H, W).
Uint8Image = MatLike
Float32Field = MatLike

# Occlusions, as fractions of the image: sides of a patch, width of a wedge at the far side and its sideways drift,
# softness of their edges.
PATCH_SIDE_RANGE = (0.05, 0.25)
WEDGE_WIDTH_RANGE = (0.05, 0.30)
WEDGE_DRIFT_MAX = 0.3
EDGE_SIGMA_FRAC = 0.01
# How dark: 1 is black.
OCCLUSION_STRENGTH_RANGE = (0.6, 1.0)
# Size of a speckle grain in px of the network input.
SPECKLE_GRAIN_RANGE_PX = (1.0, 3.0)

# Largest value of the single numbers, and whether the ranges may begin at 0.
NUMBER_LIMITS = {
    "ROTATION_DEG": 180.0,
    "TRANSLATE_FRAC": 1.0,
    "SPECKLE_SD": 1.0,
    "BLUR_SIGMA_MAX": 20.0,
    "OCCLUSION_PROB": 1.0,
    "GREY_PROB": 1.0,
    "JIGSAW_PROB": 1.0,
}
RANGE_MAY_BE_ZERO = {"SCALE_RANGE": False, "GAMMA_RANGE": False, "CONTRAST_RANGE": True, "BRIGHTNESS_RANGE": True}


def check_augmentation(aug: CfgNode) -> None:
    """Refuses values of INPUT.AUG outside their ranges.

    Raises:
        ConfigError: listing all of them.
    """
    problems = [
        f"INPUT.AUG.{key}: {aug[key]} is not in 0..{limit:g}"
        for key, limit in NUMBER_LIMITS.items()
        if not 0.0 <= aug[key] <= limit
    ]
    for key, may_be_zero in RANGE_MAY_BE_ZERO.items():
        bounds = aug[key]
        if len(bounds) != 2 or not bounds[0] <= bounds[1] or bounds[0] < 0 or (bounds[0] == 0 and not may_be_zero):
            sign = "non-negative" if may_be_zero else "positive"
            problems.append(f"INPUT.AUG.{key}: {list(bounds)} is not [low, high] of {sign} numbers with low <= high")
    if problems:
        raise_problems(ConfigError, problems, "augmentation of training images")


def draw_flips(settings: CfgNode, rng: np.random.Generator) -> tuple[bool, bool]:
    """Whether to mirror left-right and top-bottom, each with probability 0.5 where the node INPUT allows it."""
    mode = settings.RANDOM_FLIP
    horizontal = mode in ("horizontal", "both") and rng.random() < 0.5
    vertical = (mode in ("vertical", "both") or settings.AUG.VERTICAL_FLIP) and rng.random() < 0.5
    return bool(horizontal), bool(vertical)


def has_geometry(aug: CfgNode) -> bool:
    """Whether any augmentation but a flip moves pixels."""
    return bool(aug.ROTATION_DEG or aug.TRANSLATE_FRAC or tuple(aug.SCALE_RANGE) != (1.0, 1.0))


def flip_matrix(flips: tuple[bool, bool], image_hw: tuple[int, int]) -> Float64Array:
    """Affine (3, 3) that mirrors an image at its centre lines, left-right and top-bottom."""
    return geometry.about_center(geometry.scaling(-1.0 if flips[0] else 1.0, -1.0 if flips[1] else 1.0), image_hw)


def draw_affine(aug: CfgNode, image_hw: tuple[int, int], rng: np.random.Generator) -> Float64Array:
    """Random affine (3, 3): rotation and isotropic scale about the image centre, then a shift."""
    angle_rad = np.deg2rad(rng.uniform(-aug.ROTATION_DEG, aug.ROTATION_DEG))
    scale = draw_log_uniform(aug.SCALE_RANGE, rng)
    shift_xy = rng.uniform(-aug.TRANSLATE_FRAC, aug.TRANSLATE_FRAC, 2) * (image_hw[1], image_hw[0])
    turned = geometry.about_center(geometry.scaling(scale, scale) @ geometry.rotation(angle_rad), image_hw)
    return geometry.translation(*shift_xy) @ turned


def draw_log_uniform(bounds: tuple[float, float], rng: np.random.Generator) -> float:
    """Random number whose logarithm is uniform between two positive bounds."""
    return float(np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]))))


def warp_image(image: Uint8Image, matrix: Float64Array) -> Uint8Image:
    """Image of the same size moved by an affine (corner convention), bicubic; what comes from outside is 0.

    A shrinking affine is preceded by the Gaussian that a pixel of the result averages over, so nothing aliases.
    """
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    if scale < 1.0:
        image = cv2.GaussianBlur(image, (0, 0), 0.5 * np.sqrt(scale**-2 - 1.0), borderType=cv2.BORDER_REPLICATE)
    size_wh = (image.shape[1], image.shape[0])
    return cv2.warpAffine(image, geometry.to_center_convention(matrix), size_wh, flags=cv2.INTER_CUBIC)


def change_grey_values(image: Uint8Image, aug: CfgNode, rng: np.random.Generator) -> Uint8Image:
    """Loss of colour, gamma, contrast, brightness, blur, then speckle and occlusion as one multiplicative field.

    Args:
        image: (H, W) or RGB (H, W, 3); but for the loss of colour, all channels change alike.
        aug: the node INPUT.AUG.
        rng: source of all randomness.
    """
    if aug.GREY_PROB > 0 and image.ndim == 3 and rng.random() < aug.GREY_PROB:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    image = _change_tone(image, aug, rng)
    if aug.BLUR_SIGMA_MAX > 0:
        sigma_px = rng.uniform(0.0, aug.BLUR_SIGMA_MAX)
        if sigma_px > 0.1:
            image = cv2.GaussianBlur(image, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE)
    image_hw = (image.shape[0], image.shape[1])
    fields = []
    if aug.SPECKLE_SD > 0:
        fields.append(draw_speckle(image_hw, rng.uniform(0.0, aug.SPECKLE_SD), rng))
    if aug.OCCLUSION_PROB > 0 and rng.random() < aug.OCCLUSION_PROB:
        fields.append(draw_occlusion(image_hw, rng))
    if not fields:
        return image
    factor = fields[0] if len(fields) == 1 else fields[0] * fields[1]
    if image.ndim == 3:
        factor = cv2.merge([factor] * image.shape[2])
    return cv2.multiply(image, factor, dtype=cv2.CV_8U)


def _change_tone(image: Uint8Image, aug: CfgNode, rng: np.random.Generator) -> Uint8Image:
    """Gamma, contrast about the image mean and brightness, in one look-up table."""
    ranges = (aug.GAMMA_RANGE, aug.CONTRAST_RANGE, aug.BRIGHTNESS_RANGE)
    if all(tuple(bounds) == (1.0, 1.0) for bounds in ranges):
        return image
    gamma = draw_log_uniform(aug.GAMMA_RANGE, rng)
    contrast, brightness = rng.uniform(*aug.CONTRAST_RANGE), rng.uniform(*aug.BRIGHTNESS_RANGE)
    tone = 255.0 * (np.arange(256) / 255.0) ** gamma
    mean = np.bincount(image.ravel(), minlength=256) @ tone / image.size
    tone = (mean + contrast * (tone - mean)) * brightness
    return cv2.LUT(image, np.clip(np.rint(tone), 0, 255).astype(np.uint8))


def draw_speckle(image_hw: tuple[int, int], standard_deviation: float, rng: np.random.Generator) -> Float32Field:
    """Positive factors (H, W) around 1 with a grain of a few pixels, different along x and y as in ultrasound."""
    grain_yx = rng.uniform(*SPECKLE_GRAIN_RANGE_PX, 2)
    coarse_hw = np.ceil(np.array(image_hw) / grain_yx).astype(int)
    grains = rng.standard_normal(tuple(coarse_hw), dtype=np.float32)
    noise = cv2.resize(grains, (image_hw[1], image_hw[0]), interpolation=cv2.INTER_LINEAR)
    mean, deviation = cv2.meanStdDev(noise)
    gain = standard_deviation / max(float(deviation[0, 0]), 1e-6)
    return np.maximum(noise * np.float32(gain) + np.float32(1.0 - gain * float(mean[0, 0])), np.float32(0.0))


def draw_occlusion(image_hw: tuple[int, int], rng: np.random.Generator) -> Float32Field:
    """Factors (H, W) in [0, 1]: 1 but for one dark patch or one shadow wedge with soft edges."""
    size_wh = np.array([image_hw[1], image_hw[0]])
    corners = _patch_corners(rng) if rng.random() < 0.5 else _wedge_corners(rng)
    shadow = np.zeros(image_hw, dtype=np.float32)
    strength = float(rng.uniform(*OCCLUSION_STRENGTH_RANGE))
    cv2.fillConvexPoly(shadow, np.rint(corners * size_wh).astype(np.int32), strength)
    return 1.0 - cv2.GaussianBlur(shadow, (0, 0), EDGE_SIGMA_FRAC * float(size_wh.max()))


def _patch_corners(rng: np.random.Generator) -> Float64Array:
    """Corners (4, 2) of an upright rectangle inside the unit square."""
    sides = rng.uniform(*PATCH_SIDE_RANGE, 2)
    (x0, y0), (x1, y1) = (low := rng.uniform(0.0, 1.0 - sides)), low + sides
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def _wedge_corners(rng: np.random.Generator) -> Float64Array:
    """Corners (3, 2) of a triangle from the probe's side (top of the unit square) to the far side."""
    apex_x = rng.uniform(0.0, 1.0)
    far_x = apex_x + rng.uniform(-WEDGE_DRIFT_MAX, WEDGE_DRIFT_MAX)
    half_width = rng.uniform(*WEDGE_WIDTH_RANGE) / 2
    return np.array([[apex_x, 0.0], [far_x + half_width, 1.0], [far_x - half_width, 1.0]])
