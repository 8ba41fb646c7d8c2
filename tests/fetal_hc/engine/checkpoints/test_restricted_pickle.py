"""Pickles of arrays are read in every form they come in; anything that names code is refused before it could run."""

from __future__ import annotations

import builtins
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fetal_hc.engine.checkpoints.restricted_pickle import read_pickle
from fetal_hc.errors import ModelError
from tests.fetal_hc.engine.zoo_files import python2_pickle

ARRAYS = {
    "float": np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4),
    "columns first": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big-endian": np.arange(5, dtype=">f4"),
    "half": np.arange(5, dtype=np.float16),
    "integers": np.arange(7, dtype=np.int64),
    "truth": np.array([True, False]),
    "empty": np.zeros((0, 4), np.float32),
    "no axes": np.array(3.5, np.float32),
}


def write(path: Path, content: Any, protocol: int) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back_as_they_were(tmp_path: Path, name: str, protocol: int) -> None:
    found = read_pickle(write(tmp_path / "a.pkl", {"x": ARRAYS[name]}, protocol))["x"]
    assert found.dtype == ARRAYS[name].dtype.newbyteorder("=")
    np.testing.assert_array_equal(np.asarray(found), ARRAYS[name])
    assert torch.as_tensor(found).shape == ARRAYS[name].shape


def test_plain_values_come_back_as_they_were(tmp_path: Path) -> None:
    content = {"a": [1, 2.5, None, True, "text", b"bytes"], "b": (1, (2,)), "c": OrderedDict(x=1), 3: {4}}
    assert read_pickle(write(tmp_path / "a.pkl", content, 4)) == content


def test_numpy_scalars_become_python_numbers(tmp_path: Path) -> None:
    found = read_pickle(write(tmp_path / "a.pkl", [np.float64(2.5), np.int32(-3)], 4))
    assert found == [2.5, -3]
    assert [type(value) for value in found] == [float, int]


def test_python_2_strings_are_latin_1_text(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(python2_pickle({"conv1_w": ARRAYS["float"], "cfg": "\xe9"}))
    found = read_pickle(path)
    np.testing.assert_array_equal(np.asarray(found["conv1_w"]), ARRAYS["float"])
    assert found["cfg"] == "\xe9"


class Call:
    """Pickles as a call of a function, made when the file is read."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("function", [os.system, os.mkdir, builtins.eval, builtins.getattr, np.load, torch.load])
def test_code_is_refused_and_not_run(tmp_path: Path, function: Any, protocol: int) -> None:
    marker = tmp_path / "ran"
    argument = f"open({str(marker)!r}, 'w')" if function is eval else str(marker)
    path = write(tmp_path / "evil.pkl", {"model": {"w": Call(function, argument)}}, protocol)
    with pytest.raises(ModelError, match=r"evil\.pkl: refused, it names \S+, and only arrays .* nothing in it was run"):
        read_pickle(path)
    assert not marker.exists()


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "evil.pkl", np.array([Call(os.getcwd)], dtype=object), 4)
    with pytest.raises(ModelError, match=r"refused, it holds values of type 'O8', not numbers"):
        read_pickle(path)


@pytest.mark.parametrize(
    "data",
    [
        b"cos\nsystem\n.",  # named only, never called
        b"c__builtin__\neval\n(S'1'\ntR.",
        b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.ctor\x93.",  # a dotted name
        b"Pnumber 1\n.",  # an object kept outside the file
        b"\x80\x02\x82\x01.",  # an extension code
        b"c_codecs\nencode\n(S'x'\nS'zip'\ntR.",
        b"cnumpy\nndarray\n(I4\ntR.",  # the array type itself cannot be called
    ],
)
def test_crafted_programs_end_in_an_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "evil.pkl").write_bytes(data)
    with pytest.raises(ModelError, match=r"evil\.pkl"):
        read_pickle(tmp_path / "evil.pkl")


def test_no_type_of_numpy_can_be_changed(tmp_path: Path) -> None:
    (tmp_path / "evil.pkl").write_bytes(b"cnumpy\ndtype\n(S'f4'\ntR(I3\nS'<'\nNNNI99\nI99\nI0\ntb.")
    assert not isinstance(read_pickle(tmp_path / "evil.pkl"), np.dtype)
    assert np.dtype("f4").itemsize == 4


@pytest.mark.parametrize("part", [(9,), (-1, -2), (2, "x")])
def test_array_whose_size_disagrees_with_its_data_is_damage(tmp_path: Path, part: tuple[Any, ...]) -> None:
    function, arguments, state = np.zeros((1, 2), np.float32).__reduce__()[:3]

    class Wrong:
        def __reduce__(self) -> Any:
            return function, arguments, (state[0], part, *state[2:])

    with pytest.raises(ModelError, match="not a readable pickle"):
        read_pickle(write(tmp_path / "a.pkl", Wrong(), 4))


def test_file_cut_anywhere_is_damage(tmp_path: Path) -> None:
    data = pickle.dumps({"model": ARRAYS, "__author__": "x"}, protocol=4)
    for length in range(0, len(data), 23):
        (tmp_path / "cut.pkl").write_bytes(data[:length])
        with pytest.raises(ModelError, match=r"cut\.pkl: not a readable pickle"):
            read_pickle(tmp_path / "cut.pkl")


def test_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.pkl: cannot be read"):
        read_pickle(tmp_path / "gone.pkl")
