"""Whole trainings with Detectron2: files, results, resuming, processes, and what the built-in engine makes of them."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fetal_hc.engine.architecture import Architecture
from fetal_hc.engine.checkpoints import checkpoint
from fetal_hc.engine.config import load_config
from fetal_hc.engine.data.mapper import DatasetMapper
from fetal_hc.engine.train.training_job import JobOptions, start_job
from fetal_hc.errors import ConfigError, DatasetError, ModelError
from fetal_hc_cli.training import export_model, plot_training
from fetal_hc_cli.training.architectures import ARCHITECTURES, MASK_RCNN
from tests.fetal_hc.engine.toy_heads import ELLIPSES, write_config

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]
# Everything of a real recipe that a training of three steps can have.
RECIPE = (
    *("INPUT.SOFT_MASKS", "True", "INPUT.AUG.ROTATION_DEG", "20.0", "MODEL.CHANNELS_LAST", "True"),
    *(
        "SOLVER.OPTIMIZER",
        "AdamW",
        "SOLVER.AMP.ENABLED",
        "True",
        "SOLVER.AMP.DTYPE",
        "bfloat16",
        "SOLVER.CLIP_GRADIENTS.ENABLED",
        "True",
    ),
    *("SOLVER.EMA.ENABLED", "True", "SOLVER.LR_SCHEDULER_NAME", "WarmupCosineLR", "TEST.EVAL_PERIOD", "2"),
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def output_dir(tmp_path: Path) -> Path:
    return tmp_path / "output"


@pytest.fixture
def config_file(tmp_path: Path, output_dir: Path) -> Path:
    return write_config(tmp_path / "data", output_dir)


def job(
    config_file: Path,
    *overrides: str,
    engine: str = "detectron2",
    architectures: tuple[Architecture, ...] = ARCHITECTURES,
    **options: Any,
) -> int:
    return start_job(JobOptions(architectures, config_file, overrides, engine=engine, **options))


class StoppingMapper(DatasetMapper):
    """Sends the process SIGTERM while the first sample of its second batch is made."""

    def __call__(self, record: Mapping[str, Any], seed: Sequence[int] = (0,)) -> dict[str, Any]:
        if self.is_train and seed[-1] == 2:
            signal.raise_signal(signal.SIGTERM)
        return super().__call__(record, seed)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Configuration and output of one training, only to be read."""
    root = tmp_path_factory.mktemp("trained")
    config_file = write_config(root / "data", root / "output")
    assert job(config_file, *RECIPE) == 0
    return config_file, root / "output"


def test_files_are_those_of_a_builtin_training(trained: tuple[Path, Path]) -> None:
    names = {path.name for path in trained[1].iterdir() if not path.name.startswith("events.out")}
    expected = {"model_final.pth", "last_checkpoint", "metrics.json", "log.txt", "config.yaml", "run.json"}
    assert names == expected | {"results.json", "hc_heads.json", "inference", "best.json", "model_best.pth"}
    assert (trained[1] / "last_checkpoint").read_text() == "model_final.pth"


def test_record_and_log_name_the_engine(trained: tuple[Path, Path]) -> None:
    assert json.loads((trained[1] / "run.json").read_text())["engine"] == "detectron2"
    assert "engine: detectron2 (asked for)" in (trained[1] / "log.txt").read_text()


def test_saved_configuration_is_the_one_given(trained: tuple[Path, Path]) -> None:
    saved = load_config(ARCHITECTURES, trained[1] / "config.yaml")
    assert saved.to_dict() == load_config(ARCHITECTURES, trained[0], RECIPE).to_dict()


def test_metrics_are_strict_json_that_the_plot_reads(trained: tuple[Path, Path]) -> None:
    def refuse(constant: str) -> float:
        raise ValueError(constant)

    lines = (trained[1] / "metrics.json").read_text().splitlines()
    rows = [json.loads(line, parse_constant=refuse) for line in lines]
    assert {"total_loss", "loss_mask", "lr", "time", "data_time"} <= set().union(*rows)
    series = {point.series for point in plot_training.read_points(trained[1] / "metrics.json")}
    assert {"total_loss", "loss_rpn_cls", "lr", "segm/AP"} <= series


@pytest.mark.parametrize("engine", ["builtin", "detectron2"])
def test_both_engines_evaluate_the_checkpoint_alike(trained: tuple[Path, Path], tmp_path: Path, engine: str) -> None:
    config_file, output_dir = trained
    weights = ("MODEL.WEIGHTS", str(output_dir / "model_final.pth"), "OUTPUT_DIR", str(tmp_path))
    assert job(config_file, *RECIPE, *weights, engine=engine, eval_only=True) == 0
    assert json.loads((tmp_path / "results.json").read_text()) == json.loads((output_dir / "results.json").read_text())


