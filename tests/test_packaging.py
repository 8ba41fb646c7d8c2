"""The requirement files, the extras of pyproject.toml and the size limits of the sources agree with what is written."""

import ast
import tomllib
from pathlib import Path

import pytest

SOURCE_FOLDERS = ("fetal_hc", "hc18", "face_mask", "app", "tools", "benchmarks", "experiments", "tests")
REQUIREMENT_FILES = ("requirements.txt", *(f"requirements-{extra}.txt" for extra in ("app", "scale", "train", "dev")))
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def _requirements(file: Path) -> list[str]:
    """Requirement lines of a file, without comments and without the files it includes."""
    lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("-r")]


def _source_files(root: Path) -> list[Path]:
    return [file for folder in SOURCE_FOLDERS for file in sorted((root / folder).rglob("*.py"))]


@pytest.mark.parametrize(
    ("extra", "included"), [("app", []), ("scale", []), ("train", []), ("dev", ["fetal-hc[train,app,scale]"])]
)
def test_extra_repeats_its_requirement_file(repository_root: Path, extra: str, included: list[str]) -> None:
    project = tomllib.loads((repository_root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = _requirements(repository_root / f"requirements-{extra}.txt")
    assert project["optional-dependencies"][extra] == [*included, *listed]


@pytest.mark.parametrize("name", REQUIREMENT_FILES)
def test_every_requirement_is_a_plain_name_with_both_bounds(repository_root: Path, name: str) -> None:
    unbounded = [line for line in _requirements(repository_root / name) if ">=" not in line or "<" not in line]
    assert unbounded == []


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-app.txt", "requirements-scale.txt"])
def test_serving_requirements_hold_no_training_library(repository_root: Path, name: str) -> None:
    names = {line.partition(">")[0].lower() for line in _requirements(repository_root / name)}
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
