"""Predictions of several finished trainings averaged image by image."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fetal_hc.engine.checkpoints import checkpoint
from fetal_hc.engine.config import CfgNode, load_config
from fetal_hc.engine.data.datasets import load_dataset
from fetal_hc.engine.data.loader import build_test_loader
from fetal_hc.engine.evaluation import DatasetEvaluators
from fetal_hc.engine.evaluation.registry import build_evaluators
from fetal_hc.engine.evaluation.results import Results
from fetal_hc.engine.modeling import build_model
from fetal_hc.engine.predictions import ImagePrediction, MaskPrediction
from fetal_hc.errors import ConfigError

CONFIG_NAME = "config.yaml"
AVERAGED = ("ImageClassifier", "TwoHeadDetector", "SemanticSegmenter")

logger = logging.getLogger(__name__)

Prediction = ImagePrediction | MaskPrediction


def evaluate_ensemble(cfg: CfgNode, device: torch.device) -> Results:
    """Scores the mean prediction of the trainings in TEST.ENSEMBLE on DATASETS.TEST.

    Every member runs under its own config.yaml, so networks and input sizes may differ; it brings model_best.pth, or
    model_final.pth where there is no best. Probabilities, boxes and masks are averaged in the original image.

    Raises:
        ConfigError: if members solve different tasks, cannot be averaged, or TEST names not exactly one dataset.
        ModelError: if a member has no weights or they do not fit.
    """
    if len(cfg.DATASETS.TEST) != 1:
        raise ConfigError(f"TEST.ENSEMBLE needs exactly one dataset in DATASETS.TEST, not {list(cfg.DATASETS.TEST)}")
    if cfg.MODEL.META_ARCHITECTURE not in AVERAGED:
        raise ConfigError(f"TEST.ENSEMBLE averages {', '.join(AVERAGED)}, not {cfg.MODEL.META_ARCHITECTURE}")
    name = cfg.DATASETS.TEST[0]
    dataset = load_dataset(cfg, name)
    members = [_load_member(Path(folder), cfg, device) for folder in cfg.TEST.ENSEMBLE]
    found = [_predict(model, build_test_loader(member_cfg, name, dataset.records)) for member_cfg, model in members]
    evaluator = DatasetEvaluators(build_evaluators(cfg, dataset))
    evaluator.reset()
    for record in dataset.records:
        mean = average([predictions[record["image_id"]] for predictions in found])
        evaluator.process([record], [mean])
    return evaluator.evaluate()


def average(predictions: Sequence[Prediction]) -> Prediction:
    """Mean of the predictions for one image."""
    if isinstance(predictions[0], MaskPrediction):
        masks = [item.probability for item in predictions if isinstance(item, MaskPrediction)]
        return MaskPrediction(np.mean(masks, axis=0, dtype=np.float32))
    images = [item for item in predictions if isinstance(item, ImagePrediction)]
    boxes = [item.box_xyxy for item in images if item.box_xyxy is not None]
    mean_box = torch.stack(boxes).mean(dim=0) if boxes else None
    return ImagePrediction(torch.stack([item.probabilities for item in images]).mean(dim=0), mean_box)


def _load_member(folder: Path, cfg: CfgNode, device: torch.device) -> tuple[CfgNode, nn.Module]:
    """Configuration and network of one training, its data where the ensemble's are."""
    overrides = ["DATASETS.ROOT", str(cfg.DATASETS.ROOT), "MODEL.DEVICE", str(cfg.MODEL.DEVICE)]
    member_cfg = load_config(folder / CONFIG_NAME, overrides)
    if member_cfg.MODEL.META_ARCHITECTURE != cfg.MODEL.META_ARCHITECTURE:
        raise ConfigError(
            f"TEST.ENSEMBLE: {folder} is a {member_cfg.MODEL.META_ARCHITECTURE}, not a {cfg.MODEL.META_ARCHITECTURE}"
        )
    best = folder / checkpoint.BEST_NAME
    path = best if best.is_file() else folder / checkpoint.FINAL_NAME
    model = build_model(member_cfg).to(device).eval()
    checkpoint.load_weights(model, checkpoint.read_checkpoint(path)["model"], path)
    logger.info("ensemble member %s", path)
    return member_cfg, model


@torch.no_grad()
def _predict(
    model: Callable[[list[dict[str, Any]]], list[Prediction]], loader: Iterable[list[dict[str, Any]]]
) -> dict[Any, Prediction]:
    """Prediction of every image by its id."""
    return {
        item["image_id"]: prediction
        for inputs in loader
        for item, prediction in zip(inputs, model(inputs), strict=True)
    }