@pytest.mark.slow
def test_checkpoint_is_exported(trained: tuple[Path, Path], tmp_path: Path) -> None:
    weights, model = str(trained[1] / "model_final.pth"), tmp_path / "model.onnx"
    command = ["--config-file", str(trained[0]), "--weights", weights, "--output", str(model)]
    assert export_model.main(command) == 0
    assert model.is_file()


def test_checkpoint_holds_the_averaged_weights_and_detectron2_s_own_state(trained: tuple[Path, Path]) -> None:
    content = checkpoint.read_checkpoint(trained[1] / "model_final.pth")
    name = "roi_heads.box_predictor.cls_score.weight"
    assert not torch.equal(content["model"][name], content["ema"]["training_weights"][name])
    assert content["ema"]["n_updates"] == 3
    assert content["iteration"] == content["trainer"]["iteration"] == 2
    assert {"_trainer", "hooks"} <= content["trainer"].keys()


def test_interrupted_training_goes_on_to_the_same_end(
    trained: tuple[Path, Path], config_file: Path, output_dir: Path
) -> None:
    stopping = (replace(MASK_RCNN, mapper=StoppingMapper),)
    assert job(config_file, *RECIPE, architectures=stopping) == 128 + signal.SIGTERM
    assert (output_dir / "last_checkpoint").read_text() == "model_0000001.pth"
    assert "Traceback" not in (output_dir / "log.txt").read_text()
    assert job(config_file, *RECIPE, engine="auto", resume=True) == 0
    straight, resumed = (checkpoint.read_checkpoint(path / "model_final.pth") for path in (trained[1], output_dir))
    for part in (straight["model"], straight["ema"]["training_weights"]):
        other = resumed["model"] if part is straight["model"] else resumed["ema"]["training_weights"]
        assert all(torch.equal(part[name], other[name]) for name in part)
    last = [json.loads((path / "metrics.json").read_text().splitlines()[-1]) for path in (trained[1], output_dir)]
    assert last[0] == last[1]


def test_finished_training_is_evaluated_when_resumed(trained: tuple[Path, Path]) -> None:
    config_file, output_dir = trained
    before = json.loads((output_dir / "results.json").read_text())
    (output_dir / "results.json").unlink()
    assert job(config_file, *RECIPE, resume=True) == 0
    assert json.loads((output_dir / "results.json").read_text()) == before


def test_builtin_engine_does_not_resume_it(trained: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match=r"--engine builtin: .* a training of the engine detectron2"):
        job(trained[0], *RECIPE, engine="builtin", resume=True)


def test_checkpoint_of_the_builtin_engine_starts_a_training(
    config_file: Path, output_dir: Path, tmp_path: Path
) -> None:
    assert job(config_file, *RECIPE, "SOLVER.MAX_ITER", "1", engine="builtin") == 0
    weights = ("MODEL.WEIGHTS", str(output_dir / "model_final.pth"), "OUTPUT_DIR", str(tmp_path / "second"))
    still = ("SOLVER.BASE_LR", "1e-12", "SOLVER.WEIGHT_DECAY", "0.0", "SOLVER.MAX_ITER", "1")
    assert job(config_file, *RECIPE, *weights, *still) == 0
    before, after = (checkpoint.read_checkpoint(path / "model_final.pth") for path in (output_dir, tmp_path / "second"))
    parameter = "roi_heads.mask_head.predictor.weight"
    torch.testing.assert_close(before["model"][parameter], after["model"][parameter], rtol=0, atol=1e-9)


def test_checkpoint_without_training_state_is_not_resumed(config_file: Path, output_dir: Path) -> None:
    output_dir.mkdir()
    checkpoint.write_checkpoint(output_dir / "model_0000001.pth", {"model": {"w": torch.ones(1)}})
    (output_dir / "run.json").write_text('{"engine": "detectron2", "seed": 1}')
    with pytest.raises(ModelError, match=r"cannot resume it, it has no \['trainer'.*give it as MODEL\.WEIGHTS"):
        job(config_file, resume=True)


def test_average_that_was_switched_off_is_noticed(trained: tuple[Path, Path]) -> None:
    with pytest.raises(ModelError, match=r"set SOLVER\.EMA\.ENABLED True as in the first run"):
        job(trained[0], *RECIPE, "SOLVER.EMA.ENABLED", "False", "SOLVER.MAX_ITER", "4", resume=True)


