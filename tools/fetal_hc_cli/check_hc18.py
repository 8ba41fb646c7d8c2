"""Check an HC18 folder, and a submission against the list of test images, and name every problem at once.

    fetal-hc check --root HC18
    fetal-hc check --root HC18 --submission submission.csv
    fetal-hc check --submission submission.csv --table HC18/test_set_pixel_size.csv

Errors forbid using the data or sending the submission; warnings ask for a look. Exit code: 0 no errors; 1 errors;
2 bad input.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fetal_hc.errors import ConfigError, DatasetError, Problem, fatal_problems
from fetal_hc_cli import new_parser, reports_bad_input
from hc18.dataset.folder import TEST_TABLE, check_folder
from hc18.dataset.pixel_size_table import read_pixel_sizes
from hc18.dataset.submission import check_submission


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--root", type=Path, metavar="HC18_DIR", help="folder of the archive; checked as a whole")
    parser.add_argument("--submission", type=Path, metavar="CSV", help="submission to check")
    parser.add_argument(
        "--table",
        type=Path,
        metavar="CSV",
        help=f"images that the submission must list, in this order (default: {TEST_TABLE} in --root)",
    )
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    parser = build_parser()
    options = parser.parse_args(argv)
    if options.root is None and options.submission is None:
        parser.error("one of the arguments --root --submission is required")
    problems = _find_problems(options)
    for problem in problems:
        print(f"{'error' if problem.fatal else 'warning'}: {problem}")
    n_errors = len(fatal_problems(problems))
    checked = " and ".join(str(path) for path in (options.root, options.submission) if path is not None)
    print(f"{checked}: {n_errors} errors, {len(problems) - n_errors} warnings")
    return 1 if n_errors else 0


def _find_problems(options: argparse.Namespace) -> list[Problem]:
    """The problems of the folder, then those of the submission.

    Raises:
        DatasetError: if the folder does not exist or the list of images cannot be read.
        ConfigError: if there is no list of images.
    """
    problems: list[Problem] = []
    if options.root is not None:
        if not options.root.is_dir():
            raise DatasetError(f"{options.root}: is not a folder; expected the folder that holds training_set/")
        problems += check_folder(options.root, progress=True)
    if options.submission is not None:
        if options.table is None and options.root is None:
            raise ConfigError("--submission needs --table or --root; expected the list of images it must contain")
        table = options.table or options.root / TEST_TABLE
        problems += check_submission(options.submission, [row.filename for row in read_pixel_sizes(table)])
    return problems


if __name__ == "__main__":
    sys.exit(main())
