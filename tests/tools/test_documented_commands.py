"""Every command that a page names exists and takes the options that the page gives it."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from fetal_hc_cli.main import FACE_MASK, FETAL_HC

COMMAND = re.compile(
    r"(?:python3? -m (?P<module>(?:experiments|benchmarks|tests)\.[\w.]+)|(?<![\w/])tools/(?P<tool>\w+)\.py|"
    r"(?<![\w/.-])(?P<program>fetal-hc|face-mask) (?P<name>[a-z][a-z-]+))(?P<rest>(?:\\\n|[^`\n|])*)"
)
CODE = re.compile(r"^```.*?^```|(?<!`)`[^`]+`", re.DOTALL | re.MULTILINE)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
PROGRAMS = {"fetal-hc": FETAL_HC, "face-mask": FACE_MASK}


def pages(root: Path) -> list[Path]:
    folders = (root / name for name in ("docs", "hc18", "face_mask", "configs"))
    return [
        root / "README.md",
        root / "CONTRIBUTING.md",
        *(page for folder in folders for page in folder.rglob("*.md")),
    ]


def documented(root: Path) -> Iterator[tuple[str, str, str]]:
    """Page, module of the command, and what follows its name."""
    modules = {command.module.rpartition(".")[2]: command.module for command in (*FETAL_HC, *FACE_MASK)}
    for page in pages(root):
        name, code = page.relative_to(root).as_posix(), "\n".join(CODE.findall(page.read_text(encoding="utf-8")))
        for found in COMMAND.finditer(code):
            if found["module"]:
                yield name, found["module"], found["rest"]
            elif found["tool"]:
                yield name, f"fetal_hc_cli.{modules.get(found['tool'], found['tool'])}", found["rest"]
            else:
                commands = {command.name: command.module for command in PROGRAMS[found["program"]]}
                yield name, f"fetal_hc_cli.{commands.get(found['name'], found['name'])}", found["rest"]


@cache
def usage(module: str) -> str | None:
    try:
        return str(importlib.import_module(module).build_parser().format_help())
    except (ImportError, AttributeError):
        return None


def test_documented_commands_exist_and_have_their_options(repository_root: Path) -> None:
    commands = list(documented(repository_root))
    assert len(commands) > 100
    wrong = []
    for page, module, rest in commands:
        text = usage(module)
        options = [] if text is None else [name for name in OPTION.findall(rest.split("&&")[0]) if name not in text]
        if text is None or options:
            wrong.append(f"{page}: {module} {' '.join(options) or 'has no command line'}")
    assert "\n".join(wrong) == ""
