"""Search for dense layers, dropout and learning rate of a classifier or a two-head detector.

    face-mask tune --config-file configs/face_mask/report_001/mobilenet_v2_1.yaml --trials 20 OUTPUT_DIR output/tune

The study is an SQLite file, OUTPUT_DIR/study.db unless --storage names another; trials.csv in its folder lists all.
Ctrl-C ends the search after the running iteration; --resume continues it. Exit code: 0 done; 2 bad input; 128 + signal.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fetal_hc.engine.config import load_config
from fetal_hc.engine.search.tuning import TRIALS_NAME, TuningOptions, tune
from fetal_hc.engine.train.training_job import JobOptions
from fetal_hc_cli import new_parser, reports_bad_input
from fetal_hc_cli.training.architectures import ARCHITECTURES


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--config-file", type=Path, required=True, metavar="FILE", help="YAML configuration")
    parser.add_argument("--trials", type=int, default=20, metavar="N", help="trials in the end (default: %(default)s)")
    parser.add_argument("--storage", type=Path, metavar="FILE", help="SQLite file of the study")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the sampler (default: %(default)s)")
    parser.add_argument("--resume", action="store_true", help="continue the study")
    parser.add_argument("overrides", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="configuration keys to change")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    try:
        cfg = load_config(ARCHITECTURES, arguments.config_file, arguments.overrides)
        storage = arguments.storage or Path(cfg.OUTPUT_DIR) / "study.db"
        job = JobOptions(ARCHITECTURES, arguments.config_file, tuple(arguments.overrides))
        study, code = tune(TuningOptions(job, storage, arguments.trials, arguments.resume, arguments.seed))
    except KeyboardInterrupt:
        print("interrupted between two trainings; continue with --resume", file=sys.stderr)
        return 130
    complete = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    print(f"{len(study.trials)} trials, {len(complete)} complete; all in {storage.with_name(TRIALS_NAME)}")
    if complete:
        best = ", ".join(f"{name} {value}" for name, value in study.best_params.items())
        print(f"best {cfg.TEST.BEST_METRIC} {study.best_value:.4g}: {best}")
    return code


if __name__ == "__main__":
    sys.exit(main())
