"""Train, score and draw the experiments of a face-mask report as printed, and compare with the printed figures.

    face-mask reproduce --report 001 --root face_mask_detection

Into OUTPUT/report_001 it writes the converted data, a folder for each experiment with its checkpoints, `curves.png`
and, in `test`, the scores and the confusion matrix on the test part; then `table.csv`, `table.png` and, for masks,
`radar.png`. The same command goes on where an earlier one stopped. Transfer learning needs ImageNet weights as
downloaded: --weights names their folder, and experiments without them are left out. Exit code: 0 done; 2 bad input;
128 + signal.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from face_mask.data.convert import READERS
from face_mask.training.printed_reports import EXPERIMENTS, Experiment, experiments_of
from fetal_hc_cli import new_parser, reports_bad_input
from fetal_hc_cli.training.report_runs import ReproductionOptions, estimate_minutes, reproduce


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    reports = sorted({item.report for item in EXPERIMENTS})
    parser.add_argument("--report", choices=reports, required=True, help="number of the report")
    parser.add_argument("--root", type=Path, metavar="DIR", help="folder of the dataset")
    parser.add_argument(
        "--test-root", type=Path, metavar="DIR", help="folder that is all test, such as ISIC's, instead of a share"
    )
    parser.add_argument("--format", choices=sorted(READERS), help="layout of the dataset (default: the report's)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="experiments (default: all)")
    parser.add_argument("--weights", type=Path, metavar="DIR", help="folder of ImageNet weights")
    parser.add_argument("--epochs", type=int, metavar="N", help="train no longer than this")
    parser.add_argument("--list", action="store_true", help="list the experiments and about how long they take")
    parser.add_argument("--output", type=Path, default=Path("output/face_mask"), metavar="DIR")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="configuration keys to change")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    parser = build_parser()
    arguments = parser.parse_intermixed_args(argv)
    experiments = experiments_of(arguments.report, arguments.only)
    _print_plan(experiments, arguments.epochs)
    if arguments.list:
        return 0
    if arguments.root is None:
        parser.error("--root: expected the folder of the dataset")
    options = ReproductionOptions(
        report=arguments.report,
        root=arguments.root,
        output=arguments.output / f"report_{arguments.report}",
        experiments=experiments,
        format=arguments.format,
        test_root=arguments.test_root,
        weights=arguments.weights,
        epochs=arguments.epochs,
        overrides=tuple(arguments.overrides),
    )
    return reproduce(options)


def _print_plan(experiments: Sequence[Experiment], epochs: int | None) -> None:
    for item in experiments:
        length = min(item.epochs, epochs or item.epochs)
        print(f"{item.name:<22} {length:>3} epochs, about {estimate_minutes(item, length):.0f} min on one core")
    total = sum(estimate_minutes(item, min(item.epochs, epochs or item.epochs)) for item in experiments)
    print(f"all: about {total / 60:.1f} hours on one core")


if __name__ == "__main__":
    sys.exit(main())
