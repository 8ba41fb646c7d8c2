"""Print the HC error of each way from a soft mask to an ellipse, on annotated heads rendered into mask grids.

The heads are real annotations; box and mask are made up: a box with a random error per side, as a detector has it, and
masks that are sharp, blurred, or shaped like a trained network's. Chooses the estimate of
`hc18.geometry.fits.fit_soft_mask`.

Exit code: 0 the contour stays within its bound; 1 it does not; 2 bad input.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fetal_hc.io.masks import mask_grid_to_image_affine, polygon_to_coverage
from fetal_hc_cli import new_parser, reports_bad_input
from hc18.dataset.folder import read_training_set
from hc18.dataset.labelled_image import LabelledImage
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.fits import fit_moments, fit_soft_mask
from hc18.geometry.orthogonal import foot_points

BOX_ERROR = 0.015  # standard deviation of each side, relative to the box
MARGIN_CELLS = 8
MAX_CONTOUR_ADF_MM = 0.1  # at 56 x 56 cells, masks without blur beyond a cell's own
MASK_KINDS = ("area coverage", "blurred 0.7 cells", "blurred 1.2 cells", "sigmoid 0.3 cells")


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--root", type=Path, required=True, metavar="HC18_DIR", help="folder holding training_set/")
    parser.add_argument("--heads", type=int, default=300, metavar="N", help="heads to render (default: %(default)s)")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    cases = read_training_set(options.root, progress=True)
    heads = [case for case in cases if not case.annotation.touches_border]
    heads = [heads[index] for index in np.linspace(0, len(heads) - 1, min(options.heads, len(heads))).astype(int)]
    print(f"{len(heads)} heads of {options.root}; error of HC in mm: DF / ADF")
    print("| mask | M | contour | moments | moments, completed and sharpened |\n|---|---|---|---|---|")
    within = True
    for kind in MASK_KINDS:
        for mask_size in (28, 56):
            rng = np.random.default_rng(0)
            errors = np.array([_errors_mm(case, kind, mask_size, rng) for case in heads])
            cells = [f"{column.mean():+.3f} / {abs(column).mean():.3f}" for column in errors.T]
            print(f"| {kind} | {mask_size} | {' | '.join(cells)} |")
            if mask_size == 56 and "blurred" not in kind:
                within &= bool(abs(errors[:, 0]).mean() <= MAX_CONTOUR_ADF_MM)
    bound = f"contour ADF <= {MAX_CONTOUR_ADF_MM} mm at 56 cells without blur"
    print(f"{'within' if within else 'OUTSIDE'} the bound: {bound}")
    return 0 if within else 1


def _errors_mm(case: LabelledImage, kind: str, mask_size: int, rng: np.random.Generator) -> list[float]:
    """HC errors in mm of contour, moments and completed moments for one head; nan where one fails."""
    x0, y0, x1, y1 = case.ellipse_px.box_xyxy()
    size = np.array([x1 - x0, y1 - y0, x1 - x0, y1 - y0])
    box_xyxy = np.array([x0, y0, x1, y1]) + 0.5 + rng.normal(0.0, BOX_ERROR, 4) * size
    affine = mask_grid_to_image_affine(box_xyxy, mask_size)
    soft_mask = _render(case.ellipse_px, affine, mask_size, kind)
    fit = fit_soft_mask(soft_mask, affine, case.image_hw)
    found = (fit.ellipse, fit_moments(soft_mask, affine).ellipse, fit.moments.ellipse)
    truth_px = case.ellipse_px.circumference()
    return [
        float("nan") if ellipse is None else (ellipse.circumference() - truth_px) * case.pixel_size_mm
        for ellipse in found
    ]


def _render(ellipse: Ellipse, affine: NDArray[np.float64], mask_size: int, kind: str) -> NDArray[np.float64]:
    """Soft mask (M, M) of an ellipse; blur acts before the grid cuts the mask."""
    inverse = np.linalg.inv(affine[:, :2])
    ellipse_uv = ellipse.transformed(np.column_stack([inverse, MARGIN_CELLS - inverse @ affine[:, 2]]))
    size = mask_size + 2 * MARGIN_CELLS
    name, _, cells = kind.removesuffix(" cells").rpartition(" ")
    if name == "sigmoid":
        grid_uv = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).reshape(-1, 2).astype(np.float64)
        mask = 1.0 / (1.0 + np.exp(foot_points(ellipse_uv, grid_uv).distance.reshape(size, size) / float(cells)))
    else:
        mask = polygon_to_coverage(ellipse_uv.outline(720) + 0.5, (size, size), 8).astype(np.float64)
        if name == "blurred":
            mask = ndimage.gaussian_filter(mask, float(cells))
    return mask[MARGIN_CELLS:-MARGIN_CELLS, MARGIN_CELLS:-MARGIN_CELLS]


if __name__ == "__main__":
    sys.exit(main())
