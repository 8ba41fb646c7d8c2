"""The record that a configuration chooses, for tests that call the engine's functions directly."""

from fetal_hc.engine.architecture import Architecture, find_architecture
from fetal_hc.engine.config import CfgNode
from fetal_hc_cli.training.architectures import ARCHITECTURES


def architecture_of(cfg: CfgNode) -> Architecture:
    return find_architecture(ARCHITECTURES, cfg.MODEL.META_ARCHITECTURE)
