"""metrics.json, the log and the progress bar."""

import io
import json
import logging
from pathlib import Path

import pytest

from fetal_hc.engine.train.events import TrainingEvents, logging_to, read_metrics
from fetal_hc.errors import ConfigError


def test_values_are_medians_over_twenty_iterations(tmp_path: Path) -> None:
    with TrainingEvents(tmp_path, 0, 40) as events:
        for iteration in range(40):
            events.record(iteration, {"loss_a": float(iteration), "loss_b": 1.0}, 0.1, 2.0, 0.5)
    rows = read_metrics(tmp_path / "metrics.json")
    assert [(row["iteration"], row["loss_a"], row["total_loss"]) for row in rows] == [(19, 9.5, 10.5), (39, 29.5, 30.5)]
    assert (rows[0]["lr"], rows[0]["time"], rows[0]["data_time"], rows[0]["eta_seconds"]) == (0.1, 2.0, 0.5, 40.0)


def test_undefined_result_is_null(tmp_path: Path) -> None:
    with TrainingEvents(tmp_path, 0, 1) as events:
        events.record_results(0, {"segm/APs": float("nan")})
    assert (tmp_path / "metrics.json").read_text() == '{"iteration": 0, "segm/APs": null}\n'


def test_tensorboard_file_is_written(tmp_path: Path) -> None:
    with TrainingEvents(tmp_path, 0, 1) as events:
        events.record(0, {"loss": 1.0}, 0.1, 1.0, 0.0)
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 1


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    with TrainingEvents(tmp_path / "output", 0, 1, is_main=False) as events:
        events.record(0, {"loss": 1.0}, 0.1, 1.0, 0.0)
    assert not (tmp_path / "output").exists()


def test_line_cut_off_by_a_crash_is_left_out_but_damage_is_not(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text('{"iteration": 19}\n{"iteration": 3')
    assert read_metrics(path) == [{"iteration": 19}]
    path.write_text('{"iteration": 3\n{"iteration": 19}\n')
    with pytest.raises(json.JSONDecodeError):
        read_metrics(path)


def test_progress_bar_is_silent_when_not_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingEvents(tmp_path, 0, 1) as events:
        events.record(0, {"loss": 1.0}, 0.1, 1.0, 0.0)
    assert capsys.readouterr() == ("", "")


def test_progress_bar_shows_the_end_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with TrainingEvents(tmp_path, 0, 1) as events:
        events.record(0, {"loss": 1.0}, 0.1, 1.0, 0.0)
    assert "1/1" in terminal.getvalue()


def test_log_goes_to_stdout_and_file_within_the_block(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("fetal_hc.test")
    with logging_to(tmp_path):
        logger.info("inside")
    logger.info("outside")
    assert (tmp_path / "log.txt").read_text().endswith("INFO] inside\n")
    assert capsys.readouterr().out.endswith("INFO] inside\n")
    assert logging.getLogger("fetal_hc").handlers == []


def test_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"OUTPUT_DIR .*file.* cannot be written \("), logging_to(tmp_path / "file"):
        pass
