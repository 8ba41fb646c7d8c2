"""Several training processes: start, environment, and the few collective operations that the engine needs.

A process belongs to a group when torchrun (or `launch`) has set RANK, WORLD_SIZE and LOCAL_RANK. Without a group every
function here does what one process alone would do.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from types import FrameType
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import ProcessExitedException, start_processes
from torch.nn.parallel import DistributedDataParallel

from fetal_hc.errors import ConfigError, FetalHCError

# Processes are forked from a server that has imported these once; no name of this project, since the server knows only
# the installed one. Windows has no such server.
_PRELOADED = ["torch", "torchvision", "timm", "torch.utils.tensorboard"]
_START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def is_active() -> bool:
    """Whether this process is one of a group."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Number of this process in its group; 0 when alone."""
    return dist.get_rank() if is_active() else 0


def world_size() -> int:
    """Number of processes in the group; 1 when alone."""
    return dist.get_world_size() if is_active() else 1


class Place(NamedTuple):
    """Number of a process in its group, and the number of processes in it."""

    rank: int
    world_size: int


def place() -> Place:
    """The place of this process."""
    return Place(rank(), world_size())


def is_main() -> bool:
    """Whether this process writes the files and the log."""
    return rank() == 0


def barrier() -> None:
    """Waits until all processes are here."""
    if is_active():
        dist.barrier()


def all_gather_objects(value: Any) -> list[Any]:
    """The picklable `value` of every process, in order of rank, on every process."""
    if not is_active():
        return [value]
    gathered: list[Any] = [None] * world_size()
    dist.all_gather_object(gathered, value)
    return gathered


def all_reduce_mean(values: Tensor) -> Tensor:
    """Element-wise mean of `values` over all processes; NaN and infinity in any of them show in the mean."""
    if is_active():
        dist.all_reduce(values)
        values /= world_size()
    return values


def broadcast_buffers(model: nn.Module) -> None:
    """Gives every process the buffers (running statistics) of process 0."""
    if is_active():
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def wrap_model(model: nn.Module, device: torch.device) -> nn.Module:
    """The model in DistributedDataParallel when there is a group, else the model itself.

    As in Detectron2, each process keeps the running statistics of its own images; see `broadcast_buffers`.
    """
    if not is_active():
        return model
    device_ids = [device.index] if device.type == "cuda" else None
    return DistributedDataParallel(model, device_ids=device_ids, broadcast_buffers=False)


def select_device(name: str) -> torch.device:
    """The device this process computes on, from MODEL.DEVICE ("cpu", "cuda"); one GPU per process of a group.

    Raises:
        ConfigError: if the name is unknown, or CUDA or this process's GPU is absent.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"MODEL.DEVICE: {name!r} is not a torch device; expected cpu or cuda") from error
    if device.type != "cuda":
        return device
    if not torch.cuda.is_available():
        raise ConfigError("MODEL.DEVICE: 'cuda', but torch sees no GPU; add MODEL.DEVICE cpu to the command")
    index = int(os.environ.get("LOCAL_RANK", "0")) if device.index is None else device.index
    if index >= torch.cuda.device_count():
        raise ConfigError(f"GPU {index} is wanted, but this machine has {torch.cuda.device_count()}; lower --num-gpus")
    return torch.device("cuda", index)


@contextmanager
def process_group(device_type: str) -> Iterator[None]:
    """Joins the group that the environment names (nccl on GPUs, gloo on CPUs) for the length of the block."""
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1 or is_active():
        yield
        return
    if device_type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device_type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


@dataclass(frozen=True)
class Machines:
    """The machines of one training, as Detectron2's --num-machines, --machine-rank and --dist-url name them.

    Attributes:
        count: how many machines take part; each runs the same number of processes.
        rank: number of this machine, from 0.
        url: tcp://HOST:PORT of machine 0; "auto" is a free port of this machine, if it is the only one.
    """

    count: int = 1
    rank: int = 0
    url: str = "auto"

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 <= self.rank < self.count:
            raise ConfigError(
                f"--machine-rank {self.rank} with --num-machines {self.count}: the machines are numbered from 0 to "
                "--num-machines - 1"
            )
        if self.count > 1 and self.url == "auto":
            raise ConfigError(
                f"--num-machines {self.count} needs --dist-url tcp://HOST:PORT with the host of machine 0 and a free "
                "port there, the same on all machines"
            )

    def address(self) -> tuple[str, int]:
        """Host and port of machine 0.

        Raises:
            ConfigError: if the URL has another form.
        """
        if self.url == "auto":
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                return "127.0.0.1", free.getsockname()[1]
        found = re.fullmatch(r"tcp://(?P<host>[^/:]+):(?P<port>\d+)/?", self.url)
        if found is None:
            raise ConfigError(f"--dist-url {self.url}: expected tcp://HOST:PORT, or auto on one machine")
        return found["host"], int(found["port"])


def launch(
    function: Callable[..., int], n_processes: int, arguments: tuple[Any, ...], machines: Machines | None = None
) -> int:
    """Exit code of `function(*arguments)`, run here or in `n_processes` new processes of this machine.

    One process of this machine is this one. Under torchrun (RANK is set) the processes exist already, and the function
    runs here as well. SIGTERM and SIGINT reach the started processes as SIGTERM.

    Raises:
        ConfigError: if `n_processes` is below 1, or the URL of `machines` is malformed.
        FetalHCError: from `function`; of several processes that fail, the first one's.
    """
    machines = machines or Machines()
    if n_processes < 1:
        raise ConfigError(f"--num-gpus {n_processes}: expected at least 1 process; on a CPU use 1")
    if n_processes * machines.count == 1 or "RANK" in os.environ:
        return function(*arguments)
    host, port = machines.address()
    environment = {
        "WORLD_SIZE": str(n_processes * machines.count),
        "LOCAL_WORLD_SIZE": str(n_processes),
        "MASTER_ADDR": host,
        "MASTER_PORT": str(port),
    }
    if n_processes == 1:
        with _environment(environment, machines.rank, 0):
            return function(*arguments)
    start = multiprocessing.get_context(_START_METHOD)
    start.set_forkserver_preload(_PRELOADED)
    messages = start.SimpleQueue()
    child_arguments = (function, n_processes * machines.rank, environment, arguments, messages)
    context = start_processes(_child, child_arguments, n_processes, join=False, start_method=_START_METHOD)

    def forward(_signal_number: int, _frame: FrameType | None) -> None:
        for process in context.processes:
            process.terminate()

    previous = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        while not context.join():
            pass
    except ProcessExitedException as error:
        if not messages.empty():
            raise FetalHCError(messages.get()) from error
        return error.exit_code if error.exit_code > 0 else 1
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 0


def _child(
    local_rank: int,
    function: Callable[..., int],
    first_rank: int,
    environment: dict[str, str],
    arguments: tuple[Any, ...],
    messages: SimpleQueue[str],
) -> None:
    """Body of one started process: runs in the group and exits with the function's code."""
    with _environment(environment, first_rank + local_rank, local_rank):
        try:
            code = function(*arguments)
        except FetalHCError as error:
            messages.put(str(error))
            code = 2
    sys.exit(code)


@contextmanager
def _environment(group: dict[str, str], rank: int, local_rank: int) -> Iterator[None]:
    """Names the group and this process in the environment, as torchrun does, for the length of the block."""
    names = {**group, "RANK": str(rank), "LOCAL_RANK": str(local_rank)}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
