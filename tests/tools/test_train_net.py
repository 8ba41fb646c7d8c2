"""The command line of the training tool: options and exit codes."""

from pathlib import Path

import pytest

from fetal_hc.engine.train.distributed import Machines
from fetal_hc_cli.training import train_net
from tests.fetal_hc.engine.toy_heads import write_config


def test_options_and_overrides_reach_the_job() -> None:
    argv = ["--config-file", "a.yaml", "--engine", "builtin", "--num-gpus", "2", "--resume", "--eval-only"]
    options = train_net.JobOptions(
        train_net.ARCHITECTURES,
        config_file=Path("a.yaml"),
        overrides=("SOLVER.MAX_ITER", "5", "SEED", "-1"),
        engine="builtin",
        resume=True,
        eval_only=True,
        wants_gpus=True,
    )
    assert train_net.read_job([*argv, "SOLVER.MAX_ITER", "5", "SEED", "-1"]) == (options, 2, Machines())


def test_options_may_follow_the_overrides() -> None:
    argv = ["--config-file", "a.yaml", "SEED", "-1", "--resume", "SOLVER.STEPS", "()", "--num-gpus", "1"]
    options, _, _ = train_net.read_job(argv)
    assert options.overrides == ("SEED", "-1", "SOLVER.STEPS", "()")
    assert options.resume
    assert options.wants_gpus


def test_machines_are_named_as_in_detectron2() -> None:
    argv = ["--config-file", "a.yaml", "--num-machines", "2", "--machine-rank", "1", "--dist-url", "tcp://host:5"]
    assert train_net.read_job(argv)[1:] == (1, Machines(2, 1, "tcp://host:5"))


def test_machine_without_an_address_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert train_net.main(["--config-file", "a.yaml", "--num-machines", "2"]) == 2
    assert "error: --num-machines 2 needs --dist-url tcp://HOST:PORT" in capsys.readouterr().err


def test_defaults() -> None:
    options = train_net.JobOptions(train_net.ARCHITECTURES, config_file=Path("a.yaml"), engine="auto")
    assert train_net.read_job(["--config-file", "a.yaml"]) == (options, 1, Machines())


def test_bad_input_gives_2_and_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config_file = write_config(tmp_path / "data", tmp_path / "output")
    assert train_net.main(["--config-file", str(config_file), "MODEL.WEIGHTS", "gone.pth"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: gone.pth: no such checkpoint")
    assert error.count("\n") == 1


def test_missing_config_file_gives_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert train_net.main(["--config-file", "no/such.yaml"]) == 2
    assert "no/such.yaml" in capsys.readouterr().err


def test_code_of_the_job_is_returned(tmp_path: Path) -> None:
    config_file = write_config(tmp_path / "data", tmp_path / "output")
    argv = ["--config-file", str(config_file), "SOLVER.MAX_ITER", "1"]
    assert train_net.main([*argv, "TEST.EXPECTED_RESULTS", "[['hc','n_failed',-5,1]]"]) == 1


def test_unknown_engine_is_an_error_of_the_command_line() -> None:
    with pytest.raises(SystemExit) as caught:
        train_net.main(["--config-file", "a.yaml", "--engine", "tensorflow"])
    assert caught.value.code == 2
