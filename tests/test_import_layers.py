"""Who may import whom, and which packages must work where torch is not installed."""

import ast
import functools
import os
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

# Rooms from the bottom up: a module imports from its own room and from those above it in this list, never from below.
# The two domains never import each other.
ROOMS = (
    "fetal_hc.errors",
    "fetal_hc.io",
    "fetal_hc.model",
    "fetal_hc.batch",
    "fetal_hc.engine",
    "hc18.geometry",
    "hc18.obstetrics",
    "hc18.dicom",
    "hc18.dataset",
    "hc18.phantoms",
    "hc18.shipped",
    "hc18.measurement",
    "hc18.evaluation",
    "hc18.uncertainty",
    "hc18.reviews",
    "hc18.reports",
    "hc18.pacs",
    "hc18.training",
    "face_mask.data",
    "face_mask.models",
    "face_mask.training",
    "face_mask.shipped",
    "face_mask.predict",
    "fetal_hc_app",
    "fetal_hc_cli",
    "benchmarks",
    "experiments",
)
DOMAINS = ("hc18", "face_mask")
SOURCE_ROOTS = {"fetal_hc_app": "app/fetal_hc_app", "fetal_hc_cli": "tools/fetal_hc_cli"}
MAY_IMPORT_TORCH = (
    "fetal_hc.engine", "hc18.training", "face_mask.models", "face_mask.training", "fetal_hc_cli", "benchmarks",
    "experiments",
)  # fmt: skip
TORCH_FAMILY = frozenset({"torch", "torchvision", "detectron2"})

# Importable without anything that requirements.txt does not install. The tools are those `make score` runs.
SERVING_PACKAGES = ("fetal_hc", "hc18", "face_mask")
SERVING_COMMANDS = ("main", "score", "evaluate_hc18", "check_hc18", "make_phantoms")
# Importable with the extra app, or with the extra scale for the Ray runner, but without torch.
APP_PACKAGES = ("hc18.reports", "hc18.reviews", "hc18.pacs", "fetal_hc_app")
SCALE_MODULES = ("fetal_hc.batch.ray_runner",)
TRAINING_PACKAGES = ("fetal_hc.engine", "hc18.training", "face_mask.models", "face_mask.training")
TRAINING_ONLY = (
    *sorted(TORCH_FAMILY),
    "onnx",
    "onnxscript",
    "yaml",
    "tensorboard",
    "timm",
    "segmentation_models_pytorch",
    "sklearn",
    "optuna",
    "pytest",
    "hypothesis",
)
APP_ONLY = (
    "matplotlib", "streamlit", "sqlalchemy", "alembic", "psycopg", "reportlab", "highdicom", "fhir", "pynetdicom",
    "dicomweb_client", "cryptography",
)  # fmt: skip
SCALE_ONLY = ("pyarrow", "ray")

START_FOLDER = "app/fetal_hc_app/start"  # has the settings of the app, which refuses to start without an address
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


@functools.cache  # two tests read every file of the project
def _imported_names(file: Path) -> tuple[tuple[int, str], ...]:
    """Line and dotted name of every absolute import in `file`, those inside functions too."""
    names = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), filename=str(file))):
        if isinstance(node, ast.Import):
            names += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return tuple(names)


def _room_of(name: str) -> str | None:
    """The room of a module or of a name in it; None for other packages and for a package's own face."""
    return next((room for room in ROOMS if f"{name}.".startswith(f"{room}.")), None)


def _source_files(root: Path, package: str) -> list[Path]:
    folder = root / SOURCE_ROOTS.get(package, package)
    return sorted(folder.rglob("*.py")) if folder.is_dir() else []


def find_violations(root: Path) -> list[str]:
    """Every import that runs up the list of rooms or imports torch where it may not, as `file:line: what`."""
    violations = []
    for package in dict.fromkeys(room.partition(".")[0] for room in ROOMS):
        for file in _source_files(root, package):
            module = _module_name(root, file)
            room = _room_of(module)
            for line, name in _imported_names(file):
                target = _room_of(name)
                where = f"{file.relative_to(root).as_posix()}:{line}"
                if room and target and not _may_import(room, target):
                    violations.append(f"{where}: {room} imports {target}")
                if name.partition(".")[0] in TORCH_FAMILY and room not in MAY_IMPORT_TORCH:
                    violations.append(f"{where}: {room or module} imports {name.partition('.')[0]}")
    return violations


