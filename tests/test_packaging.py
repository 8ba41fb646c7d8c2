"""Requirements have bounds, serving needs no training library, and source files stay short."""

import ast
import tomllib
from pathlib import Path

import pytest

SOURCE_FOLDERS = ("fetal_hc", "hc18", "face_mask", "app", "tools", "benchmarks", "experiments", "tests")
EXTRAS = ("app", "scale", "train", "dev")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def _requirements(root: Path, extra: str) -> list[str]:
    """Requirements of an extra, or of serving for an empty name, without those it takes over from other extras."""
    if not extra:
        lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
        return [line for line in lines if line and not line.startswith("#")]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [line for line in project["optional-dependencies"][extra] if not line.startswith(project["name"])]


def _source_files(root: Path) -> list[Path]:
    return [file for folder in SOURCE_FOLDERS for file in sorted((root / folder).rglob("*.py"))]


@pytest.mark.parametrize("extra", ["", *EXTRAS])
def test_every_requirement_is_a_plain_name_with_both_bounds(repository_root: Path, extra: str) -> None:
    unbounded = [line for line in _requirements(repository_root, extra) if ">=" not in line or "<" not in line]
    assert unbounded == []


@pytest.mark.parametrize("extra", ["", "app", "scale"])
def test_serving_requirements_hold_no_training_library(repository_root: Path, extra: str) -> None:
    names = {line.partition(">")[0].lower() for line in _requirements(repository_root, extra)}
    assert names.isdisjoint({"torch", "torchvision", "detectron2", "onnxscript", "tensorboard"})


def test_files_stay_short(repository_root: Path) -> None:
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in _source_files(repository_root)}
    assert {str(file.relative_to(repository_root)): n for file, n in lengths.items() if n > MAX_FILE_LINES} == {}


def test_functions_stay_short(repository_root: Path) -> None:
    too_long = [
        f"{file.relative_to(repository_root)}:{node.lineno} {node.name}"
        for file in _source_files(repository_root)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert too_long == []
