"""Predictions of several finished trainings averaged image by image."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fetal_hc.engine.architecture import Architecture, build_model
from fetal_hc.engine.checkpoints import checkpoint
from fetal_hc.engine.config import CONFIG_NAME, CfgNode, load_config
from fetal_hc.engine.data.datasets import load_dataset
from fetal_hc.engine.data.loader import build_test_loader
from fetal_hc.engine.evaluation.results import Results
from fetal_hc.errors import ConfigError

logger = logging.getLogger(__name__)


def evaluate_ensemble(
    cfg: CfgNode, architectures: Sequence[Architecture], architecture: Architecture, device: torch.device
) -> Results:
    """Scores the mean prediction of the trainings in TEST.ENSEMBLE on DATASETS.TEST.

    Every member runs under its own config.yaml, so networks and input sizes may differ; it brings model_best.pth, or
    model_final.pth where there is no best. Predictions are averaged in the original image.

    Args:
        cfg: names the members and the dataset.
        architectures: the records that the members' configurations are read with.
        architecture: the record of `cfg`, which every member must have too.
        device: where the members compute.

    Raises:
        ConfigError: if members solve different tasks, cannot be averaged, or TEST names not exactly one dataset.
        ModelError: if a member has no weights or they do not fit.
    """
    if len(cfg.DATASETS.TEST) != 1:
        raise ConfigError(f"TEST.ENSEMBLE needs exactly one dataset in DATASETS.TEST, not {list(cfg.DATASETS.TEST)}")
    if architecture.average is None:
        averaged = ", ".join(row.name for row in architectures if row.average is not None) or "no model here"
        raise ConfigError(f"TEST.ENSEMBLE averages {averaged}, not {architecture.name}")
    name = cfg.DATASETS.TEST[0]
    dataset = load_dataset(cfg, architecture, name)
    found = []
    for folder in cfg.TEST.ENSEMBLE:
        member_cfg = _read_member_config(Path(folder), cfg, architectures)
        model = _load_member(Path(folder), member_cfg, architecture, device)
        found.append(_predict(model, build_test_loader(member_cfg, architecture, name, dataset.records)))
    evaluator = architecture.build_evaluators(cfg, dataset)
    evaluator.reset()
    for record in dataset.records:
        mean = architecture.average([predictions[record["image_id"]] for predictions in found])
        evaluator.process([record], [mean])
    return evaluator.evaluate()


def _read_member_config(folder: Path, cfg: CfgNode, architectures: Sequence[Architecture]) -> CfgNode:
    """Configuration of one training, with its data where the ensemble's are."""
    overrides = ["DATASETS.ROOT", str(cfg.DATASETS.ROOT), "MODEL.DEVICE", str(cfg.MODEL.DEVICE)]
    member_cfg = load_config(architectures, folder / CONFIG_NAME, overrides)
    if member_cfg.MODEL.META_ARCHITECTURE != cfg.MODEL.META_ARCHITECTURE:
        raise ConfigError(
            f"TEST.ENSEMBLE: {folder} is a {member_cfg.MODEL.META_ARCHITECTURE}, not a {cfg.MODEL.META_ARCHITECTURE}"
        )
    return member_cfg


def _load_member(folder: Path, cfg: CfgNode, architecture: Architecture, device: torch.device) -> nn.Module:
    """Network of one training in evaluation mode."""
    best = folder / checkpoint.BEST_NAME
    path = best if best.is_file() else folder / checkpoint.FINAL_NAME
    model = build_model(cfg, architecture, device).eval()
    checkpoint.load_weights(model, checkpoint.read_checkpoint(path)["model"], path)
    logger.info("ensemble member %s", path)
    return model


@torch.no_grad()
def _predict(
    model: Callable[[list[dict[str, Any]]], list[Any]], loader: Iterable[list[dict[str, Any]]]
) -> dict[Any, Any]:
    """Prediction of every image by its id."""
    return {
        item["image_id"]: prediction
        for inputs in loader
        for item, prediction in zip(inputs, model(inputs), strict=True)
    }
