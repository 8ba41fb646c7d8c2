"""The drawn ellipse is compared with the pixels it outlines, through poppler."""

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from hc18.geometry.ellipse import Ellipse
from hc18.geometry.outline_fit import fit_outline_points
from hc18.reports.pdf_image import DrawnEllipse, OutlinedImage

COLOR = "#E69F00"
PT_PER_PX = 10


def render(image: OutlinedImage, folder: Path) -> np.ndarray:
    """The flowable on a page of its size, one pixel per point; int (H, W, 3)."""
    stream = io.BytesIO()
    canvas = Canvas(stream, pagesize=(image.width, image.height))
    image.canv = canvas
    image.draw()
    canvas.save()
    (folder / "page.pdf").write_bytes(stream.getvalue())
    subprocess.run(["pdftoppm", "-r", "72", "-png", "-singlefile", "page.pdf", "page"], cwd=folder, check=True)
    return np.asarray(Image.open(folder / "page.png").convert("RGB")).astype(int)


@pytest.mark.skipif(shutil.which("pdftoppm") is None, reason="pdftoppm of poppler is not installed")
@pytest.mark.parametrize("origin_xy", [(0, 0), (100, 40)])
def test_ellipse_lies_where_it_was_measured(tmp_path: Path, origin_xy: tuple[int, int]) -> None:
    ellipse = Ellipse(30.3, 21.7, 18.5, 11.2, 2.6)
    moved = Ellipse(30.3 + origin_xy[0], 21.7 + origin_xy[1], 18.5, 11.2, 2.6)
    grey = np.zeros((48, 64, 3), np.uint8)
    flowable = OutlinedImage(grey, origin_xy, [DrawnEllipse(moved, COLOR)], (64 * PT_PER_PX, 48 * PT_PER_PX))
    page = render(flowable, tmp_path)
    wanted = [int(COLOR[start : start + 2], 16) for start in (1, 3, 5)]
    rows, columns = np.nonzero(np.abs(page - wanted).sum(axis=2) < 120)
    points_xy = (np.stack([columns, rows], axis=1) + 0.5) / PT_PER_PX - 0.5
    found = fit_outline_points(points_xy).ellipse
    assert found is not None
    assert [found.center_x, found.center_y, found.semi_axis_a, found.semi_axis_b, found.angle_rad] == pytest.approx(
        [ellipse.center_x, ellipse.center_y, ellipse.semi_axis_a, ellipse.semi_axis_b, ellipse.angle_rad], abs=0.05
    )


def test_image_fits_the_box_and_keeps_its_shape() -> None:
    flowable = OutlinedImage(np.zeros((100, 400, 3), np.uint8), (0, 0), [], (200.0, 80.0))
    assert (flowable.width, flowable.height) == (200.0, 50.0)
