"""Draw references (blue) and predictions (orange) on images: one PNG each, contact sheets, and a CSV of the figures.

    fetal-hc visualize --root HC18 --submission submission.csv --worst --limit 40 --output output/worst
    fetal-hc visualize --coco datasets/hc18_val.json --model hc18/shipped/hc18.zip --output output/val
    fetal-hc visualize --images HC18/test_set --pixel-sizes HC18/test_set_pixel_size.csv --details details.csv
                              --output output/test

Exit code: 0 done; 1 some images could not be read; 2 bad input.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fetal_hc.model.cores import usable_cores
from fetal_hc_cli import check_together, new_parser, reports_bad_input
from hc18.evaluation.overlay_items import (
    OverlayItem,
    read_coco_cases,
    read_folder_cases,
    read_hc18_cases,
    with_details,
    with_model,
    with_submission,
    worst_first,
)
from hc18.evaluation.overlays import write_gallery
from hc18.measurement.worker import MeasureWork


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("--root", type=Path, metavar="HC18_DIR", help="HC18 folder: its labelled images")
    images.add_argument("--coco", type=Path, metavar="FILE.json", help="COCO file: its images and polygons")
    images.add_argument("--images", type=Path, metavar="DIR", help="images without references; needs --pixel-sizes")
    parser.add_argument("--pixel-sizes", type=Path, metavar="CSV", help="table of pixel sizes for --images")
    predictions = parser.add_mutually_exclusive_group()
    predictions.add_argument("--submission", type=Path, metavar="CSV", help="ellipses written by fetal-hc score")
    predictions.add_argument("--details", type=Path, metavar="CSV", help="details written by fetal-hc score")
    predictions.add_argument("--model", type=Path, metavar="FILE", help="measure with this model")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the pictures")
    parser.add_argument("--names", nargs="+", metavar="FILE", help="only these images")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N images")
    parser.add_argument("--worst", action="store_true", help="largest errors first, images without prediction before")
    parser.add_argument("--min-score", type=float, metavar="S", help="with --model (default: the model's own)")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier gallery in the folder")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    parser = build_parser()
    options = parser.parse_args(argv)
    check_together(parser, options, "images", "pixel-sizes")
    if options.limit is not None and options.limit < 1:
        parser.error(f"--limit is {options.limit}; expected at least 1")
    cases = _with_predictions(_read_cases(options), options)
    cases = worst_first(cases)[: options.limit] if options.worst else cases
    n_unreadable = write_gallery(cases, options.output, overwrite=options.overwrite, progress=True)
    print(f"{len(cases) - n_unreadable} of {len(cases)} images drawn: {options.output / 'index.png'}")
    return 1 if n_unreadable else 0


def _read_cases(options: argparse.Namespace) -> list[OverlayItem]:
    """The chosen images; the limit applies here unless the worst have to be found first."""
    limit = None if options.worst else options.limit
    if options.root is not None:
        return read_hc18_cases(options.root, options.names, limit)
    if options.coco is not None:
        return read_coco_cases(options.coco, options.names, limit)
    return read_folder_cases(options.images, options.pixel_sizes, options.names, limit)


def _with_predictions(cases: list[OverlayItem], options: argparse.Namespace) -> list[OverlayItem]:
    """The cases with the chosen kind of prediction, if any."""
    if options.submission is not None:
        return with_submission(cases, options.submission)
    if options.details is not None:
        return with_details(cases, options.details)
    if options.model is not None:
        return with_model(cases, MeasureWork(options.model, usable_cores(), options.min_score))
    return cases


if __name__ == "__main__":
    sys.exit(main())
