"""The command line of the training tool: options and exit codes."""

from pathlib import Path

import pytest

from fetal_hc.errors import ConfigError
from fetal_hc_cli import train_net


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, int]]:
    """What the tool starts instead of a training."""
    calls: list[tuple[object, int]] = []
    monkeypatch.setattr(train_net, "start_job", lambda options, n_processes: calls.append((options, n_processes)) or 0)
    return calls


def test_options_and_overrides_reach_the_job(started: list[tuple[object, int]]) -> None:
    argv = ["--config-file", "a.yaml", "--engine", "builtin", "--num-gpus", "2", "--resume", "--eval-only"]
    assert train_net.main([*argv, "SOLVER.MAX_ITER", "5", "SEED", "-1"]) == 0
    options = train_net.JobOptions(
        train_net.ARCHITECTURES,
        config_file=Path("a.yaml"),
        overrides=("SOLVER.MAX_ITER", "5", "SEED", "-1"),
        engine="builtin",
        resume=True,
        eval_only=True,
    )
    assert started == [(options, 2)]


def test_defaults(started: list[tuple[object, int]]) -> None:
    assert train_net.main(["--config-file", "a.yaml"]) == 0
    assert started == [(train_net.JobOptions(train_net.ARCHITECTURES, config_file=Path("a.yaml"), engine="auto"), 1)]


def test_bad_input_gives_2_and_one_message(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(options: object, n_processes: int) -> int:
        raise ConfigError("SOLVER.STEPS: too late")

    monkeypatch.setattr(train_net, "start_job", refuse)
    assert train_net.main(["--config-file", "a.yaml"]) == 2
    assert capsys.readouterr().err == "error: SOLVER.STEPS: too late\n"


def test_missing_config_file_gives_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert train_net.main(["--config-file", "no/such.yaml"]) == 2
    assert "no/such.yaml" in capsys.readouterr().err


def test_code_of_the_job_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_net, "start_job", lambda options, n_processes: 1)
    assert train_net.main(["--config-file", "a.yaml"]) == 1


def test_unknown_engine_is_an_error_of_the_command_line() -> None:
    with pytest.raises(SystemExit) as caught:
        train_net.main(["--config-file", "a.yaml", "--engine", "tensorflow"])
    assert caught.value.code == 2
