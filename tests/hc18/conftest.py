"""A model that finds bright heads."""

from pathlib import Path

import pytest

from tests.synthetic_model import head_spec, write_bright_object_model


@pytest.fixture(scope="session")
def bright_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX file that finds the bright ellipses of `tests.synthetic_heads`, at their own resolution."""
    return write_bright_object_model(tmp_path_factory.mktemp("model") / "bright.onnx", head_spec(min_size=0))
