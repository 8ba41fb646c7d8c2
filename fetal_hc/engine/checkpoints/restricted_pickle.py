"""Reading a pickle of NumPy arrays and plain values without running anything that the file names.

A pickle is a program: it names functions and calls them. Here every name it may use stands for a function of this
file, which builds an array from bytes whose type and size it has checked; any other name is refused before it is looked
up.
"""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_hc.errors import ModelError

# Kind and bytes per value: booleans, integers and floats. No objects, no records.
_PLAIN_TYPE = re.compile(r"(b1|[iu][1248]|f[248])")
_DAMAGES = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    AttributeError,
    TypeError,
    OverflowError,
    RecursionError,
    MemoryError,
)


class _RefusedError(pickle.UnpicklingError):
    """The file asks for more than arrays and plain values."""


class _DType:
    """Stands for `numpy.dtype`: kind and size when called, byte order from the state."""

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or not _PLAIN_TYPE.fullmatch(code):
            raise _RefusedError(f"it holds values of type {code!r}, not numbers")
        self.code = code
        self.byte_order = "="

    def __setstate__(self, state: Sequence[Any]) -> None:
        self.byte_order = ">" if state[1] == ">" else "<" if state[1] == "<" else "="

    def array(self, data: Any, shape: Any, order: Any = "C") -> NDArray[Any]:
        """The bytes as an array of this type, in the machine's byte order; ValueError where the sizes disagree."""
        data = data.encode("latin1") if isinstance(data, str) else data
        values = np.frombuffer(data, dtype=np.dtype(self.byte_order + self.code))
        values = values.astype(values.dtype.newbyteorder("="))
        if any(side < 0 for side in shape):
            raise ValueError(f"shape {shape} is not one of an array")
        return values.reshape(shape, order="F" if order == "F" else "C")


class _Array(np.ndarray):
    """Stands for `numpy.ndarray`: filled once, from a state that `_DType` has checked."""

    def __setstate__(self, state: Sequence[Any], /) -> None:
        shape, dtype, is_fortran, data = state[-4:]
        values = dtype.array(data, shape, "F" if is_fortran else "C")
        plain: Any = (1, values.shape, values.dtype, False, values.tobytes("C"))
        super().__setstate__(plain)


class _OrderedDict(dict):
    """Stands for `collections.OrderedDict`; attributes that the file would hang on it are dropped."""

    def __setstate__(self, state: object) -> None: ...


def _new_array(*_: object) -> _Array:
    return _Array((0,), dtype=np.float32)


def _array_from_buffer(data: Any, dtype: _DType, shape: Any, order: Any) -> NDArray[Any]:
    return dtype.array(data, shape, order)


def _scalar(dtype: _DType, data: Any) -> Any:
    return dtype.array(data, ()).item()


def _no_bytes() -> bytes:
    return b""


def _encode(text: str, codec: str) -> bytes:
    """How protocols below 3 write bytes that are not empty."""
    if codec not in ("latin1", "latin-1"):
        raise _RefusedError(f"it asks for the codec {codec!r}")
    return text.encode("latin1")


_NAMES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _OrderedDict,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    ("numpy", "dtype"): _DType,
    ("numpy", "ndarray"): "ndarray",  # only ever an argument
}
for _core in ("numpy.core", "numpy._core"):
    _NAMES[f"{_core}.multiarray", "_reconstruct"] = _new_array
    _NAMES[f"{_core}.multiarray", "scalar"] = _scalar
    _NAMES[f"{_core}.numeric", "_frombuffer"] = _array_from_buffer


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NAMES:
            raise _RefusedError(f"it names {module}.{name}")
        return _NAMES[module, name]


def read_pickle(path: str | Path) -> Any:
    """The content of a pickle: arrays of numbers in dictionaries, lists, tuples, with text, numbers, None.

    Files written by Python 2 are read as Detectron2 reads them, their byte strings as Latin-1 text.

    Raises:
        ModelError: if the file is missing or damaged, or names a function, class or type other than those of arrays;
            nothing that it names is looked up or called.
    """
    path = Path(path)
    try:
        return _Unpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); check MODEL.WEIGHTS") from error
    except _RefusedError as error:
        raise ModelError(
            f"{path}: refused, {error}, and only arrays of numbers and plain values are read; nothing in it was run. "
            "If you trust its origin, load it elsewhere and save the arrays alone"
        ) from error
    except _DAMAGES as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(f"{path}: not a readable pickle ({reason}); download or copy it again") from error
