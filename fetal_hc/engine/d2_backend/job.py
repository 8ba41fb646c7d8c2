"""One training or evaluation with Detectron2, in this process."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from fetal_hc.engine.architecture import Architecture
from fetal_hc.engine.checkpoints import checkpoint
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.d2_backend.config import to_detectron2_config
from fetal_hc.engine.d2_backend.data import register_datasets
from fetal_hc.engine.d2_backend.lazy import make_lazy_trainer, read_lazy_tree
from fetal_hc.engine.d2_backend.trainer import Trainer, build_test_evaluators
from fetal_hc.engine.data.datasets import load_training_records
from fetal_hc.engine.evaluation.results import Results

logger = logging.getLogger(__name__)


def run(
    cfg: CfgNode,
    architecture: Architecture,
    weights: Path | None,
    *,
    resume: bool,
    eval_only: bool,
    lazy: tuple[Path, Sequence[str]] | None = None,
) -> tuple[int, Results]:
    """Trains, or evaluates only; returns 0 or the signal that ended the training, and the last results.

    Args:
        cfg: the configuration, with its final SEED.
        architecture: its model.
        weights: to evaluate with `eval_only`.
        resume: continue the training in OUTPUT_DIR where there is one.
        eval_only: no training.
        lazy: file and overrides of the lazy configuration that `cfg` was made from; it describes network, optimiser,
            schedule and mappers. None where `cfg` comes from YAML.

    Raises:
        FetalHCError: for anything wrong with data or weights.
    """
    logging.getLogger("detectron2.engine.train_loop").addFilter(_without_traceback)
    theirs = to_detectron2_config(cfg)
    trainer_class = Trainer if lazy is None else make_lazy_trainer(read_lazy_tree(*lazy))
    register_datasets(theirs, architecture, [*(() if eval_only else cfg.DATASETS.TRAIN), *cfg.DATASETS.TEST])
    if eval_only:
        assert weights is not None
        model = trainer_class.build_model(theirs)
        checkpoint.load_weights(model, checkpoint.read_checkpoint(weights)["model"], weights)
        return 0, trainer_class.test(theirs, model, build_test_evaluators(theirs, architecture))
    load_training_records(cfg, architecture)  # its errors say more than Detectron2's about an empty or mixed dataset
    trainer = trainer_class(theirs, architecture)
    trainer.resume_or_load(resume)
    signal_number = trainer.train()
    return signal_number, trainer.results or {}


def _without_traceback(record: logging.LogRecord) -> bool:
    """Drops the record of an exception that Detectron2's loop passes on: the caller reports it."""
    return record.exc_info is None
