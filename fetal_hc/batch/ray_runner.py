"""Batches on a Ray cluster: Ray Data hands runs of tasks to a pool of actors, and each writes a shard in Parquet.

The checkpoint directory is on storage that all machines share. It has the model and one file of tasks per shard
(`tasks-*`), written here, and the finished shards, written by the actors. An actor or machine that is lost costs its
unfinished shards, which Ray gives to others. A shard is written as a whole under a name that depends on its tasks
alone, so nothing can be lost or doubled.

Needs the extra scale.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.data
from numpy.typing import NDArray
from ray.data import ActorPoolStrategy

from fetal_hc.batch.checkpoint.checkpoint_directory import HEADER_NAME, MODEL_NAME
from fetal_hc.batch.checkpoint.parquet_shards import read_parquet_shard, write_parquet_shard
from fetal_hc.batch.checkpoint.shards import PARQUET_SUFFIX, CheckpointGoneError, shard_name
from fetal_hc.batch.checkpoint.storage_watch import until_storage_is_gone
from fetal_hc.batch.runners import run_pool
from fetal_hc.batch.settings import computing_versions
from fetal_hc.batch.tasks import ImageTask, TaskResult
from fetal_hc.batch.work import BatchWork
from fetal_hc.errors import FetalHCError
from fetal_hc.io.storage import join_location, list_names, read_whole_file, write_whole_file
from fetal_hc.model.cores import usable_cores

Tasks = Iterable[ImageTask[Any]]

_SHARDS_PER_WORKER = 16
_TASKS_PER_SHARD = 256  # a lost machine costs at most so much work per process
_MOST_SHARDS = 5000  # of longer batches the shards grow
_OBJECT_STORE_BYTES = 128 * 2**20  # of a Ray started here: it holds only a few numbers per shard
# Nothing is reported to anybody; the actors of a Ray started here get as much of the processors as other programs.
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}


@dataclass(frozen=True, slots=True)
class RayPlan:
    """The actors that do the work of a batch.

    Attributes:
        address: of an existing cluster; None starts Ray on this machine.
        n_workers: number of actors; 0 for as many as the cluster has room for.
        work: what each of them does.
    """

    address: str | None
    n_workers: int
    work: BatchWork[Any, Any]


def process_with_ray(
    tasks: Tasks, n_tasks: int, folder: str, worker_plan: RayPlan, last_read: str | None
) -> Generator[int, None, None]:
    """Does tasks and leaves their results as Parquet shards; yields the number of finished tasks now and then.

    Args:
        tasks: in ascending order; a new shard begins where numbers are left out.
        n_tasks: how many there are.
        folder: the checkpoint directory, with its `batch.json`, on storage that all machines share.
        worker_plan: who does them.
        last_read: an image that could be read before, if there was one.

    Raises:
        FetalHCError: if an actor cannot go on.
    """
    with _cluster(worker_plan):
        n_workers = worker_plan.n_workers or _room(worker_plan.work.num_threads)
        per_shard = min(
            max(1, n_tasks // (_SHARDS_PER_WORKER * n_workers)), max(_TASKS_PER_SHARD, n_tasks // _MOST_SHARDS)
        )
        write_whole_file(join_location(folder, MODEL_NAME), worker_plan.work.model.read_bytes())
        firsts = [write_tasks(folder, shard) for shard in cut_tasks(tasks, per_shard)]
        actors = ray.data.from_items(
            [{"first": first} for first in firsts], override_num_blocks=len(firsts)
        ).map_batches(
            ShardWorker,
            fn_constructor_kwargs={
                "folder": folder,
                "header": read_whole_file(join_location(folder, HEADER_NAME)),
                "work": worker_plan.work,
                "versions": computing_versions(),
                "last_read": last_read,
            },
            batch_size=1,
            compute=ActorPoolStrategy(size=min(n_workers, len(firsts))),
            num_cpus=worker_plan.work.num_threads,
        )
        with _own_errors():
            for row in actors.iter_rows():
                yield int(row["n_tasks"])


class ShardWorker:
    """An actor: makes shards with a model that it loads once.

    Nothing is done before the first shard, so that what is wrong with this machine is reported as the error of a task.
    """

    def __init__(
        self,
        folder: str,
        header: bytes,
        work: BatchWork[Any, Any],
        versions: dict[str, str],
        last_read: str | None,
    ) -> None:
        """Remembers what to do.

        Args:
            folder: the checkpoint directory.
            header: content of its `batch.json`.
            work: what to do; its model may be on another machine, a copy is in the checkpoint directory.
            versions: of the computing libraries where the batch was started.
            last_read: an image that could be read before, if there was one.
        """
        self._folder = folder
        self._header = header
        self._work = work
        self._versions = versions
        self._last_read = last_read
        self._process: Callable[[Tasks], Iterator[TaskResult[Any]]] | None = None

    def __call__(self, batch: dict[str, NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
        """The number of tasks of each shard, after it was written.

        Args:
            batch: `first`, int64 (n,): the number of the first task of each shard.

        Raises:
            FetalHCError: if this machine cannot be used, or the storage is gone or full.
        """
        if self._process is None:
            self._process = self._start()
        return {"n_tasks": np.array([self._make_shard(int(first)) for first in batch["first"]])}

    def _start(self) -> Callable[[Tasks], Iterator[TaskResult[Any]]]:
        """Loads the model.

        Raises:
            FetalHCError: if this machine does not see the checkpoint directory or has other libraries.
        """
        node = socket.gethostname()
        if read_whole_file(join_location(self._folder, HEADER_NAME)) != self._header:
            raise FetalHCError(
                f"{self._folder}: is not the same folder on the machine {node}; expected storage that all machines "
                "share; name one with --work-folder"
            )
        if computing_versions() != self._versions:
            raise FetalHCError(
                f"the machine {node} has {computing_versions()}; expected {self._versions}, as where the batch was "
                "started; install the same versions on all machines"
            )
        copy = Path(tempfile.mkdtemp(prefix="fetal-hc-")) / MODEL_NAME
        copy.write_bytes(read_whole_file(join_location(self._folder, MODEL_NAME)) or b"")
        self._work = replace(self._work, model=copy)
        return self._work()

    def _make_shard(self, first: int) -> int:
        """Does the tasks of a shard and writes it, unless that was done before; how many tasks it has.

        A shard that is begun for the second time may have an image that kills its process. Its images are then done in
        a process of their own.

        Raises:
            FetalHCError: if the checkpoint directory or the storage of the images is gone.
        """
        table = self._work.table
        location = join_location(self._folder, shard_name(first, PARQUET_SUFFIX))
        if shard_name(first, PARQUET_SUFFIX) in list_names(self._folder):
            return sum(1 for _ in read_parquet_shard(location, table))
        self._check_folder()
        attempt = join_location(self._folder, _scratch_name("attempt", first))
        is_retry = read_whole_file(attempt) is not None
        write_whole_file(attempt, b"")
        tasks = _read_tasks(self._folder, first, self._work.facts_type)
        process = partial(_in_another_process, self._work) if is_retry or self._process is None else self._process
        results = list(until_storage_is_gone(process(tasks), self._last_read))
        self._last_read = next((result.path for result in reversed(results) if result.stamp), self._last_read)
        self._check_folder()
        write_parquet_shard(location, results, table)
        return len(results)

    def _check_folder(self) -> None:
        """Returns if the checkpoint directory is the one of this batch.

        Raises:
            CheckpointGoneError: if somebody deleted or moved it.
        """
        if read_whole_file(join_location(self._folder, HEADER_NAME)) != self._header:
            raise CheckpointGoneError(
                f"{self._folder}: was deleted or moved while the batch was running; expected nobody to change it; put "
                "the folder back and continue with --resume, or start again"
            )


def _in_another_process(work: BatchWork[Any, Any], tasks: Tasks) -> Iterator[TaskResult[Any]]:
    """Results of tasks, none of which can end this process."""
    return run_pool(work, work.crashed_result, tasks, 1)


def cut_tasks(tasks: Tasks, size: int) -> Iterator[list[ImageTask[Any]]]:
    """Runs of at most `size` tasks with consecutive numbers."""
    run: list[ImageTask[Any]] = []
    for task in tasks:
        if run and (len(run) == size or task.index != run[-1].index + 1):
            yield run
            run = []
        run.append(task)
    if run:
        yield run


def write_tasks(folder: str, tasks: list[ImageTask[Any]]) -> int:
    """Writes the tasks of a shard; the number of the first."""
    location = join_location(folder, _scratch_name("tasks", tasks[0].index))
    write_whole_file(location, json.dumps([task.to_json() for task in tasks]).encode())
    return tasks[0].index


def _read_tasks(folder: str, first: int, facts_type: type) -> list[ImageTask[Any]]:
    """The tasks that `write_tasks` wrote.

    Raises:
        FetalHCError: if they are gone.
    """
    location = join_location(folder, _scratch_name("tasks", first))
    data = read_whole_file(location)
    if data is None:
        raise FetalHCError(f"{location}: is gone; expected nobody to change the checkpoint directory")
    return [ImageTask.from_json(values, facts_type) for values in json.loads(data)]


def _scratch_name(kind: str, first: int) -> str:
    """File name of the tasks of a shard, or of the mark that it was begun."""
    return f"{kind}-{first:012d}.json"


def _room(num_threads: int) -> int:
    """How many actors the cluster has processors for."""
    resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return max(1, int(resources.get("CPU", 1)) // num_threads)


@contextmanager
def _cluster(worker_plan: RayPlan) -> Iterator[None]:
    """A connection to the cluster, or a Ray of this machine, for the length of the block.

    Raises:
        FetalHCError: if there is no such cluster.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    options: dict[str, Any] = {"address": worker_plan.address}
    if worker_plan.address is None:
        needed = max(usable_cores(), worker_plan.n_workers * worker_plan.work.num_threads)
        options = {"num_cpus": needed, "object_store_memory": _OBJECT_STORE_BYTES, "include_dashboard": False}
    try:
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise FetalHCError(f"Ray at {worker_plan.address or 'this machine'}: {error}; check --ray-address") from error
    ray_logger = logging.getLogger("ray.data")
    level = ray_logger.level
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        ray_logger.setLevel(logging.ERROR)
        yield
    finally:
        ray_logger.setLevel(level)
        ray.shutdown()


@contextmanager
def _own_errors() -> Iterator[None]:
    """Raises the error of an actor as it was raised there.

    Raises:
        FetalHCError: from an actor, or that Ray cannot go on.
    """
    try:
        yield
    except ray.exceptions.RayError as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, FetalHCError):
            cause = getattr(cause, "cause", None) or cause.__cause__
        if cause is not None:
            raise cause from error
        raise FetalHCError(f"Ray cannot go on ({type(error).__name__}: {error})") from error
