"""Image folders of bright ellipses with known circumference, for models of `tests.synthetic_model`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fetal_hc.io.masks import polygon_to_coverage
from hc18.geometry.ellipse import Ellipse

IMAGE_HW = (112, 160)


@dataclass(frozen=True)
class HeadFolder:
    """A folder of images, its pixel-size table and the truth: ellipse in px and pixel size in mm of each image."""

    images: Path
    pixel_sizes: Path
    ellipses_px: Mapping[str, Ellipse]
    pixel_sizes_mm: Mapping[str, float]

    def hc_mm(self, name: str) -> float:
        """True circumference of an image."""
        return self.ellipses_px[name].circumference() * self.pixel_sizes_mm[name]


def draw_head(ellipse: Ellipse, image_hw: tuple[int, int] = IMAGE_HW) -> NDArray[np.uint8]:
    """White ellipse with antialiased edges on black, uint8 (H, W)."""
    coverage = polygon_to_coverage(ellipse.outline(720) + 0.5, image_hw)
    return np.rint(coverage * 255).astype(np.uint8)


def write_head_folder(root: Path, n_images: int, image_hw: tuple[int, int] = IMAGE_HW, seed: int = 0) -> HeadFolder:
    """Writes `images/NNN_HC.png` and `pixel_sizes.csv` (in reverse order of the names) under `root`."""
    rng = np.random.default_rng(seed)
    images = root / "images"
    images.mkdir(parents=True)
    ellipses, sizes = {}, {}
    for index in reversed(range(n_images)):
        name = f"{index:03d}_HC.png"
        axis = float(rng.uniform(0.3, 0.4)) * image_hw[0]
        center_x, center_y = image_hw[1] / 2 + rng.uniform(-5, 5), image_hw[0] / 2 + rng.uniform(-2, 2)
        ellipses[name] = Ellipse(center_x, center_y, axis, axis * rng.uniform(0.7, 0.9), rng.uniform(0, math.pi))
        sizes[name] = round(float(rng.uniform(0.5, 1.0)), 6)
        Image.fromarray(draw_head(ellipses[name], image_hw)).save(images / name)
    table = root / "pixel_sizes.csv"
    rows = "".join(f"{name},{size}\n" for name, size in sizes.items())
    table.write_text(f"filename,pixel size(mm)\n{rows}", encoding="utf-8")
    return HeadFolder(images, table, ellipses, sizes)
