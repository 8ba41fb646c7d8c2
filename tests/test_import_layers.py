"""Who may import whom, and which packages must work where torch is not installed."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Package -> packages of this project it may import. Every import points towards `segdata`.
MAY_IMPORT: dict[str, frozenset[str]] = {
    "segdata": frozenset(),
    "hc18": frozenset({"segdata"}),
    "face_mask": frozenset({"segdata"}),
    "inference": frozenset({"segdata", "hc18", "face_mask"}),
    "engine": frozenset({"segdata", "hc18", "face_mask", "inference"}),
    "reviews": frozenset({"segdata", "hc18", "inference"}),
    "app": frozenset({"segdata", "hc18", "face_mask", "inference", "reviews"}),
    "tools": frozenset({"segdata", "hc18", "face_mask", "inference", "engine", "reviews"}),
    "benchmarks": frozenset({"segdata", "hc18", "face_mask", "inference", "engine", "reviews", "tools"}),
}
MAY_IMPORT_TORCH = frozenset({"engine", "tools", "benchmarks"})
TORCH_FAMILY = frozenset({"torch", "torchvision", "detectron2"})

# Importable without anything that requirements.txt does not install. The tools are those `make score` runs.
SERVING_PACKAGES = ("segdata", "hc18", "face_mask", "inference")
SERVING_TOOLS = ("tools/score.py", "tools/evaluate_hc18.py", "tools/make_phantoms.py")
# Importable with requirements-app.txt, or requirements-scale.txt for the Ray runner, but without torch.
APP_PACKAGES = ("hc18.reports", "reviews", "app")
SCALE_MODULES = ("inference.ray_runner",)
TRAINING_ONLY = (
    *sorted(TORCH_FAMILY),
    "onnx",
    "onnxscript",
    "yaml",
    "tensorboard",
    "timm",
    "segmentation_models_pytorch",
    "optuna",
    "pytest",
    "hypothesis",
)
APP_ONLY = ("matplotlib", "streamlit", "sqlalchemy", "alembic", "psycopg", "reportlab", "highdicom", "fhir")
SCALE_ONLY = ("pyarrow", "fsspec", "ray")

IMPORT_WITHOUT_TRAINING_LIBRARIES = """
import importlib, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(f"{name} is not a serving requirement")

BLOCKED = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Refuse())
failures = []
for name in sys.argv[2:]:
    try:
        importlib.import_module(name)
    except ImportError as error:
        failures.append(f"{name}: {error}")
sys.exit("\\n".join(failures) or None)
"""


def _imported_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and top-level package of every absolute import, those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module.partition(".")[0]


def find_violations(root: Path) -> list[str]:
    """Every import under `root` that breaks `MAY_IMPORT` or `MAY_IMPORT_TORCH`, as `file:line: what`."""
    violations = []
    for package, allowed in MAY_IMPORT.items():
        for file in sorted((root / package).rglob("*.py")):
            for line, name in _imported_names(ast.parse(file.read_text(encoding="utf-8"), filename=str(file))):
                own_rule = name in MAY_IMPORT and name != package and name not in allowed
                torch_rule = name in TORCH_FAMILY and package not in MAY_IMPORT_TORCH
                if own_rule or torch_rule:
                    violations.append(f"{file.relative_to(root).as_posix()}:{line}: {package} imports {name}")
    return violations


def _module_name(root: Path, file: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _import_errors(root: Path, modules: list[str], blocked: tuple[str, ...]) -> str:
    """What went wrong when a fresh interpreter imported `modules` with `blocked` packages refused; "" when nothing."""
    command = [sys.executable, "-c", IMPORT_WITHOUT_TRAINING_LIBRARIES, ",".join(blocked), *modules]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return result.stderr.strip() if result.returncode else ""


def test_imports_point_towards_segdata(repository_root: Path) -> None:
    assert find_violations(repository_root) == []


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("segdata/records.py", "import hc18.ellipse", "segdata/records.py:1: segdata imports hc18"),
        ("hc18/fits.py", "from face_mask import voc", "hc18/fits.py:1: hc18 imports face_mask"),
        ("face_mask/voc.py", "from hc18.ellipse import Ellipse", "face_mask/voc.py:1: face_mask imports hc18"),
        ("inference/a.py", "def f():\n    import torch.nn", "inference/a.py:2: inference imports torch"),
        ("app/deep/review.py", "\nfrom engine import config", "app/deep/review.py:2: app imports engine"),
        ("engine/trainer.py", "from tools import score", "engine/trainer.py:1: engine imports tools"),
    ],
)
def test_planted_violation_is_found(tmp_path: Path, file: str, source: str, expected: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(source, encoding="utf-8")
    assert find_violations(tmp_path) == [expected]


def test_allowed_imports_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "a.py").write_text(
        "import torch\nfrom hc18 import fits\nfrom . import b\n", encoding="utf-8"
    )
    assert find_violations(tmp_path) == []


def _modules_of(root: Path, package: str) -> list[str]:
    files = sorted((root / package.replace(".", "/")).rglob("*.py"))
    return [_module_name(root, file) for file in files if file.stem != "__main__"]


def _needs_an_extra(module: str) -> bool:
    return module in SCALE_MODULES or any(f"{module}.".startswith(f"{package}.") for package in APP_PACKAGES)


@pytest.mark.parametrize("package", SERVING_PACKAGES)
def test_package_imports_with_serving_requirements_only(repository_root: Path, package: str) -> None:
    modules = [name for name in _modules_of(repository_root, package) if not _needs_an_extra(name)]
    assert modules
    assert _import_errors(repository_root, modules, (*TRAINING_ONLY, *APP_ONLY, *SCALE_ONLY)) == ""


@pytest.mark.parametrize("package", APP_PACKAGES)
def test_app_package_imports_without_training_libraries(repository_root: Path, package: str) -> None:
    modules = _modules_of(repository_root, package)
    assert modules
    assert _import_errors(repository_root, modules, TRAINING_ONLY) == ""


def test_tools_behind_make_score_import_with_serving_requirements_only(repository_root: Path) -> None:
    modules = [_module_name(repository_root, repository_root / tool) for tool in SERVING_TOOLS]
    assert _import_errors(repository_root, modules, (*TRAINING_ONLY, *APP_ONLY, *SCALE_ONLY)) == ""


def test_blocked_import_is_reported(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text("import torch\n", encoding="utf-8")
    assert "planted: torch is not a serving requirement" in _import_errors(tmp_path, ["planted"], TRAINING_ONLY)
