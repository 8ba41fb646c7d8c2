"""The command line of the training tool: options and exit codes."""

from pathlib import Path

import pytest

from fetal_hc.engine.train.distributed import Machines
from fetal_hc.errors import ConfigError
from fetal_hc_cli.training import train_net

# Options of the job, processes of this machine, machines.
Call = tuple[train_net.JobOptions, int, Machines]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """What the tool starts instead of a training."""
    calls: list[Call] = []
    monkeypatch.setattr(train_net, "start_job", lambda *arguments: calls.append(arguments) or 0)
    return calls


def test_options_and_overrides_reach_the_job(started: list[Call]) -> None:
    argv = ["--config-file", "a.yaml", "--engine", "builtin", "--num-gpus", "2", "--resume", "--eval-only"]
    assert train_net.main([*argv, "SOLVER.MAX_ITER", "5", "SEED", "-1"]) == 0
    options = train_net.JobOptions(
        train_net.ARCHITECTURES,
        config_file=Path("a.yaml"),
        overrides=("SOLVER.MAX_ITER", "5", "SEED", "-1"),
        engine="builtin",
        resume=True,
        eval_only=True,
        wants_gpus=True,
    )
    assert started == [(options, 2, Machines())]


def test_options_may_follow_the_overrides(started: list[Call]) -> None:
    argv = ["--config-file", "a.yaml", "SEED", "-1", "--resume", "SOLVER.STEPS", "()", "--num-gpus", "1"]
    assert train_net.main(argv) == 0
    assert started[0][0].overrides == ("SEED", "-1", "SOLVER.STEPS", "()")
    assert started[0][0].resume
    assert started[0][0].wants_gpus


def test_machines_are_named_as_in_detectron2(started: list[Call]) -> None:
    argv = ["--config-file", "a.yaml", "--num-machines", "2", "--machine-rank", "1", "--dist-url", "tcp://host:5"]
    assert train_net.main(argv) == 0
    assert started[0][1:] == (1, Machines(2, 1, "tcp://host:5"))


def test_machine_without_an_address_is_refused(started: list[Call], capsys: pytest.CaptureFixture[str]) -> None:
    assert train_net.main(["--config-file", "a.yaml", "--num-machines", "2"]) == 2
    assert "error: --num-machines 2 needs --dist-url tcp://HOST:PORT" in capsys.readouterr().err
    assert started == []


def test_defaults(started: list[Call]) -> None:
    assert train_net.main(["--config-file", "a.yaml"]) == 0
    options = train_net.JobOptions(train_net.ARCHITECTURES, config_file=Path("a.yaml"), engine="auto")
    assert started == [(options, 1, Machines())]


def test_bad_input_gives_2_and_one_message(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(*_arguments: object) -> int:
        raise ConfigError("SOLVER.STEPS: too late")

    monkeypatch.setattr(train_net, "start_job", refuse)
    assert train_net.main(["--config-file", "a.yaml"]) == 2
    assert capsys.readouterr().err == "error: SOLVER.STEPS: too late\n"


def test_missing_config_file_gives_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert train_net.main(["--config-file", "no/such.yaml"]) == 2
    assert "no/such.yaml" in capsys.readouterr().err


def test_code_of_the_job_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_net, "start_job", lambda *arguments: 1)
    assert train_net.main(["--config-file", "a.yaml"]) == 1


def test_unknown_engine_is_an_error_of_the_command_line() -> None:
    with pytest.raises(SystemExit) as caught:
        train_net.main(["--config-file", "a.yaml", "--engine", "tensorflow"])
    assert caught.value.code == 2
