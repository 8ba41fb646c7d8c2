"""Small HC18 folders with known ellipses, for tests of readers, converter and evaluation."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hc18.geometry.ellipse import Ellipse

IMAGE_HW = (120, 160)
PIXEL_SIZE_MM = 0.5
TRAINING_HEADER = "filename,pixel size(mm),head circumference (mm)\r\n"
TEST_HEADER = "filename,pixel size(mm)\r\n"

# Two images of examination 001, different sizes, one ellipse turned past pi / 2.
ELLIPSES: Mapping[str, Ellipse] = {
    "000_HC.png": Ellipse(80.3, 60.2, 50.4, 38.1, 0.3),
    "001_HC.png": Ellipse(75.0, 58.5, 44.0, 35.2, 2.6),
    "001_2HC.png": Ellipse(83.7, 61.1, 46.5, 37.0, 0.0),
    "002_HC.png": Ellipse(79.2, 59.9, 30.3, 24.6, 1.2),
    "003_HC.png": Ellipse(70.1, 55.5, 55.0, 41.0, 3.0),
}


def draw_ring(ellipse: Ellipse, image_hw: tuple[int, int] = IMAGE_HW, width_px: float = 2.5) -> NDArray[np.uint8]:
    """Outline of the given width around the ellipse: 255 on 0."""
    outer = Ellipse(
        ellipse.center_x,
        ellipse.center_y,
        ellipse.semi_axis_a + width_px / 2,
        ellipse.semi_axis_b + width_px / 2,
        ellipse.angle_rad,
    )
    inner = Ellipse(
        ellipse.center_x,
        ellipse.center_y,
        ellipse.semi_axis_a - width_px / 2,
        ellipse.semi_axis_b - width_px / 2,
        ellipse.angle_rad,
    )
    return (outer.mask(image_hw) & ~inner.mask(image_hw)).astype(np.uint8) * 255


def draw_disc(ellipse: Ellipse, image_hw: tuple[int, int] = IMAGE_HW) -> NDArray[np.uint8]:
    """Filled ellipse: 255 on 0."""
    return ellipse.mask(image_hw).astype(np.uint8) * 255


def hc_mm(ellipse: Ellipse, pixel_size_mm: float = PIXEL_SIZE_MM) -> float:
    """Circumference of an ellipse given in px."""
    return ellipse.circumference() * pixel_size_mm


def write_hc18_folder(root: Path, ellipses: Mapping[str, Ellipse] = ELLIPSES) -> Path:
    """Writes an HC18 folder whose tables hold the exact circumferences, one test image included; returns `root`."""
    rng = np.random.default_rng(0)
    for folder in ("training_set", "test_set"):
        (root / folder).mkdir(parents=True)
    rows = []
    for name, ellipse in ellipses.items():
        write_image(root / "training_set" / name, rng)
        save_png(annotation_path(root, name), draw_ring(ellipse))
        rows.append(f"{name},{PIXEL_SIZE_MM},{hc_mm(ellipse):.2f}\r\n")
    training_table(root).write_bytes((TRAINING_HEADER + "".join(rows)).encode())
    write_image(root / "test_set" / "000_HC.png", rng)
    (root / "test_set_pixel_size.csv").write_bytes((TEST_HEADER + f"000_HC.png,{PIXEL_SIZE_MM}\r\n").encode())
    return root


def training_table(root: Path) -> Path:
    """Table of the labelled images."""
    return root / "training_set_pixel_size_and_HC.csv"


def annotation_path(root: Path, name: str) -> Path:
    """Annotation picture of a labelled image."""
    return root / "training_set" / name.replace(".png", "_Annotation.png")


def write_image(path: Path, rng: np.random.Generator, image_hw: tuple[int, int] = IMAGE_HW) -> None:
    """Writes a grey noise picture."""
    save_png(path, rng.integers(0, 256, image_hw, dtype=np.uint8))


def save_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Writes an array as PNG."""
    Image.fromarray(picture).save(path)


def replace_in_table(path: Path, old: str, new: str) -> None:
    """Replaces text that must be there."""
    text = path.read_bytes().decode()
    assert old in text
    path.write_bytes(text.replace(old, new).encode())
