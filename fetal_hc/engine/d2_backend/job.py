"""One training or evaluation with Detectron2, and its start in several processes."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from types import FrameType
from typing import Any

import detectron2.engine
from detectron2.utils import comm
from torch.multiprocessing.spawn import ProcessExitedException

from fetal_hc.engine.architecture import Architecture
from fetal_hc.engine.checkpoints import checkpoint
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.d2_backend.config import to_detectron2_config
from fetal_hc.engine.d2_backend.data import register_datasets
from fetal_hc.engine.d2_backend.trainer import Trainer, build_test_evaluators
from fetal_hc.engine.data.datasets import load_training_records
from fetal_hc.engine.evaluation.results import Results
from fetal_hc.errors import FetalHCError

logger = logging.getLogger(__name__)


def launch(function: Callable[..., int], n_processes: int, arguments: tuple[Any, ...]) -> int:
    """Exit code of `function(*arguments)` in `n_processes` processes that Detectron2's launcher starts.

    SIGTERM and SIGINT reach the started processes as SIGTERM.

    Raises:
        FetalHCError: from `function`; of several processes that fail, the first one's.
    """
    messages = multiprocessing.get_context("spawn").SimpleQueue()

    def forward(_signal_number: int, _frame: FrameType | None) -> None:
        for process in multiprocessing.active_children():
            process.terminate()

    previous = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        detectron2.engine.launch(_child, n_processes, dist_url="auto", args=(function, arguments, messages))
    except ProcessExitedException as error:
        if not messages.empty():
            raise FetalHCError(messages.get()) from error
        return error.exit_code if error.exit_code > 0 else 1
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 0


def run(
    cfg: CfgNode, architecture: Architecture, weights: Path | None, *, resume: bool, eval_only: bool
) -> tuple[int, Results]:
    """Trains, or evaluates only; returns 0 or the signal that ended the training, and the last results.

    Args:
        cfg: the configuration, with its final SEED.
        architecture: its model.
        weights: to evaluate with `eval_only`.
        resume: continue the training in OUTPUT_DIR where there is one.
        eval_only: no training.

    Raises:
        FetalHCError: for anything wrong with data or weights.
    """
    logging.getLogger("detectron2.engine.train_loop").addFilter(_without_traceback)
    theirs = to_detectron2_config(cfg)
    register_datasets(theirs, architecture, [*(() if eval_only else cfg.DATASETS.TRAIN), *cfg.DATASETS.TEST])
    if eval_only:
        assert weights is not None
        model = Trainer.build_model(theirs)
        checkpoint.load_weights(model, checkpoint.read_checkpoint(weights)["model"], weights)
        return 0, Trainer.test(theirs, model, build_test_evaluators(theirs, architecture))
    load_training_records(cfg, architecture)  # its errors say more than Detectron2's about an empty or mixed dataset
    trainer = Trainer(theirs, architecture)
    trainer.resume_or_load(resume)
    signal_number = trainer.train()
    return signal_number, trainer.results or {}


def _without_traceback(record: logging.LogRecord) -> bool:
    """Drops the record of an exception that Detectron2's loop passes on: the caller reports it."""
    return record.exc_info is None


def _child(function: Callable[..., int], arguments: tuple[Any, ...], messages: SimpleQueue[str]) -> None:
    """Body of one started process: the environment of torchrun, then the function; exits with its code."""
    os.environ.update(
        RANK=str(comm.get_rank()), LOCAL_RANK=str(comm.get_local_rank()), WORLD_SIZE=str(comm.get_world_size())
    )
    try:
        code = function(*arguments)
    except FetalHCError as error:
        messages.put(str(error))
        code = 2
    sys.exit(code)
