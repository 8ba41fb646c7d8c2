"""Requirements have bounds, and serving needs no training library."""

import tomllib
from pathlib import Path

import pytest

EXTRAS = ("app", "pacs", "scale", "train", "dev")


def _requirements(root: Path, extra: str) -> list[str]:
    """Requirements of an extra, or of serving for an empty name, without those it takes over from other extras."""
    if not extra:
        lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
        return [line for line in lines if line and not line.startswith("#")]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [line for line in project["optional-dependencies"][extra] if not line.startswith(project["name"])]


@pytest.mark.parametrize("extra", ["", *EXTRAS])
def test_every_requirement_is_a_plain_name_with_both_bounds(repository_root: Path, extra: str) -> None:
    unbounded = [line for line in _requirements(repository_root, extra) if ">=" not in line or "<" not in line]
    assert unbounded == []


@pytest.mark.parametrize("extra", ["", "app", "pacs", "scale"])
def test_serving_requirements_hold_no_training_library(repository_root: Path, extra: str) -> None:
    names = {line.partition(">")[0].lower() for line in _requirements(repository_root, extra)}
    assert names.isdisjoint({"torch", "torchvision", "detectron2", "onnxscript", "tensorboard"})
