r"""Time a training step of the built-in engine against Detectron2's, in turns, on the same batches.

    python -m benchmarks.engine_speed [--config-file FILE] [--block 3] [--rounds 10] [--threads 1] [--clock cpu|wall] \
        [KEY VALUE ...]

Both networks start from the same weights and get the same images in the same order. A step is all that a training does
in one iteration: data, forward, backward, clipping, optimiser, schedule, moving average, record. Exit code 1 if the
built-in engine is slower than Detectron2 by more than 2 % (median of the ratios of neighbouring blocks).

The CPU clock counts what this process computes, whatever else the machine does; it is of no use on a GPU.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from fetal_hc.engine import rcnn
from fetal_hc.engine.architecture import build_model
from fetal_hc.engine.checkpoints.checkpoint import seed_everything
from fetal_hc.engine.config import CfgNode, load_config
from fetal_hc.engine.data.loader import build_train_loader
from fetal_hc.engine.train.backend import choose_engine
from fetal_hc.engine.train.distributed import select_device
from fetal_hc.engine.train.events import TrainingEvents
from fetal_hc.engine.train.trainer import Trainer
from fetal_hc.io.interruption import StopRequest
from fetal_hc_cli import new_parser, reports_bad_input

MIN_RATIO = 0.98
CONFIG = Path(__file__).resolve().parents[1] / "configs" / "smoke" / "mask_rcnn_R_18_FPN_phantoms.yaml"
CLOCKS = {"cpu": time.process_time, "wall": time.perf_counter}

Step = Callable[[int], None]


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--config-file", type=Path, default=CONFIG, metavar="FILE", help="default: the smoke training")
    parser.add_argument("--block", type=int, default=3, help="iterations of one engine in a row (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=10, help="timed pairs of blocks (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: %(default)s)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="default: %(default)s")
    parser.add_argument("overrides", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="configuration keys to change")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        overrides = [*options.overrides, "OUTPUT_DIR", folder, "SEED", "1"]
        cfg = load_config((rcnn.ARCHITECTURE,), options.config_file, overrides)
        choose_engine("detectron2", cfg, rcnn.ARCHITECTURE)
        ours = stack.enter_context(_builtin_step(cfg))
        theirs = stack.enter_context(_detectron2_step(cfg))
        return _compare(cfg, ours, theirs, options)


def _compare(cfg: CfgNode, ours: Step, theirs: Step, options: argparse.Namespace) -> int:
    clock = CLOCKS[options.clock]
    seconds: dict[str, list[float]] = {"built-in": [], "Detectron2": []}
    for number in range(options.rounds + 1):
        pair = [("built-in", ours), ("Detectron2", theirs)]
        for name, step in pair if number % 2 else reversed(pair):
            start = clock()
            for iteration in range(number * options.block, (number + 1) * options.block):
                step(iteration)
            _wait_for_gpu(cfg)
            if number:  # the first round warms up
                seconds[name].append((clock() - start) / options.block)
    ratios = [theirs / ours for ours, theirs in zip(*seconds.values(), strict=True)]
    ratio = statistics.median(ratios)
    print(
        f"{options.config_file.name}, batch {cfg.SOLVER.IMS_PER_BATCH}, {cfg.MODEL.DEVICE}, {options.threads} thread(s)"
    )
    for name, values in seconds.items():
        print(f"{name}: {1000 * statistics.median(values):.0f} ms per iteration (median, {options.clock} clock)")
    print(f"Detectron2 / built-in, block by block: {ratio:.2f} median ({min(ratios):.2f} to {max(ratios):.2f})")
    return 0 if ratio >= MIN_RATIO else 1


def _wait_for_gpu(cfg: CfgNode) -> None:
    if cfg.MODEL.DEVICE.startswith("cuda"):
        torch.cuda.synchronize()


@contextmanager
def _builtin_step(cfg: CfgNode) -> Iterator[Step]:
    """One iteration of the built-in engine."""
    seed_everything(cfg.SEED)
    model = build_model(cfg, rcnn.ARCHITECTURE).train()
    trainer = Trainer(cfg, model, build_train_loader(cfg, rcnn.ARCHITECTURE), select_device(cfg.MODEL.DEVICE))
    batches, stop = iter(trainer.loader), StopRequest()
    with TrainingEvents(Path(cfg.OUTPUT_DIR) / "builtin", 0, cfg.SOLVER.MAX_ITER, is_main=False) as events:

        def step(iteration: int) -> None:
            trainer._iterate(iteration, batches, events, stop)

        yield step


@contextmanager
def _detectron2_step(cfg: CfgNode) -> Iterator[Step]:
    """One iteration of Detectron2, from the built-in engine's initial weights."""
    from detectron2.utils.events import EventStorage

    from fetal_hc.engine.d2_backend.config import to_detectron2_config
    from fetal_hc.engine.d2_backend.data import register_datasets
    from fetal_hc.engine.d2_backend.trainer import Trainer as Detectron2Trainer

    theirs = to_detectron2_config(cfg)
    register_datasets(theirs, rcnn.ARCHITECTURE, cfg.DATASETS.TRAIN)
    trainer: Any = Detectron2Trainer(theirs, rcnn.ARCHITECTURE)
    seed_everything(cfg.SEED)
    trainer.own_model.load_state_dict(build_model(cfg, rcnn.ARCHITECTURE).state_dict())
    with EventStorage(0) as trainer.storage:
        for hook in trainer._hooks[:2]:  # timer and schedule
            hook.before_train()

        def step(iteration: int) -> None:
            trainer.iter = iteration
            trainer.before_step()
            trainer.run_step()
            for hook in trainer._hooks[:-2]:  # no checkpoint, no evaluation
                hook.after_step()

        yield step


if __name__ == "__main__":
    sys.exit(main())
