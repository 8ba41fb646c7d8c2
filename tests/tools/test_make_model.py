"""tools/make_model.py: the whole chain from a folder of images to a calibrated bundle, step by step."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

import pytest

from fetal_hc.engine.config import load_config
from fetal_hc_cli.main import FETAL_HC
from fetal_hc_cli.training.architectures import ARCHITECTURES
from fetal_hc_cli.training.make_model import main
from fetal_hc_cli.training.model_recipe import Recipe
from hc18.measurement.head_model import load_model

RECIPE = Recipe(Path("/hc18"), Path("/model"), {"no_head_faces": Path("/faces"), "no_head_crowds": Path("/crowds")})
# By the name of the tool.
MODULES = {command.module.rpartition(".")[2]: f"fetal_hc_cli.{command.module}" for command in FETAL_HC}
MODULES["calibrate_trust"] = MODULES["recalibrate"]
CHAIN_VARIABLE = "FETAL_HC_TEST_MODEL_CHAIN"
ELSEWHERE = Recipe(Path("/hc18"), Path("/model"), external=Path("/external"), others=(Path("/breast"), Path("/hips")))
SMOKE = Recipe(Path("/model/phantoms"), Path("/model"), n_folds=2, is_smoke=True)


@pytest.mark.parametrize("recipe", [RECIPE, ELSEWHERE, SMOKE])
def test_every_file_that_a_step_reads_was_made_by_an_earlier_one(recipe: Recipe) -> None:
    made: set[Path] = set()
    unknown = []
    for step in recipe.steps:
        words = " ".join(step.arguments).replace("['", " ").replace("']", " ").split()
        read = {Path(word) for word in words if word.startswith("/model/") and Path(word).suffix}
        folders = {path.parent for path in made}
        # A step writes its output and files next to it; a cross-validation writes the folders of its folds.
        own = {step.output, *(path for path in read if path.name.startswith(step.name))}
        inside = {path for path in read if any(folder != recipe.work and folder in path.parents for folder in folders)}
        unknown += [f"{step.name}: {path}" for path in sorted(read - made - own - inside)]
        made.add(step.output)
    assert unknown == []


@pytest.mark.parametrize("recipe", [RECIPE, ELSEWHERE, SMOKE])
def test_every_tool_accepts_its_arguments_and_configuration_keys(recipe: Recipe, repository_root: Path) -> None:
    for step in recipe.steps:
        if not step.tool:
            continue
        options = import_module(MODULES[step.tool]).build_parser().parse_args(step.arguments)
        overrides = getattr(options, "overrides", None) or getattr(options, "opts", None) or []
        if hasattr(options, "config_file"):
            load_config(ARCHITECTURES, repository_root / options.config_file, overrides)


def test_steps_and_outputs_are_unique() -> None:
    steps = RECIPE.steps
    assert len({step.name for step in steps}) == len({step.output for step in steps}) == len(steps)


def test_photographs_are_left_out_where_there_are_none() -> None:
    plain = Recipe(RECIPE.root, RECIPE.work)
    assert any("no_head_faces" in word for step in RECIPE.steps for word in step.arguments)
    assert not any("no_head_faces" in word for step in plain.steps for word in step.arguments)


def test_images_from_elsewhere_give_the_checks_and_the_last_calibration() -> None:
    tools = [step.tool for step in ELSEWHERE.steps]
    assert tools.index("measure_unseen") < tools.index("calibrate_checks") < len(tools) - 1
    assert [step.output for step in ELSEWHERE.steps if step.tool == "calibrate"][-1] == Path("/model/hc18.zip")
    assert "measure_unseen" not in [step.tool for step in RECIPE.steps]


def test_dry_run_prints_every_command_and_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "hc18").mkdir()
    assert main(["--hc18", str(tmp_path / "hc18"), "--work", str(tmp_path / "work"), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("python tools/train_net.py") == 6
    assert shown.count("python tools/cross_validate.py") == 2
    assert "--model-version 1.0.0" in shown
    assert not (tmp_path / "work").exists()


def test_finished_steps_are_skipped_and_a_failing_one_ends_the_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hc18").mkdir()
    done = tmp_path / "work" / "data_reference" / "hc18_val.json"
    done.parent.mkdir(parents=True)
    done.write_text("{}")
    (done.parent / "no_head.json").write_text("{}")
    assert main(["--hc18", str(tmp_path / "hc18"), "--work", str(tmp_path / "work")]) == 2
    shown = capfd.readouterr()
    assert "reference-convert: done before" in shown.out
    assert "step 'final-convert' ended with exit code 2; run the same command to go on" in shown.err
    assert "reference1" not in shown.out


def test_folder_of_another_recipe_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "hc18").mkdir()
    options = ["--hc18", str(tmp_path / "hc18"), "--work", str(tmp_path / "work")]
    assert main(options) == 2  # the folder is empty
    capfd.readouterr()
    assert main([*options, "--model-version", "2.0.0"]) == 2
    assert "recipe.json: was begun with other options" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "either --hc18 DIR or --smoke"),
        (["--smoke", "--hc18", "x"], "either --hc18 DIR or --smoke"),
        (["--hc18", "nowhere"], "nowhere: is not a folder"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*options, "--work", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(CHAIN_VARIABLE not in os.environ, reason=f"takes minutes; set {CHAIN_VARIABLE}=1 to run it")
def test_chain_runs_on_phantoms(tmp_path: Path) -> None:
    assert main(["--smoke", "--work", str(tmp_path), "--model-version", "0.0.1"]) == 0
    model = load_model(tmp_path / "hc18.zip")
    assert (model.name, model.version) == ("hc18", "0.0.1")
    assert model.refiner is not None
    assert model.intervals is not None
    assert model.intervals.n_images == 120
