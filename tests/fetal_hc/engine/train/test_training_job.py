"""Whole jobs on a tiny dataset: what they write, refuse and return."""

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
import yaml
from pycocotools.coco import COCO

from fetal_hc.engine.checkpoints import checkpoint
from fetal_hc.engine.config import load_config
from fetal_hc.engine.train.events import read_metrics
from fetal_hc.engine.train.training_job import JobOptions, configure_torch, start_job
from fetal_hc.errors import ConfigError, FetalHCError, ModelError
from fetal_hc_cli.training.architectures import ARCHITECTURES
from tests.fetal_hc.engine.toy_heads import write_config


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def output_dir(tmp_path: Path) -> Path:
    return tmp_path / "output"


@pytest.fixture
def config_file(tmp_path: Path, output_dir: Path) -> Path:
    return write_config(tmp_path / "data", output_dir)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Configuration and output of one training, only to be read."""
    root = tmp_path_factory.mktemp("trained")
    config_file = write_config(root / "data", root / "output")
    assert start_job(JobOptions(ARCHITECTURES, config_file, ("TEST.EVAL_PERIOD", "2"))) == 0
    return config_file, root / "output"


def test_training_writes_all_its_files(trained: tuple[Path, Path]) -> None:
    names = {path.name for path in trained[1].iterdir() if not path.name.startswith("events.out")}
    expected = {"model_final.pth", "last_checkpoint", "metrics.json", "log.txt", "config.yaml", "run.json"}
    assert names - {"best.json", "model_best.pth"} == expected | {"results.json", "hc_heads.json", "inference"}


def test_detections_are_written_in_the_format_of_coco(trained: tuple[Path, Path]) -> None:
    truth = COCO(str(trained[0].parent / "heads.json"))
    found = truth.loadRes(str(trained[1] / "inference" / "coco_instances_results.json"))
    assert set(found.getImgIds()) == set(truth.getImgIds())
    assert all({"bbox", "score", "segmentation"} <= item.keys() for item in found.anns.values())


def test_metrics_of_the_box_head_are_those_of_detectron2(trained: tuple[Path, Path]) -> None:
    (row,) = [row for row in read_metrics(trained[1] / "metrics.json") if "total_loss" in row]
    assert 0.0 < row["fast_rcnn/cls_accuracy"] <= 1.0
    assert {"fast_rcnn/fg_cls_accuracy", "fast_rcnn/false_negative"} <= row.keys()


def test_results_hold_every_task(trained: tuple[Path, Path]) -> None:
    results = json.loads((trained[1] / "results.json").read_text())
    assert set(results) == {"bbox", "segm", "hc"}
    assert results["hc"]["n_scored"] + results["hc"]["n_failed"] == 6
    assert "ADF_all" in (trained[1] / "log.txt").read_text()


def test_run_record_tells_what_the_run_was_made_from(trained: tuple[Path, Path]) -> None:
    record = json.loads((trained[1] / "run.json").read_text())
    assert (record["seed"], record["device"], record["n_processes"]) == (3, "cpu", 1)
    assert len(record["datasets"]["heads.json"]) == 64
    assert record["packages"]["torch"] == version("torch")
    assert {"command", "started", "git", "python"} <= record.keys()


def test_saved_config_is_complete_and_loads_again(trained: tuple[Path, Path]) -> None:
    saved = load_config(ARCHITECTURES, trained[1] / "config.yaml")
    assert saved.TEST.EVAL_PERIOD == 2
    assert saved.SEED == 3


def test_evaluation_alone_repeats_the_results(trained: tuple[Path, Path], tmp_path: Path) -> None:
    config_file, output_dir = trained
    weights = ("MODEL.WEIGHTS", str(output_dir / "model_final.pth"), "OUTPUT_DIR", str(tmp_path))
    assert start_job(JobOptions(ARCHITECTURES, config_file, weights, eval_only=True)) == 0
    assert json.loads((tmp_path / "results.json").read_text()) == json.loads((output_dir / "results.json").read_text())
    assert not (tmp_path / "last_checkpoint").exists()


def test_missed_expectation_gives_1(trained: tuple[Path, Path], tmp_path: Path) -> None:
    config_file, output_dir = trained
    overrides = ("MODEL.WEIGHTS", str(output_dir / "model_final.pth"), "OUTPUT_DIR", str(tmp_path))
    expected = ("TEST.EXPECTED_RESULTS", "[['hc','n_failed',-5,1]]")
    assert start_job(JobOptions(ARCHITECTURES, config_file, overrides + expected, eval_only=True)) == 1
    assert "expected result missed: hc/n_failed" in (tmp_path / "log.txt").read_text()


def test_earlier_training_is_not_overwritten_unless_asked(config_file: Path, output_dir: Path) -> None:
    output_dir.mkdir()
    checkpoint.write_checkpoint(output_dir / "model_0000001.pth", {"model": {"w": torch.ones(1)}})
    with pytest.raises(ConfigError, match="already holds a training; add --resume to continue it, --overwrite"):
        start_job(JobOptions(ARCHITECTURES, config_file))
    assert start_job(JobOptions(ARCHITECTURES, config_file, overwrite=True)) == 0
    assert not (output_dir / "model_0000001.pth").exists()


def test_interrupted_job_goes_on_to_the_same_end(
    trained: tuple[Path, Path], config_file: Path, output_dir: Path
) -> None:
    first = JobOptions(
        ARCHITECTURES,
        config_file,
        ("TEST.EVAL_PERIOD", "1"),
        resume=True,
        on_evaluation=lambda _results: signal.raise_signal(signal.SIGTERM),
    )
    assert start_job(first) == 128 + signal.SIGTERM
    assert (output_dir / "last_checkpoint").read_text() == "model_0000001.pth"
    assert start_job(JobOptions(ARCHITECTURES, config_file, resume=True)) == 0
    straight = checkpoint.read_checkpoint(trained[1] / "model_final.pth")["model"]
    resumed = checkpoint.read_checkpoint(output_dir / "model_final.pth")["model"]
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    assert len(json.loads((output_dir / "run.json").read_text())["resumed"]) == 1


def test_finished_training_is_evaluated_when_resumed(trained: tuple[Path, Path]) -> None:
    config_file, output_dir = trained
    before = json.loads((output_dir / "results.json").read_text())
    (output_dir / "results.json").unlink()
    assert start_job(JobOptions(ARCHITECTURES, config_file, resume=True)) == 0
    assert json.loads((output_dir / "results.json").read_text()) == before


def test_random_seed_is_drawn_recorded_and_kept_on_resume(config_file: Path, output_dir: Path) -> None:
    overrides = ("SEED", "-1", "SOLVER.MAX_ITER", "1", "DATASETS.TEST", "[]")
    assert start_job(JobOptions(ARCHITECTURES, config_file, overrides)) == 0
    seed = json.loads((output_dir / "run.json").read_text())["seed"]
    assert seed == load_config(ARCHITECTURES, output_dir / "config.yaml").SEED
    overrides = ("SEED", "-1", "SOLVER.MAX_ITER", "2", "DATASETS.TEST", "[]")
    assert start_job(JobOptions(ARCHITECTURES, config_file, overrides, resume=True)) == 0
    assert seed == load_config(ARCHITECTURES, output_dir / "config.yaml").SEED


def test_initial_weights_are_loaded(trained: tuple[Path, Path], tmp_path: Path) -> None:
    config_file, output_dir = trained
    overrides = (
        "MODEL.WEIGHTS",
        str(output_dir / "model_final.pth"),
        "OUTPUT_DIR",
        str(tmp_path),
        "DATASETS.TEST",
        "[]",
    )
    assert (
        start_job(
            JobOptions(ARCHITECTURES, config_file, (*overrides, "SOLVER.BASE_LR", "1e-12", "SOLVER.MAX_ITER", "1"))
        )
        == 0
    )
    start = checkpoint.read_checkpoint(output_dir / "model_final.pth")["model"]["roi_heads.mask_head.predictor.weight"]
    end = checkpoint.read_checkpoint(tmp_path / "model_final.pth")["model"]["roi_heads.mask_head.predictor.weight"]
    torch.testing.assert_close(start, end, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("overrides", "kind", "message"),
    [
        (("TEST.BEST_METRIC", "hc/ADF"), ConfigError, "TEST.BEST_METRIC: 'hc/ADF' will not be evaluated"),
        (("TEST.EVALUATORS", "['voc']"), ConfigError, r"TEST.EVALUATORS: \['voc'\] cannot score"),
        (("DATASETS.TRAIN", "['gone']"), FetalHCError, "gone.json"),
        (("MODEL.WEIGHTS", "gone.pth"), ModelError, "gone.pth: no such checkpoint"),
        (("SOLVER.STEPS", "[5]"), ConfigError, "SOLVER.STEPS"),
        (("NO.SUCH", "1"), ConfigError, "NO.SUCH"),
    ],
)
def test_bad_input_is_refused_before_training(
    config_file: Path, output_dir: Path, overrides: tuple[str, ...], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        start_job(JobOptions(ARCHITECTURES, config_file, overrides))
    assert not list(output_dir.glob("*.pth"))


def test_evaluation_alone_needs_weights(config_file: Path) -> None:
    with pytest.raises(ConfigError, match=r"--eval-only needs weights; add MODEL\.WEIGHTS"):
        start_job(JobOptions(ARCHITECTURES, config_file, eval_only=True))


@pytest.mark.slow
def test_started_processes_know_the_model(config_file: Path, output_dir: Path) -> None:
    overrides = ("SOLVER.MAX_ITER", "1", "TEST.LOSSES", "True")
    assert start_job(JobOptions(ARCHITECTURES, config_file, overrides), n_processes=2) == 0
    assert json.loads((output_dir / "run.json").read_text())["n_processes"] == 2
    loss = json.loads((output_dir / "results.json").read_text())["loss"]
    assert loss["total_loss"] == pytest.approx(sum(value for name, value in loss.items() if name != "total_loss"))


def test_two_test_datasets_are_reported_apart(config_file: Path, output_dir: Path) -> None:
    data = config_file.parent
    (data / "again.json").write_text((data / "heads.json").read_text())
    tree = yaml.safe_load(config_file.read_text())
    tree["DATASETS"]["TEST"] = ["heads", "again"]
    tree["TEST"]["BEST_METRIC"] = "heads/segm/AP"
    config_file.write_text(yaml.safe_dump(tree))
    assert start_job(JobOptions(ARCHITECTURES, config_file, ("SOLVER.MAX_ITER", "1"))) == 0
    assert set(json.loads((output_dir / "results.json").read_text())) == {"heads", "again"}


@pytest.fixture
def torch_settings() -> Iterator[None]:
    """Puts back what a job may change for the whole process."""
    backends = torch.backends.cudnn
    before = backends.benchmark, backends.deterministic, backends.allow_tf32, torch.get_float32_matmul_precision()
    yield
    backends.benchmark, backends.deterministic, backends.allow_tf32 = before[:3]
    torch.set_float32_matmul_precision(before[3])
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("torch_settings")
@pytest.mark.parametrize(("precision", "tf32"), [("highest", False), ("high", True), ("medium", True)])
def test_precision_of_float32_covers_convolutions_as_in_detectron2(
    config_file: Path, precision: str, tf32: bool
) -> None:
    cfg = load_config(ARCHITECTURES, config_file, ["FLOAT32_PRECISION", precision])
    configure_torch(cfg)
    assert torch.backends.cudnn.allow_tf32 == tf32
    assert torch.get_float32_matmul_precision() == precision


@pytest.mark.usefixtures("torch_settings")
@pytest.mark.parametrize("deterministic", [True, False])
def test_deterministic_mode_switches_all_of_torch(config_file: Path, deterministic: bool) -> None:
    overrides = ["DETERMINISTIC", str(deterministic), "CUDNN_BENCHMARK", "True"]
    configure_torch(load_config(ARCHITECTURES, config_file, overrides))
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert torch.backends.cudnn.deterministic == deterministic
    assert torch.backends.cudnn.benchmark != deterministic


@pytest.mark.usefixtures("torch_settings")
def test_training_runs_in_the_deterministic_mode(config_file: Path) -> None:
    assert start_job(JobOptions(ARCHITECTURES, config_file, ("DETERMINISTIC", "True", "SOLVER.MAX_ITER", "1"))) == 0


@pytest.mark.parametrize("wants_gpus", [True, False])
def test_number_of_gpus_on_a_cpu_recipe_is_answered(config_file: Path, output_dir: Path, wants_gpus: bool) -> None:
    options = JobOptions(ARCHITECTURES, config_file, ("SOLVER.MAX_ITER", "1", "DATASETS.TEST", "()"))
    start_job(replace(options, wants_gpus=wants_gpus))
    said = "no GPU is used, because MODEL.DEVICE is cpu" in (output_dir / "log.txt").read_text()
    assert said == wants_gpus
