"""Print how far the label pipeline alone is from the table's HC: annotation fit, and polygon to mask to ellipse.

Exit code: 0 both figures are within their bounds; 1 one is not; 2 bad input.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from fetal_hc.errors import MeasurementError
from fetal_hc.io.masks import polygon_to_coverage
from fetal_hc_cli import new_parser, reports_bad_input
from hc18.dataset.convert import head_polygon
from hc18.dataset.folder import read_training_set
from hc18.dataset.labelled_image import LabelledImage
from hc18.geometry.fits import fit_soft_mask

MAX_ANNOTATION_ERROR_MM = 0.05  # largest |fitted - table|
MAX_MASK_ERROR_MM = 0.03  # mean |polygon -> mask -> fit - fitted|
SUPERSAMPLE = 8


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--root", type=Path, required=True, metavar="HC18_DIR", help="folder holding training_set/")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes (default: %(default)s)")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    cases = read_training_set(options.root, progress=True)
    with ProcessPoolExecutor(max(options.workers, 1)) as pool:
        mask_hc_mm = np.array(list(pool.map(mask_hc, cases, chunksize=16)))
    fitted_hc_mm = np.array([case.fitted_hc_mm for case in cases])
    annotation_error_mm = fitted_hc_mm - [case.hc_mm for case in cases]
    mask_error_mm = mask_hc_mm - fitted_hc_mm
    print(f"{len(cases)} labelled images in {options.root}")
    for name, error_mm in (
        ("annotation -> ellipse", annotation_error_mm),
        ("polygon -> mask -> ellipse", mask_error_mm),
    ):
        spread = f"DF {error_mm.mean():+.4f}  ADF {abs(error_mm).mean():.4f}  max {abs(error_mm).max():.4f} mm"
        print(f"{name:<27} {spread}  ({cases[int(abs(error_mm).argmax())].filename})")
    within = (
        abs(annotation_error_mm).max() <= MAX_ANNOTATION_ERROR_MM and abs(mask_error_mm).mean() <= MAX_MASK_ERROR_MM
    )
    bounds = f"annotation max <= {MAX_ANNOTATION_ERROR_MM} mm, mask ADF <= {MAX_MASK_ERROR_MM} mm"
    print(f"{'within' if within else 'OUTSIDE'} the bounds: {bounds}")
    return 0 if within else 1


def mask_hc(case: LabelledImage) -> float:
    """HC in mm of the ellipse fitted to the area coverage of the case's COCO polygon.

    Raises:
        MeasurementError: if no ellipse fits.
    """
    coverage = polygon_to_coverage(head_polygon(case.ellipse_px, case.image_hw), case.image_hw, SUPERSAMPLE)
    fit = fit_soft_mask(coverage, image_hw=case.image_hw)
    if fit.ellipse is None:
        raise MeasurementError(f"{case.filename}: no ellipse fits the mask of its polygon ({fit.reason})")
    return fit.ellipse.circumference() * case.pixel_size_mm


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
