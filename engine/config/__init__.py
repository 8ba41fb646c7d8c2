"""Detectron2's YAML configuration tree, read safely and without Detectron2."""

from engine.config.load import dump_config, get_default_config, load_config
from engine.config.node import CfgNode

__all__ = ["CfgNode", "dump_config", "get_default_config", "load_config"]
