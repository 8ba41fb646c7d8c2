r"""Train and score one configuration on every fold of its data, and print mean and standard deviation of every metric.

    face-mask cross-validate --config-file configs/face_mask/residual_unet.yaml --folds 3 OUTPUT_DIR output/cv
    fetal-hc cross-validate --config-file configs/hc18/mask_rcnn_R_18_FPN.yaml --folds 5 \
        --datasets hc18_train hc18_val --group-key examination OUTPUT_DIR output/hc18_cv

The folds divide the union of DATASETS.TRAIN and DATASETS.TEST, or of --datasets; then what else the configuration
trains on is part of every training. Where heads are measured, the scores of all folds' images together are printed
too. Folds can be trained side by side with --only 0, --only 1, ...; a last call with --resume puts them together.
Exit code: 0 done; 2 bad input; 128 + signal when one ended it early (continue with --resume).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fetal_hc.engine.search.cross_validation import cross_validate
from fetal_hc.engine.train.training_job import JobOptions
from fetal_hc_cli import new_parser, reports_bad_input
from fetal_hc_cli.training.architectures import ARCHITECTURES
from hc18.training.hc_evaluation import POOLED_TASKS


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--config-file", type=Path, required=True, metavar="FILE", help="YAML configuration")
    parser.add_argument("--folds", type=int, default=3, metavar="N", help="number of folds (default: %(default)s)")
    parser.add_argument("--datasets", nargs="+", default=[], metavar="NAME", help="divide these datasets alone")
    parser.add_argument(
        "--only", type=int, action="append", default=[], metavar="FOLD", help="train this fold; may be repeated"
    )
    parser.add_argument(
        "--group-key", default="group", metavar="FIELD", help="image field that keeps images together (default: group)"
    )
    parser.add_argument(
        "--fold-seed", type=int, default=0, metavar="N", help="seed of the folds (default: %(default)s)"
    )
    parser.add_argument("--resume", action="store_true", help="keep finished folds, continue an interrupted one")
    parser.add_argument("--overwrite", action="store_true", help="replace trainings that OUTPUT_DIR already holds")
    parser.add_argument("overrides", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="configuration keys to change")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    options = JobOptions(
        ARCHITECTURES,
        arguments.config_file,
        tuple(arguments.overrides),
        resume=arguments.resume,
        overwrite=arguments.overwrite,
    )
    outcome = cross_validate(
        options,
        arguments.folds,
        datasets=arguments.datasets,
        group_key=arguments.group_key,
        seed=arguments.fold_seed,
        only=arguments.only,
        pooled_tasks=POOLED_TASKS,
    )
    if isinstance(outcome, int):
        return outcome
    print(f"{len(outcome.folds)} folds, mean and standard deviation")
    for name, row in outcome.summary.items():
        print(f"{name:<40} {row['mean']:9.4g} +- {row['sd']:.4g}  (n {row['n']})")
    for task, scores in outcome.pooled.items():
        print(f"\n{task}: all images of the folds together\n{scores.to_table()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
