"""From configuration to network."""

from __future__ import annotations

import torch
from torch import nn

from face_mask.models.image_classifier import ImageClassifier
from face_mask.models.segmenter import SemanticSegmenter
from face_mask.models.two_head import TwoHeadDetector
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.modeling.rcnn import GeneralizedRCNN
from hc18.training.outline_refiner import OutlineRefiner

META_ARCHITECTURES: dict[str, type[nn.Module]] = {
    "GeneralizedRCNN": GeneralizedRCNN,
    "ImageClassifier": ImageClassifier,
    "TwoHeadDetector": TwoHeadDetector,
    "SemanticSegmenter": SemanticSegmenter,
    "OutlineRefiner": OutlineRefiner,
}


def build_model(cfg: CfgNode) -> nn.Module:
    """The randomly initialised network of a configuration, on MODEL.DEVICE, in training mode."""
    model = META_ARCHITECTURES[cfg.MODEL.META_ARCHITECTURE](cfg).to(torch.device(cfg.MODEL.DEVICE))
    if cfg.MODEL.CHANNELS_LAST:
        model = model.to(memory_format=torch.channels_last)
    return model
