"""Stores a trust model in the exported network it belongs to."""

from __future__ import annotations

from pathlib import Path

import onnx

from fetal_hc.engine.export.onnx_file import read_onnx
from fetal_hc.io.atomic import write_bytes_atomic
from fetal_hc.model.model_spec import TRUST_KEY, ModelSpec
from hc18.measure.interval_model import IntervalModel


def write_trusted_model(source: Path, target: Path, trust: IntervalModel) -> None:
    """Writes a copy of an exported network that carries a trust model in place of any earlier one.

    Args:
        source: ONNX file of tools/export_model.py.
        target: ONNX file to write, may be the same.
        trust: calibrated on results of this network.

    Raises:
        ModelError: if the source is no exported network.
        FetalHCError: if the target cannot be written.
    """
    proto = read_onnx(source)
    metadata = {item.key: item.value for item in proto.metadata_props}
    ModelSpec.from_metadata(metadata, str(source))
    onnx.helper.set_model_props(proto, {**metadata, TRUST_KEY: trust.to_json()})
    write_bytes_atomic(target, proto.SerializeToString())
