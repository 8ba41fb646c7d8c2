"""Train a model, or evaluate one with --eval-only, as a YAML configuration says.

    fetal-hc train --config-file configs/hc18/mask_rcnn_R_50_FPN.yaml OUTPUT_DIR output/r50

Exit code: 0 done; 1 the results miss TEST.EXPECTED_RESULTS; 2 bad input; 128 + signal when SIGTERM or SIGINT ended the
training early, after a checkpoint was written (continue with --resume).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fetal_hc.engine.train.backend import ENGINES
from fetal_hc.engine.train.distributed import Machines
from fetal_hc.engine.train.training_job import JobOptions, start_job
from fetal_hc_cli import new_parser, reports_bad_input
from fetal_hc_cli.training.architectures import ARCHITECTURES


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument(
        "--config-file",
        type=Path,
        required=True,
        metavar="FILE",
        help="YAML; with --engine detectron2 also .py (lazy)",
    )
    parser.add_argument(
        "--engine", choices=ENGINES, default="auto", help="what trains; auto: Detectron2 where it imports, else builtin"
    )
    parser.add_argument(
        "--num-gpus",
        type=int,
        metavar="N",
        help="processes on this machine, on CPUs too (MODEL.DEVICE decides); default 1",
    )
    parser.add_argument("--num-machines", type=int, default=1, metavar="N", help="machines that train together")
    parser.add_argument("--machine-rank", type=int, default=0, metavar="K", help="number of this machine, from 0")
    parser.add_argument(
        "--dist-url",
        default="auto",
        metavar="URL",
        help="tcp://HOST:PORT of machine 0; auto: a free port of this machine",
    )
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint in OUTPUT_DIR, if any")
    parser.add_argument("--eval-only", action="store_true", help="score MODEL.WEIGHTS on DATASETS.TEST, do not train")
    parser.add_argument("--overwrite", action="store_true", help="replace a training that OUTPUT_DIR already holds")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="configuration keys to change")
    return parser


def read_job(argv: Sequence[str] | None = None) -> tuple[JobOptions, int, Machines]:
    """The job that a command line asks for, the processes of this machine, and the machines.

    Raises:
        ConfigError: if the machines do not fit together.
    """
    arguments = build_parser().parse_intermixed_args(argv)  # options may stand before and after KEY VALUE
    options = JobOptions(
        architectures=ARCHITECTURES,
        config_file=arguments.config_file,
        overrides=tuple(arguments.overrides),
        engine=arguments.engine,
        resume=arguments.resume,
        eval_only=arguments.eval_only,
        overwrite=arguments.overwrite,
        wants_gpus=arguments.num_gpus is not None,
    )
    machines = Machines(arguments.num_machines, arguments.machine_rank, arguments.dist_url)
    return options, 1 if arguments.num_gpus is None else arguments.num_gpus, machines


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    return start_job(*read_job(argv))


if __name__ == "__main__":
    sys.exit(main())
