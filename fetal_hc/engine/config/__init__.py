"""Detectron2's YAML configuration tree, read safely and without Detectron2."""

from fetal_hc.engine.config.load import CONFIG_NAME, dump_config, get_default_config, load_config
from fetal_hc.engine.config.node import CfgNode

__all__ = ["CONFIG_NAME", "CfgNode", "dump_config", "get_default_config", "load_config"]
