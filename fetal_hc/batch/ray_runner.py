"""Batches on a Ray cluster: Ray Data hands shards of jobs to a pool of actors, and each writes a Parquet part file.

The work folder is on storage that all machines share. It holds the model and one file of jobs per shard (`jobs-*`),
written here, and one part per finished shard, written by whoever measured it. An actor or machine that is lost costs
its unfinished shards; Ray gives them to others. A part is written as a whole under a name that depends on its jobs
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
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.data
from numpy.typing import NDArray
from ray.data import ActorPoolStrategy

from fetal_hc.batch.checkpoint.checkpoint_directory import HEADER_NAME, MODEL_NAME
from fetal_hc.batch.checkpoint.job_results import TaskResult
from fetal_hc.batch.checkpoint.parquet_shards import read_parquet_part, write_parquet_part
from fetal_hc.batch.checkpoint.shards import PARQUET_SUFFIX, part_name
from fetal_hc.batch.checkpoint.storage_watch import until_storage_is_gone
from fetal_hc.batch.jobs import ImageTask
from fetal_hc.batch.runners import run_pool
from fetal_hc.batch.settings import computing_versions
from fetal_hc.errors import FetalHCError
from fetal_hc.io.storage import is_url, join_location, list_names, read_whole_file, write_whole_file
from fetal_hc.model.cores import usable_cores
from hc18.measure.worker import MeasureWork, crashed_result

_SHARDS_PER_WORKER = 16
_JOBS_PER_SHARD = 256  # a lost machine costs at most so much work per process
_MOST_SHARDS = 5000  # of longer batches the shards grow
_OBJECT_STORE_BYTES = 128 * 2**20  # of a Ray started here: it holds only a few numbers per shard
# Nothing is reported to anybody; the actors of a Ray started here get as much of the processors as other programs.
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}


@dataclass(frozen=True, slots=True)
class RayPlan:
    """Who measures.

    Attributes:
        address: of an existing cluster; None starts Ray on this machine.
        n_workers: number of actors; 0 for as many as the cluster has room for.
        work: what each of them does.
    """

    address: str | None
    n_workers: int
    work: MeasureWork


def measure_with_ray(
    jobs: Iterable[ImageTask], n_jobs: int, folder: str, worker_plan: RayPlan, last_read: str | None
) -> Generator[int, None, None]:
    """Measures jobs and leaves their results as Parquet parts in a work folder; yields the number of jobs now and then.

    Args:
        jobs: in ascending order; cut into shards where numbers are left out.
        n_jobs: how many there are.
        folder: the work folder, with its `batch.json`, on storage that all machines share.
        worker_plan: who measures.
        last_read: an image that could be read before, if there was one.

    Raises:
        FetalHCError: if an actor cannot go on.
    """
    with _cluster(worker_plan):
        n_workers = worker_plan.n_workers or _room(worker_plan.work.num_threads)
        per_shard = min(
            max(1, n_jobs // (_SHARDS_PER_WORKER * n_workers)), max(_JOBS_PER_SHARD, n_jobs // _MOST_SHARDS)
        )
        write_whole_file(join_location(folder, MODEL_NAME), worker_plan.work.model.read_bytes())
        firsts = [_write_shard(folder, shard) for shard in _cut(jobs, per_shard)]
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
                yield int(row["n_jobs"])


class ShardWorker:
    """An actor: measures shards of jobs with a model that it loads once.

    Nothing is done before the first shard, so that what is wrong with this machine is reported as the error of a task.
    """

    def __init__(
        self, folder: str, header: bytes, work: MeasureWork, versions: dict[str, str], last_read: str | None
    ) -> None:
        """Remembers what to do.

        Args:
            folder: the work folder.
            header: content of its `batch.json`.
            work: what to do; its model may be on another machine, a copy is in the work folder.
            versions: of the computing libraries where the batch was started.
            last_read: an image that could be read before, if there was one.
        """
        self._folder = folder
        self._header = header
        self._work = work
        self._versions = versions
        self._last_read = last_read
        self._measure: Callable[[Iterable[ImageTask]], Iterator[TaskResult]] | None = None

    def __call__(self, batch: dict[str, NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
        """The number of jobs of each shard, after its part was written.

        Args:
            batch: `first`, int64 (n,): the number of the first job of each shard.

        Raises:
            FetalHCError: if this machine cannot be used, or the storage is gone or full.
        """
        if self._measure is None:
            self._measure = self._start()
        return {"n_jobs": np.array([self._do_shard(int(first)) for first in batch["first"]])}

    def _start(self) -> Callable[[Iterable[ImageTask]], Iterator[TaskResult]]:
        """Loads the model.

        Raises:
            FetalHCError: if this machine does not see the work folder or has other libraries.
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

    def _do_shard(self, first: int) -> int:
        """Measures a shard and writes its part, unless that was done before; how many jobs it has.

        A shard that is begun for the second time may hold an image that kills its process. Its images are then measured
        in a process of their own.
        """
        location = join_location(self._folder, part_name(first, PARQUET_SUFFIX))
        if part_name(first, PARQUET_SUFFIX) in list_names(self._folder):
            return sum(1 for _ in read_parquet_part(location))
        attempt = join_location(self._folder, _scratch_name("attempt", first))
        is_retry = read_whole_file(attempt) is not None
        write_whole_file(attempt, b"")
        jobs = _read_shard(self._folder, first)
        measure = partial(_in_another_process, self._work) if is_retry or self._measure is None else self._measure
        results = list(until_storage_is_gone(measure(jobs), self._last_read))
        self._last_read = next((result.path for result in reversed(results) if result.stamp), self._last_read)
        write_parquet_part(location, results)
        return len(results)


def _in_another_process(work: MeasureWork, jobs: Iterable[ImageTask]) -> Iterator[TaskResult]:
    """Results of jobs, none of which can end this process."""
    return run_pool(work, crashed_result, jobs, 1)


def _cut(jobs: Iterable[ImageTask], size: int) -> Iterator[list[ImageTask]]:
    """Runs of at most `size` jobs with consecutive numbers."""
    shard: list[ImageTask] = []
    for job in jobs:
        if shard and (len(shard) == size or job.index != shard[-1].index + 1):
            yield shard
            shard = []
        shard.append(job)
    if shard:
        yield shard


def _write_shard(folder: str, jobs: list[ImageTask]) -> int:
    """Writes the jobs of a shard, with paths that hold on other machines; the number of the first."""
    items = [asdict(job) for job in jobs]
    for item in items:
        if item["path"] is not None and not is_url(item["path"]):
            item["path"] = str(Path(item["path"]).absolute())
    write_whole_file(join_location(folder, _scratch_name("jobs", jobs[0].index)), json.dumps(items).encode())
    return jobs[0].index


def _read_shard(folder: str, first: int) -> list[ImageTask]:
    """The jobs that `_write_shard` wrote.

    Raises:
        FetalHCError: if they are gone.
    """
    location = join_location(folder, _scratch_name("jobs", first))
    data = read_whole_file(location)
    if data is None:
        raise FetalHCError(f"{location}: is gone; expected nobody to change the work folder")
    items = json.loads(data)
    for item in items:
        item["pixel_size_xy_mm"] = item["pixel_size_xy_mm"] and tuple(item["pixel_size_xy_mm"])
    return [ImageTask(**item) for item in items]


def _scratch_name(kind: str, first: int) -> str:
    """File name of the jobs of a shard, or of the mark that it was begun."""
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
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        yield
    finally:
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
