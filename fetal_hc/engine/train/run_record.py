"""run.json: what a training or evaluation was made from."""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fetal_hc.errors import ConfigError
from fetal_hc.io.atomic import write_text_atomic

RUN_NAME = "run.json"
PACKAGES = (
    "fetal-hc",
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "pillow",
    "pycocotools",
    "onnx",
    "onnxruntime",
    "detectron2",
)


def build_run_record(
    engine: str, seed: int, device: str, n_processes: int, dataset_files: Sequence[Path]
) -> dict[str, Any]:
    """Engine, seed, command, time, git commit, package versions and the SHA-256 of each dataset file.

    Raises:
        ConfigError: listing every dataset file that is missing.
    """
    missing = [path for path in dataset_files if not path.is_file()]
    if missing:
        listed = ", ".join(str(path) for path in missing)
        raise ConfigError(f"{listed}: no such dataset file; convert the data first, or set DATASETS.ROOT to its folder")
    return {
        "engine": engine,
        "seed": seed,
        "device": device,
        "n_processes": n_processes,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "git": git_state(Path(__file__).resolve().parent),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "datasets": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in dataset_files},
    }


def write_run_record(output_dir: Path, record: dict[str, Any], *, resumed: bool) -> None:
    """Writes run.json; a resumed run is appended to the "resumed" list of the first record."""
    path = output_dir / RUN_NAME
    if resumed and path.is_file():
        first = json.loads(path.read_text(encoding="utf-8"))
        first.setdefault("resumed", []).append(record)
        record = first
    write_text_atomic(path, json.dumps(record, indent=2) + "\n")


def read_seed(output_dir: Path) -> int | None:
    """The seed of the run in `output_dir`, None when there is no record."""
    path = output_dir / RUN_NAME
    return int(json.loads(path.read_text(encoding="utf-8"))["seed"]) if path.is_file() else None


def read_engine(output_dir: Path) -> str:
    """The engine that began the run in `output_dir`; without a record, the built-in one."""
    path = output_dir / RUN_NAME
    return str(json.loads(path.read_text(encoding="utf-8")).get("engine", "builtin")) if path.is_file() else "builtin"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def git_state(root: Path) -> dict[str, Any] | None:
    """Commit of the checkout that holds a folder, and whether tracked files differ from it; None outside of one."""
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return {"commit": commit, "has_local_changes": bool(_git(root, "status", "--porcelain", "-uno"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    result = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    return result.stdout.strip()
