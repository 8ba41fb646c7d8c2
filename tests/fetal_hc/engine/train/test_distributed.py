"""Two processes on the CPU (gloo), started by torchrun and by `launch`."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fetal_hc.engine.checkpoints import checkpoint
from fetal_hc.engine.train import distributed
from fetal_hc.engine.train.events import read_metrics
from fetal_hc.errors import ConfigError, FetalHCError
from tests.fetal_hc.engine import distributed_worker, gradient_worker

COMMON = "[{'rank': 0}, {'rank': 1}] [0.5, 1.0] 5.0"


@pytest.fixture(scope="module")
def two_process_output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of `train_and_differentiate` in two launched processes."""
    output_dir = tmp_path_factory.mktemp("two")
    assert distributed.launch(distributed_worker.train_and_differentiate, 2, (str(output_dir),)) == 0
    return output_dir


def test_two_processes_train_as_one_with_the_same_global_batch(two_process_output: Path, tmp_path: Path) -> None:
    distributed_worker.train(str(tmp_path))
    one = checkpoint.read_checkpoint(tmp_path / "model_final.pth")
    two = checkpoint.read_checkpoint(two_process_output / "model_final.pth")
    for name, weights in one["model"].items():
        torch.testing.assert_close(two["model"][name], weights, rtol=1e-5, atol=1e-7)
    # The momentum of SGD is the decayed sum of the gradients.
    for index, state in one["optimizer"]["state"].items():
        momentum = two["optimizer"]["state"][index]["momentum_buffer"]
        torch.testing.assert_close(momentum, state["momentum_buffer"], rtol=1e-5, atol=1e-7)
    assert len(two["random_state"]) == 2


def test_collective_helpers_give_every_process_of_torchrun_the_same(repository_root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "tests.fetal_hc.engine.collective_worker", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        command, cwd=repository_root, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "rank_0.txt").read_text() == f"{COMMON} True"
    assert (tmp_path / "rank_1.txt").read_text() == f"{COMMON} False"


def test_only_the_first_process_writes_metrics(two_process_output: Path) -> None:
    assert len(read_metrics(two_process_output / "metrics.json")) == 1


def test_mask_rcnn_in_two_processes_has_the_gradients_of_one(two_process_output: Path, tmp_path: Path) -> None:
    gradient_worker.write_gradients(tmp_path / "one.pth")
    files = (tmp_path / "one.pth", two_process_output / "gradients.pth")
    one, two = (torch.load(file, weights_only=True) for file in files)
    assert set(two) == set(one)
    assert all(gradient.abs().max() > 0 for name, gradient in one.items() if name.endswith("weight"))
    for name, gradient in one.items():
        torch.testing.assert_close(two[name], gradient, rtol=1e-4, atol=1e-5 * float(gradient.abs().max()))


def test_signal_to_one_launched_process_stops_all_in_the_same_iteration(tmp_path: Path) -> None:
    code = distributed.launch(distributed_worker.stop_at_once, 2, (str(tmp_path),))
    assert code == signal.SIGTERM
    assert checkpoint.last_checkpoint(tmp_path) == tmp_path / "model_0000001.pth"


def test_error_of_launched_processes_is_raised_once() -> None:
    with pytest.raises(FetalHCError, match=r"^the value is wrong$"):
        distributed.launch(distributed_worker.fail, 2, ("error",))


def test_one_process_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert distributed.launch(distributed_worker.fail, 1, ("3",)) == 3


def test_under_torchrun_nothing_is_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    assert distributed.launch(distributed_worker.fail, 2, ("3",)) == 3


def test_no_process_is_refused() -> None:
    with pytest.raises(ConfigError, match="--num-gpus 0: expected at least 1 process"):
        distributed.launch(distributed_worker.fail, 0, ("0",))


def test_two_machines_of_one_process_each_train_as_one_group(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    machines = [
        multiprocessing.get_context("forkserver").Process(
            target=distributed_worker.take_part, args=(str(tmp_path), distributed.Machines(2, rank, url))
        )
        for rank in range(2)
    ]
    for machine in machines:
        machine.start()
    for machine in machines:
        machine.join(300)
        assert machine.exitcode == 0
    assert (tmp_path / "rank_1.txt").read_text() == f"{COMMON} False"


def test_machines_need_an_address() -> None:
    with pytest.raises(ConfigError, match="--num-machines 2 needs --dist-url tcp://HOST:PORT"):
        distributed.Machines(2)
    with pytest.raises(ConfigError, match="--dist-url file:///x: expected tcp://HOST:PORT"):
        distributed.launch(distributed_worker.fail, 1, ("0",), distributed.Machines(2, 1, "file:///x"))


@pytest.mark.parametrize(("count", "rank"), [(0, 0), (2, 2), (2, -1)])
def test_number_of_a_machine_is_checked(count: int, rank: int) -> None:
    with pytest.raises(ConfigError, match=rf"--machine-rank {rank} with --num-machines {count}: .* numbered from 0"):
        distributed.Machines(count, rank, "tcp://somewhere:1")


def test_second_process_on_one_card_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert distributed.select_device("cuda") == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(ConfigError, match="GPU 1 is wanted, but this machine has 1; lower --num-gpus"):
        distributed.select_device("cuda")


@pytest.mark.parametrize(("device_type", "backend"), [("cpu", "gloo"), ("cuda", "nccl")])
def test_group_communicates_as_the_device_of_the_configuration_needs(
    monkeypatch: pytest.MonkeyPatch, device_type: str, backend: str
) -> None:
    started: list[str] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "set_device", lambda index: None)
    monkeypatch.setattr(torch.distributed, "init_process_group", started.append)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)
    with distributed.process_group(device_type):
        assert started == [backend]


def test_alone_the_helpers_do_nothing() -> None:
    model = torch.nn.Linear(1, 1)
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)
    assert distributed.all_gather_objects("x") == ["x"]
    assert distributed.all_reduce_mean(torch.tensor([2.0])).tolist() == [2.0]
    assert distributed.wrap_model(model, torch.device("cpu")) is model


def test_unknown_device_is_refused() -> None:
    with pytest.raises(ConfigError, match="'tpu9' is not a torch device"):
        distributed.select_device("tpu9")


def test_missing_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"torch sees no GPU; add MODEL\.DEVICE cpu"):
        distributed.select_device("cuda")
