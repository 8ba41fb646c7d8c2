"""Count what keeps the sources easy to take over, and compare each figure with its bound.

    python -m experiments.house_figures --ci-seconds 540

Everything is counted from the syntax trees of the sources (no tests), as each line says. Exit code: 0 all bounds are
kept; 1 one is not.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fetal_hc_cli import new_parser

ROOT = Path(__file__).resolve().parents[1]
SOURCE_FOLDERS = ("fetal_hc", "hc18", "face_mask", "app", "tools", "benchmarks", "experiments")
SMALL_FILE_LINES = 50
MEASURING_ROOMS = ("hc18/measurement", "fetal_hc/batch")  # the way of a measurement from the image to the CSV
SHIM = re.compile(r"tools/\w+\.py")  # the command line of a checkout; each calls one function of fetal_hc_cli
TRAINING_JOB = "fetal_hc/engine/train"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, its bound, and how it was counted; `value` is None if it was not measured."""

    name: str
    value: float | None
    bound: float
    how: str

    @property
    def is_kept(self) -> bool:
        """Whether the figure is known and within its bound."""
        return self.value is not None and self.value <= self.bound


class Sources:
    """The source files of the project with their syntax trees."""

    def __init__(self, root: Path) -> None:
        self.root = root
        files = sorted(path for folder in SOURCE_FOLDERS for path in (root / folder).rglob("*.py"))
        self.texts = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in files}
        self.trees = {name: ast.parse(text) for name, text in self.texts.items()}

    def modules(self) -> list[str]:
        """Files other than package faces and the shims in tools/."""
        return [name for name in self.trees if not name.endswith("__init__.py") and not SHIM.fullmatch(name)]

    def naming(self, word: str) -> list[str]:
        """Files that use a word as an identifier or as a whole string, docstrings and comments aside."""
        return [name for name, tree in self.trees.items() if word in set(_words(tree))]


def _words(tree: ast.AST) -> Iterator[str]:
    """Every identifier and every string of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.keyword | ast.arg) and node.arg:
            yield node.arg
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def flat_folder(sources: Sources) -> Figure:
    """The folder with the most files."""
    counts = Counter(name.rpartition("/")[0] for name in sources.modules())
    (folder, count), *_ = counts.most_common(1)
    return Figure(
        "largest flat folder", count, 20, f"{folder}; files of one folder, without __init__.py and the shims in tools/"
    )


def small_files(sources: Sources) -> Figure:
    """Files below 50 lines."""
    small = [name for name in sources.modules() if len(sources.texts[name].splitlines()) < SMALL_FILE_LINES]
    how = f"without __init__.py and the shims in tools/: {', '.join(small)}"
    return Figure(f"files below {SMALL_FILE_LINES} lines", len(small), 15, how)


def architecture_files(sources: Sources) -> Figure:
    """Files in which the most widely known architecture is named."""
    names: set[str] = set()
    for tree in sources.trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Architecture":
                values = [node.args[0] if node.args else None, *(k.value for k in node.keywords if k.arg == "name")]
                names |= {str(value.value) for value in values if isinstance(value, ast.Constant)}
    places = {
        name: [file for file, tree in sources.trees.items() if name in _strings(tree)]
        for name in sorted(map(str, names))
    }
    name, files = max(places.items(), key=lambda item: len(item[1]), default=("", []))
    how = f"{name} of {len(places)} architectures: {', '.join(files)}; files with the name as a string"
    return Figure("an architecture is named in", len(files), 1, how)


def _strings(tree: ast.AST) -> set[str]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def quality_files(sources: Sources) -> Figure:
    """Files that name a quality figure which nothing but the results needs: what one more costs."""
    fields = [
        item.target.id
        for tree in sources.trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name == "Quality"
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    ]
    places = {field: sources.naming(field) for field in fields}
    field, files = min(places.items(), key=lambda item: len(item[1]), default=("no class Quality", []))
    most = max((len(found) for found in places.values()), default=0)
    how = (
        f"{field}: {', '.join(files)}; the field of class Quality named in the fewest files, because another use, such "
        f"as the interval model's, is not part of a new figure's cost (most: {most})"
    )
    return Figure("files of a new quality figure", len(files) if places else None, 2, how)


def measurement_forms(sources: Sources) -> Figure:
    """Classes that carry a measured circumference to the CSV, and the functions that turn one into another."""
    found = []
    for name, tree in sources.trees.items():
        if not name.startswith(MEASURING_ROOMS):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and _carries_hc(node):
                found.append(node.name)
            elif isinstance(node, ast.FunctionDef) and re.match(
                r"_?(to|from)_.*(row|fields|record|result|json)", node.name
            ):
                found.append(f"{node.name}()")
    how = f"{', '.join(found)}; classes with a field or property hc_mm and their codecs in {', '.join(MEASURING_ROOMS)}"
    return Figure("forms of a measurement", len(found), 8, how)


def _carries_hc(node: ast.ClassDef) -> bool:
    """Whether a class has the circumference, or a measurement, as a field or property."""
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            if item.target.id == "hc_mm" or "Measurement" in ast.unparse(item.annotation):
                return True
        elif isinstance(item, ast.FunctionDef) and item.name == "hc_mm":
            return True
    return False


def climbs(sources: Sources) -> Figure:
    """Imports against the order of the rooms."""
    path = sources.root / "tests" / "test_import_layers.py"
    spec = importlib.util.spec_from_file_location("layers", path)
    assert spec is not None
    assert spec.loader is not None
    layers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(layers)
    found = layers.find_violations(sources.root)
    how = f"imports against the order of {path.name}" + (f": {'; '.join(found[:3])} ..." if found else "")
    return Figure("climbs to a higher room", len(found), 0, how)


def yaml_readings(sources: Sources) -> Figure:
    """Places of a training job that read its YAML file."""
    places = [
        f"{name}:{node.lineno}"
        for name, tree in sources.trees.items()
        if name.startswith(TRAINING_JOB)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("load_config", "safe_load")
    ]
    return Figure("YAML parsed per job", len(places), 1, f"calls of load_config in {TRAINING_JOB}: {', '.join(places)}")


def readme_words(sources: Sources) -> Figure:
    """Words of the README."""
    words = (sources.root / "README.md").read_text(encoding="utf-8").split()
    return Figure("words of the README", len(words), 900, "everything between spaces, code and tables too")


def count_all(root: Path, ci_seconds: float | None) -> list[Figure]:
    """Every figure of the project in `root`."""
    sources = Sources(root)
    counters = (
        flat_folder, small_files, architecture_files, quality_files, measurement_forms, climbs, yaml_readings,
        readme_words,
    )  # fmt: skip
    figures = [counter(sources) for counter in counters]
    minutes = None if ci_seconds is None else round(ci_seconds / 60, 1)
    return [
        *figures,
        Figure("minutes of a cold .ci/run", minutes, 10, "from --ci-seconds, what .ci/run prints at its end"),
    ]


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--ci-seconds", type=float, metavar="N", help="what a cold .ci/run took")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    figures = count_all(ROOT, options.ci_seconds)
    for figure in figures:
        value = "not measured" if figure.value is None else f"{figure.value:g}"
        state = "kept" if figure.is_kept else "unknown" if figure.value is None else "MISSED"
        print(f"{figure.name:<30} {value:>12}  bound {figure.bound:<4g} {state}\n    {figure.how}")
    return 0 if all(figure.is_kept or figure.value is None for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
