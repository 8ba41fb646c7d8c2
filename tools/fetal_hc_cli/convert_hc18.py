"""Convert an HC18 folder to COCO JSON, split by examination into training and validation."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fetal_hc_cli import new_parser, reports_bad_input
from hc18.dataset.convert import REPORT_FILE, Hc18Conversion, convert_hc18

_SHOWN_WARNINGS = 5


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument(
        "--root",
        type=Path,
        required=True,
        metavar="HC18_DIR",
        help="folder holding training_set/ and training_set_pixel_size_and_HC.csv",
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="OUT_DIR",
        help="folder for hc18_train.json, hc18_val.json, hc18_folds.csv and hc18_report.json; "
        "earlier files of these names are replaced",
    )
    parser.add_argument("--folds", type=int, default=5, metavar="N", help="number of folds (default: %(default)s)")
    parser.add_argument(
        "--val-fold", type=int, default=0, metavar="K", help="fold used for validation, 0 to N-1 (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the split (default: %(default)s)")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    report = convert_hc18(
        options.root,
        options.output,
        n_folds=options.folds,
        val_fold=options.val_fold,
        seed=options.seed,
        progress=True,
    )
    _print_report(report, options.output)
    return 0


def _print_report(report: Hc18Conversion, output: Path) -> None:
    print(
        f"{report.n_images} images of {report.n_examinations} examinations: {report.n_train} for training, "
        f"{report.n_val} for validation (fold {report.val_fold} of {report.n_folds})"
    )
    figures = report.hc_difference_mm
    print(
        f"fitted circumference minus table: mean {figures['mean']:+.3f} mm, mean absolute "
        f"{figures['mean_abs']:.3f} mm, largest {figures['max_abs']:.3f} mm"
    )
    print(f"written to {output}")
    for problem in report.problems[:_SHOWN_WARNINGS]:
        print(f"warning: {problem}", file=sys.stderr)
    n_more = len(report.problems) - _SHOWN_WARNINGS
    if n_more > 0:
        print(f"warning: {n_more} more in {output / REPORT_FILE}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
