"""Which engine trains what, and what is said when it cannot: runs without Detectron2."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.train.backend import INSTALL_GUIDE, choose_engine, find_import_problem
from fetal_hc.engine.train.training_job import JobOptions, start_job
from fetal_hc.errors import ConfigError
from fetal_hc_cli.training.architectures import ARCHITECTURES, MASK_RCNN
from tests.architectures import architecture_of
from tests.fetal_hc.engine.toy_heads import write_config

MakeConfig = Callable[..., CfgNode]
ABSENT = "detectron2 is not installed"


def absent() -> str:
    return ABSENT


def present() -> str:
    return ""


def test_auto_takes_detectron2_where_it_imports(make_config: MakeConfig) -> None:
    choice = choose_engine("auto", make_config(), MASK_RCNN, find_import_problem=present)
    assert (choice.name, choice.reason) == ("detectron2", "it is installed")


def test_auto_takes_the_builtin_engine_otherwise_and_says_why(make_config: MakeConfig) -> None:
    choice = choose_engine("auto", make_config(), MASK_RCNN, find_import_problem=absent)
    assert choice.name == "builtin"
    assert ABSENT in choice.reason


def test_builtin_is_taken_when_asked_for(make_config: MakeConfig) -> None:
    assert choose_engine("builtin", make_config(), MASK_RCNN, find_import_problem=present).name == "builtin"


@pytest.mark.skipif(find_import_problem() != ABSENT, reason="detectron2 is installed")
def test_absent_detectron2_is_one_message_with_its_installation_guide(tmp_path: Path) -> None:
    config_file = write_config(tmp_path / "data", tmp_path / "output")
    with pytest.raises(ConfigError, match=f"{ABSENT}.*{INSTALL_GUIDE}.*--engine builtin") as caught:
        start_job(JobOptions(ARCHITECTURES, config_file, engine="detectron2"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "output").exists()


def test_model_of_the_builtin_engine_alone_is_trained_by_it(make_config: MakeConfig) -> None:
    cfg = make_config("MODEL.META_ARCHITECTURE", "ImageClassifier")
    choice = choose_engine("auto", cfg, architecture_of(cfg), find_import_problem=present)
    assert choice.name == "builtin"
    assert "MODEL.META_ARCHITECTURE ImageClassifier" in choice.reason
    with pytest.raises(
        ConfigError, match=r"MODEL\.META_ARCHITECTURE ImageClassifier is a model of the built-in engine"
    ):
        choose_engine("detectron2", cfg, architecture_of(cfg), find_import_problem=present)


def test_key_of_the_builtin_engine_alone_is_named_with_the_engine(make_config: MakeConfig) -> None:
    cfg = make_config("SOLVER.PLATEAU.PATIENCE", "3", "TEST.ENSEMBLE", "['a', 'b']")
    assert choose_engine("auto", cfg, MASK_RCNN, find_import_problem=present).name == "builtin"
    with pytest.raises(
        ConfigError, match=r"engine detectron2 .*PLATEAU\.PATIENCE 3 is a key of the built-in engine .*ENS"
    ):
        choose_engine("detectron2", cfg, MASK_RCNN, find_import_problem=present)


def test_key_of_detectron2_alone_is_named_with_the_engine(make_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match=r"MODEL\.KEYPOINT_ON: True .*Detectron2.*built-in engine"):
        make_config("MODEL.KEYPOINT_ON", "True")


def test_unknown_engine_is_refused(make_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match="--engine tensorflow: unknown; expected one of auto, builtin, detectron2"):
        choose_engine("tensorflow", make_config(), MASK_RCNN)


@pytest.mark.parametrize("earlier", ["builtin", "detectron2"])
def test_auto_resumes_with_the_engine_that_began(make_config: MakeConfig, earlier: str) -> None:
    choice = choose_engine("auto", make_config(), MASK_RCNN, earlier, find_import_problem=present)
    assert (choice.name, choice.reason) == (earlier, "it began this training")


@pytest.mark.parametrize(("earlier", "asked"), [("builtin", "detectron2"), ("detectron2", "builtin")])
def test_other_engine_does_not_resume(make_config: MakeConfig, earlier: str, asked: str) -> None:
    with pytest.raises(ConfigError, match=rf"--engine {asked}: .* a training of the engine {earlier}.*MODEL\.WEIGHTS"):
        choose_engine(asked, make_config(), MASK_RCNN, earlier, find_import_problem=present)


def test_training_of_detectron2_is_not_resumed_without_it(make_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match=ABSENT):
        choose_engine("auto", make_config(), MASK_RCNN, "detectron2", find_import_problem=absent)


def test_package_that_breaks_on_import_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "detectron2").mkdir()
    (tmp_path / "detectron2" / "__init__.py").write_text("")
    (tmp_path / "detectron2" / "modeling.py").write_text("raise ImportError('undefined symbol')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "detectron2"]:
        monkeypatch.delitem(sys.modules, name)
    assert find_import_problem() == "detectron2 is installed but cannot be imported (ImportError: undefined symbol)"
    monkeypatch.delitem(sys.modules, "detectron2")


def test_importing_the_engine_does_not_import_detectron2(repository_root: Path) -> None:
    modules = "fetal_hc.engine.train.training_job, fetal_hc.engine.d2_backend"
    code = f"import sys, {modules}; sys.exit('detectron2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=repository_root, check=False).returncode == 0


def test_one_package_alone_imports_detectron2(repository_root: Path) -> None:
    folders = ("fetal_hc", "hc18", "face_mask", "app", "tools")
    paths = [path for folder in folders for path in (repository_root / folder).rglob("*.py")]
    importing = {
        path.relative_to(repository_root).parent.as_posix()
        for path in paths
        if re.search(r"^\s*(from|import) detectron2\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert importing == {"fetal_hc/engine/d2_backend"}


def test_no_file_imports_the_name_tools(repository_root: Path) -> None:
    """Detectron2's wheel installs a package of that name, which would be found instead of the folder."""
    folders = ("fetal_hc", "hc18", "face_mask", "app", "tools", "benchmarks", "experiments", "tests")
    paths = [path for folder in folders for path in (repository_root / folder).rglob("*.py")]
    pattern = re.compile(r"^\s*(from|import) tools\b", re.MULTILINE)
    assert [str(path) for path in paths if pattern.search(path.read_text(encoding="utf-8"))] == []
