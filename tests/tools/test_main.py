"""The installed commands and their shims in `tools/`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fetal_hc_cli.main import FACE_MASK, FETAL_HC, Command, face_mask_main, main

MODULES = {command.module.rpartition(".")[2] for command in (*FETAL_HC, *FACE_MASK)}

WITHOUT_LIBRARY = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == LIBRARY:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

LIBRARY = sys.argv.pop(1)
sys.meta_path.insert(0, Refuse())
from fetal_hc_cli.main import main
sys.exit(main())
"""


def run_python(root: Path, *arguments: str | Path, path: str | Path = "") -> subprocess.CompletedProcess[str]:
    paths = [str(folder) for folder in (path, root, root / "app", root / "tools") if str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("call", "commands"), [(main, FETAL_HC), (face_mask_main, FACE_MASK)])
def test_help_lists_every_command_on_one_line(
    call: object, commands: tuple[Command, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(call)
    assert call(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for command in commands:
        assert [line for line in lines if line.startswith(f"  {command.name} ") and line.endswith(command.summary)]


def test_help_loads_no_library(repository_root: Path) -> None:
    code = "import sys; from fetal_hc_cli.main import main; main(['--help']); print(sorted(sys.modules))"
    result = run_python(repository_root, "-c", code)
    assert result.returncode == 0
    loaded = result.stdout.splitlines()[-1]
    assert not [name for name in ("numpy", "torch", "cv2", "pandas", "streamlit") if f"'{name}'" in loaded]


@pytest.mark.parametrize(("argv", "finding"), [([], "no command was given"), (["scroe"], "'scroe' is not a command")])
def test_unknown_command_is_bad_input(argv: list[str], finding: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    message = capsys.readouterr().err
    assert finding in message
    assert "score" in message


def test_arguments_and_exit_code_pass_through(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--root", "no_such_folder"]) == 2
    assert "no_such_folder: is not a folder" in capsys.readouterr().err


@pytest.mark.parametrize("command", [*FETAL_HC, *FACE_MASK], ids=lambda command: command.name)
def test_every_command_can_be_called(
    command: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["fetal-hc"])
    program, call = ("fetal-hc", main) if command in FETAL_HC else ("face-mask", face_mask_main)
    with pytest.raises(SystemExit) as caught:
        call([command.name, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: {program} {command.name} ")


@pytest.mark.parametrize(("name", "library", "extra"), [("train", "torch", "train"), ("app", "streamlit", "app")])
def test_missing_extra_is_one_sentence(repository_root: Path, name: str, library: str, extra: str) -> None:
    result = run_python(repository_root, "-c", WITHOUT_LIBRARY, library, name, "--help")
    assert result.returncode == 2
    assert result.stderr == (
        f"error: fetal-hc {name} needs the library {library}, which is not installed; install it with "
        f"pip install 'fetal-hc[{extra}]'\n"
    )


def test_every_shim_has_its_command(repository_root: Path) -> None:
    shims = {path.stem for path in (repository_root / "tools").glob("*.py")}
    assert shims - {"calibrate_trust"} <= MODULES  # that is `recalibrate` under its earlier name


def test_shim_works_beside_another_package_called_tools(repository_root: Path, tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "__init__.py").write_text("raise ImportError('the other package')\n", encoding="utf-8")
    result = run_python(repository_root, repository_root / "tools" / "score.py", "--help", path=tmp_path)
    assert result.stderr == ""
    assert result.stdout.startswith("usage: score.py ")
