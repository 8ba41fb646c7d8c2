"""Score a submission or a details CSV against the labelled images of an HC18 folder: DF, ADF, DSC, HD, per trimester.

Exit code: 0 every image was scored; 1 some images have no row (they count as failed); 2 bad input.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from fetal_hc.io.atomic import write_text_atomic
from fetal_hc_cli import check_may_write, new_parser, reports_bad_input
from hc18.evaluation.evaluate import HcEvaluation, evaluate_labelled, evaluate_submission
from hc18.measurement.details import read_details


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--submission", type=Path, metavar="CSV", help="ellipses in mm, in the challenge's format")
    source.add_argument("--details", type=Path, metavar="CSV", help="details of fetal-hc score; needs no submission")
    parser.add_argument(
        "--root",
        type=Path,
        required=True,
        metavar="HC18_DIR",
        help="folder holding training_set/ and training_set_pixel_size_and_HC.csv",
    )
    parser.add_argument(
        "--subset",
        type=Path,
        metavar="COCO_JSON",
        help="evaluate only the images this file names, e.g. hc18_val.json (default: all labelled)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures and every case to FILE")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing --json file")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    evaluation = _run(options)
    print(evaluation.to_table())
    return 1 if evaluation.failed else 0


def _run(options: argparse.Namespace) -> HcEvaluation:
    """The evaluation, saved as JSON if asked for."""
    if options.json is not None:
        check_may_write(options.json, overwrite=options.overwrite)
    if options.submission is not None:
        evaluation = evaluate_submission(options.submission, options.root, subset=options.subset, progress=True)
    else:
        rows = read_details(options.details)
        found = {row.file_name: row.ellipse_mm for row in rows if row.ellipse_mm is not None}
        evaluation = evaluate_labelled(found, options.details, options.root, subset=options.subset, progress=True)
    if options.json is not None:
        write_text_atomic(options.json, json.dumps(evaluation.to_json(), indent=2, allow_nan=False) + "\n")
    return evaluation


if __name__ == "__main__":
    sys.exit(main())
