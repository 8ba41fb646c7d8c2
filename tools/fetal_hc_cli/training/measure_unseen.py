r"""Measure labelled images with models that were not trained on them: what the checks and intervals are fitted to.

    fetal-hc measure-unseen --model 'fold{}.zip' --folds 5 --output unseen \
        --datasets 'folds/data_fold{}_val.json' 'folds/external_fold{}_val.json'

With --folds N, {} in every name stands for 0 to N-1. Writes one details table per dataset into the folder --output,
with the rows of all folds: data_val.csv for data_fold{}_val.json. A table that exists is kept, unless --overwrite is
given. Detections from a score of 0.05 on are measured, and image checks that a model has are left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fetal_hc.batch.runners import RUNNERS
from fetal_hc.errors import ConfigError
from fetal_hc_cli import new_parser, reports_bad_input
from hc18.measurement.batches import MeasureSettings
from hc18.measurement.rows import MeasurementRow
from hc18.uncertainty.unseen_images import MIN_SCORE, measure_dataset, write_details

FOLD = "{}"


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--model", required=True, metavar="FILE", help="model, with {} for the number of its fold")
    parser.add_argument("--datasets", nargs="+", required=True, metavar="FILE.json", help="COCO JSON files, alike")
    parser.add_argument("--folds", type=int, metavar="N", help="number of folds; without it the names are plain")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the tables")
    parser.add_argument("--min-score", type=float, default=MIN_SCORE, metavar="S", help="default: %(default)s")
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one per usable core)")
    parser.add_argument("--runner", choices=tuple(RUNNERS), help="default: serial for one worker, pool for more")
    parser.add_argument("--overwrite", action="store_true", help="replace tables that exist")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    folds: list[int | None] = [None] if options.folds is None else list(range(options.folds))
    options.output.mkdir(parents=True, exist_ok=True)
    for dataset in options.datasets:
        output = options.output / table_name(dataset)
        if output.exists() and not options.overwrite:
            print(f"{output}: kept")
            continue
        rows: list[MeasurementRow] = []
        for fold in folds:
            settings = MeasureSettings(
                model=Path(_named(options.model, fold)),
                workers=options.workers,
                threads=1,
                runner=options.runner,
                min_score=options.min_score,
            )
            rows += measure_dataset(Path(_named(dataset, fold)), settings, with_checks=False)
        write_details(output, rows)
        measured = sum(row.ellipse_px is not None for row in rows)
        print(f"{output}: {len(rows)} images, an outline in {measured}")
    return 0


def table_name(dataset: str) -> str:
    """The table of a dataset: its name without the number of the fold."""
    stem = Path(dataset).stem
    return f"{stem.replace(f'_fold{FOLD}', '').replace(FOLD, '')}.csv"


def _named(pattern: str, fold: int | None) -> str:
    """The name with the number of a fold.

    Raises:
        ConfigError: if there is a number to fill in and no fold.
    """
    if fold is None and FOLD in pattern:
        raise ConfigError(f"{pattern}: has {FOLD} for a fold; add --folds")
    return pattern if fold is None else pattern.replace(FOLD, str(fold))


if __name__ == "__main__":
    sys.exit(main())
