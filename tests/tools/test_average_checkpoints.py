"""The mean of several checkpoints."""

from pathlib import Path

import pytest
import torch

from fetal_hc.engine.checkpoints.checkpoint import average_checkpoints, read_checkpoint
from fetal_hc.errors import ModelError
from fetal_hc_cli.training.average_checkpoints import main


def write(path: Path, weight: float, count: int = 0, shape: tuple[int, ...] = (2, 3)) -> str:
    torch.save({"model": {"a.weight": torch.full(shape, weight), "a.count": torch.tensor(count)}}, path)
    return str(path)


def test_weights_are_averaged_and_counters_are_those_of_the_last_file(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{i}.pth", value, count) for i, (value, count) in enumerate([(1.0, 5), (2.0, 7)])]
    assert main(["--weights", *files, "--output", str(tmp_path / "mean.pth")]) == 0
    model = read_checkpoint(tmp_path / "mean.pth")["model"]
    torch.testing.assert_close(model["a.weight"], torch.full((2, 3), 1.5))
    assert int(model["a.count"]) == 7


def test_other_architectures_are_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [write(tmp_path / "a.pth", 1.0), write(tmp_path / "b.pth", 1.0, shape=(4,))]
    assert main(["--weights", *files, "--output", str(tmp_path / "mean.pth")]) == 2
    assert "a.weight" in capsys.readouterr().err
    assert not (tmp_path / "mean.pth").exists()


def test_one_checkpoint_is_no_average(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="at least two"):
        average_checkpoints([tmp_path / "a.pth"], tmp_path / "mean.pth")
