"""ONNX Runtime sessions on the CPU."""

from __future__ import annotations

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as states

from fetal_hc.errors import ModelError

RUNTIME_ERRORS = (
    states.EngineError,
    states.EPFail,
    states.Fail,
    states.InvalidArgument,
    states.InvalidGraph,
    states.InvalidProtobuf,
    states.NoSuchFile,
    states.NotImplemented,
    states.RuntimeException,
    RuntimeError,
    ValueError,
)
_ONLY_FATAL_LOG = 4


def open_session(model: str | bytes, source: str, num_threads: int) -> onnxruntime.InferenceSession:
    """A session with a fixed number of threads.

    Args:
        model: path or content of an ONNX file.
        source: name of the file, for messages.
        num_threads: threads for the network, at least 1.

    Raises:
        ModelError: if it is not ONNX.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # plans one input size in advance; images differ, and it costs 25 MB
    return _create_session(model, options, source)


def _create_session(
    model: str | bytes, options: onnxruntime.SessionOptions, source: str
) -> onnxruntime.InferenceSession:
    options.log_severity_level = _ONLY_FATAL_LOG
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        session._model_bytes = None  # kept only to start again with other providers; 20 MB for the shipped model
        _check_texts(session)
        return session
    except RUNTIME_ERRORS as error:
        raise ModelError(
            f"{source}: cannot be loaded as an ONNX model ({one_line(error)}); the file is corrupt or of "
            "another format; restore or export it again"
        ) from error


def _check_texts(session: onnxruntime.InferenceSession) -> None:
    """Raises UnicodeDecodeError, a ValueError, if names or metadata are not UTF-8: ONNX Runtime decodes them late."""
    _ = session.get_modelmeta().custom_metadata_map
    for item in (*session.get_inputs(), *session.get_outputs()):
        _ = item.name, item.shape


def one_line(error: Exception) -> str:
    """The message of an ONNX Runtime error on one line, at most 200 characters."""
    return " ".join(str(error).split())[:200]


def read_onnx_metadata(content: bytes, source: str) -> dict[str, str]:
    """The key-value pairs that an ONNX file says about itself.

    Raises:
        ModelError: if it is not ONNX.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = _create_session(content, options, source)
    return dict(session.get_modelmeta().custom_metadata_map)