def test_divergence_is_one_message(config_file: Path, output_dir: Path) -> None:
    with pytest.raises(ModelError, match=r"iteration \d+: .*lower SOLVER\.BASE_LR"):
        job(config_file, "SOLVER.BASE_LR", "1e30", "SOLVER.MAX_ITER", "10")
    assert "Traceback" not in (output_dir / "log.txt").read_text()


def test_unreadable_image_is_one_message(config_file: Path, output_dir: Path) -> None:
    (config_file.parent / "003_HC.png").write_bytes(b"not an image")
    with pytest.raises(DatasetError, match=r"003_HC\.png"):
        job(config_file, "SOLVER.MAX_ITER", "4")
    assert "Traceback" not in (output_dir / "log.txt").read_text()


def test_images_without_objects_train_too(config_file: Path, output_dir: Path) -> None:
    path = config_file.parent / "heads.json"
    content = json.loads(path.read_text())
    content["annotations"] = content["annotations"][:1]
    path.write_text(json.dumps(content))
    overrides = ("DATALOADER.FILTER_EMPTY_ANNOTATIONS", "False", "TEST.EVALUATORS", "('coco',)", "SOLVER.MAX_ITER", "4")
    assert job(config_file, *overrides) == 0


def test_dataset_without_objects_is_refused_in_our_words(config_file: Path) -> None:
    path = config_file.parent / "heads.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "annotations": []}))
    with pytest.raises(DatasetError, match="no image with annotated objects to train on"):
        job(config_file, "TEST.EVALUATORS", "('coco',)")


def test_without_test_dataset_nothing_is_evaluated(config_file: Path, output_dir: Path) -> None:
    assert job(config_file, "DATASETS.TEST", "()", "SOLVER.MAX_ITER", "1") == 0
    assert json.loads((output_dir / "results.json").read_text()) == {}


def test_two_test_datasets_are_reported_apart(config_file: Path, output_dir: Path) -> None:
    (config_file.parent / "again.json").write_text((config_file.parent / "heads.json").read_text())
    names = ("DATASETS.TEST", "('heads', 'again')", "TEST.BEST_METRIC", "heads/segm/AP", "SOLVER.MAX_ITER", "1")
    assert job(config_file, *names) == 0
    assert set(json.loads((output_dir / "results.json").read_text())) == {"heads", "again"}


def test_missed_expectation_gives_1(trained: tuple[Path, Path], tmp_path: Path) -> None:
    overrides = ("MODEL.WEIGHTS", str(trained[1] / "model_final.pth"), "OUTPUT_DIR", str(tmp_path))
    expected = ("TEST.EXPECTED_RESULTS", "[['hc','n_failed',-5,1]]")
    assert job(trained[0], *RECIPE, *overrides, *expected, eval_only=True) == 1


def test_own_logging_of_detectron2_is_left_as_it_was(trained: tuple[Path, Path]) -> None:
    assert not logging.getLogger("detectron2").handlers


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["--num-gpus", "torchrun"])
def test_two_processes_train_on_a_cpu(
    config_file: Path, output_dir: Path, repository_root: Path, launcher: str
) -> None:
    tool = [str(repository_root / "tools" / "train_net.py"), "--config-file", str(config_file)]
    tool += ["--engine", "detectron2"]
    if launcher == "torchrun":
        command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *tool, *RECIPE]
    else:
        command = [*tool, "--num-gpus", "2", *RECIPE]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, *command], check=True, env=environment, capture_output=True, timeout=300)
    assert json.loads((output_dir / "run.json").read_text())["n_processes"] == 2
    assert len(checkpoint.read_checkpoint(output_dir / "model_final.pth")["random_state"]) == 2
    hc = json.loads((output_dir / "results.json").read_text())["hc"]
    assert hc["n_scored"] + hc["n_failed"] == len(ELLIPSES)


@pytest.mark.slow
def test_error_of_a_started_process_is_one_message(config_file: Path, repository_root: Path) -> None:
    tool = [str(repository_root / "tools" / "train_net.py"), "--config-file", str(config_file)]
    command = [*tool, "--engine", "detectron2", "--num-gpus", "2", "SOLVER.IMS_PER_BATCH", "3"]
    done = subprocess.run([sys.executable, *command], check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "error: SOLVER.IMS_PER_BATCH 3 does not divide among 2 processes" in done.stderr
