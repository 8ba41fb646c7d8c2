"""The metadata of an exported model: written, read back, and refused when they do not fit."""

import pytest

from fetal_hc.errors import ModelError
from fetal_hc.model.model_spec import ModelSpec, check_signature
from tests.synthetic_model import head_spec

METADATA = head_spec().to_metadata()


def _message(metadata: dict[str, str]) -> str:
    with pytest.raises(ModelError) as caught:
        ModelSpec.from_metadata(metadata, "m.onnx")
    assert "m.onnx" in str(caught.value)
    return str(caught.value)


def test_metadata_round_trip() -> None:
    spec = head_spec(min_size=320, max_size=480, channel_order="BGR", class_names=("head", "ümlaut"))
    assert ModelSpec.from_metadata(spec.to_metadata(), "m.onnx") == spec


def test_metadata_keys_are_those_of_the_format() -> None:
    assert {key.removeprefix("fetal_hc.") for key in METADATA} == {
        "format", "task", "input_format", "min_size_test", "max_size_test", "class_names", "config", "weights_sha256",
    }  # fmt: skip


def test_foreign_keys_are_ignored() -> None:
    assert ModelSpec.from_metadata({**METADATA, "producer": "x"}, "m.onnx") == head_spec()


def test_file_of_another_origin_is_named_so() -> None:
    assert "another origin" in _message({"producer": "x"})


def test_newer_format_is_refused() -> None:
    assert "model format '2'; expected '1'" in _message({**METADATA, "fetal_hc.format": "2"})


def test_another_task_is_refused() -> None:
    assert "task 'keypoints'" in _message({**METADATA, "fetal_hc.task": "keypoints"})


def test_all_missing_keys_are_listed() -> None:
    incomplete = {k: v for k, v in METADATA.items() if k not in ("fetal_hc.min_size_test", "fetal_hc.class_names")}
    message = _message(incomplete)
    assert "2 problems" in message
    assert "fetal_hc.min_size_test" in message
    assert "fetal_hc.class_names" in message


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("input_format", "GRAY", "'GRAY'"),
        ("min_size_test", "big", "'big'"),
        ("max_size_test", "-5", "-5 px"),
        ("class_names", "head", "invalid metadata"),
        ("class_names", "[]", "[]"),
        ("class_names", "[1]", "[1]"),
    ],
)
def test_invalid_value_is_named(key: str, value: str, expected: str) -> None:
    assert expected in _message({**METADATA, f"fetal_hc.{key}": value})


def test_signature_of_another_network_is_refused() -> None:
    with pytest.raises(ModelError, match=r"inputs \['x'\].*expected input \['image'\]"):
        check_signature(["x"], ["boxes", "scores", "labels", "masks"], "m.onnx")
    with pytest.raises(ModelError, match=r"outputs \['boxes'\]"):
        check_signature(["image"], ["boxes"], "m.onnx")
