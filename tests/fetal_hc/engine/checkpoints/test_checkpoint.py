"""Checkpoint files: format, safety, strict loading."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fetal_hc.engine.checkpoints import checkpoint
from fetal_hc.errors import FetalHCError, ModelError

CPU = torch.device("cpu")


class Dangerous:
    def __reduce__(self):
        return (print, ("code from the file ran",))


def test_written_file_is_a_plain_detectron2_dictionary(tmp_path: Path) -> None:
    model = nn.Linear(2, 1)
    checkpoint.write_checkpoint(tmp_path / "model_0000009.pth", {"model": model.state_dict(), "iteration": 9})
    loaded = torch.load(tmp_path / "model_0000009.pth", weights_only=True)
    assert torch.equal(loaded["model"]["weight"], model.weight)
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000009.pth"


def test_best_checkpoint_does_not_become_the_last(tmp_path: Path) -> None:
    content = {"model": {"w": torch.ones(1)}}
    checkpoint.write_checkpoint(tmp_path / "model_0000000.pth", content)
    checkpoint.write_checkpoint(tmp_path / "model_best.pth", content, is_last=False)
    assert checkpoint.last_checkpoint(tmp_path) == tmp_path / "model_0000000.pth"


def test_failed_write_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "model_final.pth"
    checkpoint.write_checkpoint(path, {"model": {"w": torch.ones(1)}})
    with pytest.raises(Exception, match="pickle"):
        checkpoint.write_checkpoint(path, {"model": lambda: None})
    assert checkpoint.read_checkpoint(path)["model"]["w"].tolist() == [1.0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last_checkpoint", "model_final.pth"]


def test_unwritable_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FetalHCError, match="cannot be written"):
        checkpoint.write_checkpoint(tmp_path / "file" / "model_final.pth", {"model": {}})


def test_full_disk_is_reported_and_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(content: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file data/0")

    checkpoint.write_checkpoint(tmp_path / "model_final.pth", {"model": {"w": torch.ones(1)}})
    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(FetalHCError, match=r"model_final\.pth: cannot be written \(PytorchStreamWriter failed"):
        checkpoint.write_checkpoint(tmp_path / "model_final.pth", {"model": {"w": torch.zeros(1)}})
    assert checkpoint.read_checkpoint(tmp_path / "model_final.pth")["model"]["w"].tolist() == [1.0]
    assert len(list(tmp_path.iterdir())) == 2


def test_bare_weights_are_taken_as_model(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 1).state_dict(), tmp_path / "bare.pth")
    assert set(checkpoint.read_checkpoint(tmp_path / "bare.pth")["model"]) == {"weight", "bias"}


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"model": Dangerous()}, tmp_path / "evil.pth")
    with pytest.raises(ModelError, match=r"evil.pth: refused, it is not a checkpoint of tensors"):
        checkpoint.read_checkpoint(tmp_path / "evil.pth")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("data", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_damaged_file_is_reported_by_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "broken.pth").write_bytes(data)
    with pytest.raises(ModelError, match=r"broken\.pth"):
        checkpoint.read_checkpoint(tmp_path / "broken.pth")


def test_truncated_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "cut.pth"
    checkpoint.write_checkpoint(path, {"model": {"w": torch.ones(1000)}})
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ModelError, match=r"cut\.pth: not a readable PyTorch checkpoint"):
        checkpoint.read_checkpoint(path)


def test_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.pth: no such checkpoint; check MODEL\.WEIGHTS"):
        checkpoint.read_checkpoint(tmp_path / "gone.pth")


@pytest.mark.parametrize("content", [{"model": {}}, {"model": {"w": 1.0}}, [1, 2]])
def test_file_without_weights_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ModelError, match=r"other\.pth: has no weights"):
        checkpoint.read_checkpoint(tmp_path / "other.pth")


def test_mismatch_lists_everything_and_loads_nothing() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    weights = {
        "0.weight": torch.zeros(3, 2),
        "0.bias": torch.zeros(4),
        "1.weight": torch.zeros(1, 3),
        "2.x": torch.zeros(1),
    }
    with pytest.raises(ModelError) as caught:
        checkpoint.load_weights(model, weights, "file.pth")
    assert caught.value.problems == (
        "1.bias: missing in the file",
        "2.x: not part of this model",
        "0.bias: shape (4,) in the file, (3,) in the model",
    )
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_no_last_checkpoint_in_a_fresh_folder(tmp_path: Path) -> None:
    assert checkpoint.last_checkpoint(tmp_path) is None


def test_last_checkpoint_that_is_gone_is_reported(tmp_path: Path) -> None:
    (tmp_path / "last_checkpoint").write_text("model_0000099.pth")
    with pytest.raises(ModelError, match=r"names model_0000099\.pth, which is not there"):
        checkpoint.last_checkpoint(tmp_path)


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


def test_random_state_survives_the_file(tmp_path: Path) -> None:
    checkpoint.seed_everything(7)
    draw()
    content = {"model": {"w": torch.ones(1)}, "random_state": [checkpoint.random_state(CPU)]}
    checkpoint.write_checkpoint(tmp_path / "model_final.pth", content)
    expected = draw()
    state = checkpoint.read_checkpoint(tmp_path / "model_final.pth")["random_state"][0]
    checkpoint.seed_everything(8)
    checkpoint.set_random_state(state, CPU)
    assert draw() == expected