def find_circle(root: Path) -> list[str]:
    """Modules that import each other in a circle, imports for type checkers included; empty if there are none."""
    imports = {
        _module_name(root, file): _imported_names(file)
        for package in dict.fromkeys(room.partition(".")[0] for room in ROOMS)
        for file in _source_files(root, package)
    }
    arrows = {
        module: {name if name in imports else name.rpartition(".")[0] for _, name in names} - {module}
        for module, names in imports.items()
    }
    try:
        TopologicalSorter({module: names & imports.keys() for module, names in arrows.items()}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _may_import(room: str, target: str) -> bool:
    domains = {name.partition(".")[0] for name in (room, target)}
    return ROOMS.index(target) <= ROOMS.index(room) and not domains.issuperset(DOMAINS)


def _module_name(root: Path, file: Path) -> str:
    parts = [part for part in file.relative_to(root).with_suffix("").parts if part not in ("app", "tools")]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _import_errors(root: Path, modules: list[str], blocked: tuple[str, ...], folder: str = "") -> str:
    """What went wrong when a fresh interpreter imported `modules` with `blocked` packages refused; "" when nothing."""
    command = [sys.executable, "-c", IMPORT_WITHOUT_TRAINING_LIBRARIES, ",".join(blocked), *modules]
    paths = os.pathsep.join(map(str, (root, root / "app", root / "tools")))
    environment = {**os.environ, "PYTHONPATH": paths}
    result = subprocess.run(command, cwd=root / folder, env=environment, capture_output=True, text=True, check=False)
    return result.stderr.strip() if result.returncode else ""


def test_imports_point_up_the_list_of_rooms(repository_root: Path) -> None:
    assert find_violations(repository_root) == []


def test_no_modules_import_each_other_in_a_circle(repository_root: Path) -> None:
    assert find_circle(repository_root) == []


def test_planted_circle_is_found(tmp_path: Path) -> None:
    (tmp_path / "hc18" / "dicom").mkdir(parents=True)
    (tmp_path / "hc18" / "dicom" / "a.py").write_text("from hc18.dicom.b import B\n", encoding="utf-8")
    (tmp_path / "hc18" / "dicom" / "b.py").write_text("def f():\n    import hc18.dicom.a\n", encoding="utf-8")
    assert set(find_circle(tmp_path)) == {"hc18.dicom.a", "hc18.dicom.b"}


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("fetal_hc/io/records.py", "import hc18.geometry.ellipse", "fetal_hc.io imports hc18.geometry"),
        ("hc18/geometry/fits.py", "from hc18.measurement import measure", "hc18.geometry imports hc18.measurement"),
        ("hc18/geometry/fits.py", "from face_mask.data import voc", "hc18.geometry imports face_mask.data"),
        ("face_mask/data/voc.py", "from hc18.geometry.ellipse import Ellipse", "face_mask.data imports hc18.geometry"),
        ("fetal_hc/engine/a.py", "from hc18.training import config", "fetal_hc.engine imports hc18.training"),
        ("hc18/measurement/a.py", "import torch.nn", "hc18.measurement imports torch"),
        ("app/fetal_hc_app/deep/a.py", "from fetal_hc_cli import score", "fetal_hc_app imports fetal_hc_cli"),
        ("app/fetal_hc_app/a.py", "import torch", "fetal_hc_app imports torch"),
    ],
)
def test_planted_violation_is_found(tmp_path: Path, file: str, source: str, expected: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(source, encoding="utf-8")
    assert find_violations(tmp_path) == [f"{file}:1: {expected}"]


def test_allowed_imports_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "hc18" / "training").mkdir(parents=True)
    (tmp_path / "hc18" / "training" / "a.py").write_text(
        "import torch\nfrom hc18.geometry import fits\nfrom fetal_hc.engine.train import trainer\nfrom . import b\n",
        encoding="utf-8",
    )
    assert find_violations(tmp_path) == []


def _modules_of(root: Path, package: str) -> list[str]:
    folder = root / SOURCE_ROOTS.get(package, package.replace(".", "/"))
    return [_module_name(root, file) for file in sorted(folder.rglob("*.py")) if file.stem != "__main__"]


def _needs_an_extra(module: str) -> bool:
    extras = (*APP_PACKAGES, *TRAINING_PACKAGES)
    return module in SCALE_MODULES or any(f"{module}.".startswith(f"{package}.") for package in extras)


def test_packages_and_tools_of_make_score_import_with_serving_requirements_only(repository_root: Path) -> None:
    found = [_modules_of(repository_root, package) for package in SERVING_PACKAGES]
    assert all(found)
    modules = [name for names in found for name in names if not _needs_an_extra(name)]
    modules += [f"fetal_hc_cli.{name}" for name in SERVING_COMMANDS]
    assert _import_errors(repository_root, modules, (*TRAINING_ONLY, *APP_ONLY, *SCALE_ONLY)) == ""


def test_app_packages_import_without_training_libraries(repository_root: Path) -> None:
    found = [_modules_of(repository_root, package) for package in APP_PACKAGES]
    assert all(found)
    assert (
        _import_errors(repository_root, [name for names in found for name in names], TRAINING_ONLY, START_FOLDER) == ""
    )


def test_blocked_import_is_reported(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text("import torch\n", encoding="utf-8")
    assert "planted: torch is not a serving requirement" in _import_errors(tmp_path, ["planted"], TRAINING_ONLY)
