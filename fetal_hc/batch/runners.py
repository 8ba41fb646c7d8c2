"""How a batch is worked on: one job after the other, or by several processes. Results come in the order of the jobs.

A runner gets `start`, which builds the function that does a stream of jobs, one result each in their order; it is
called once per process, so that a model is loaded once. Jobs are taken from their iterator only when there is room for
them, so that memory stays constant.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Any, Generic, TypeVar

from fetal_hc.errors import FetalHCError

Job = TypeVar("Job")
Result = TypeVar("Result")
Stream = Callable[[Iterable[Job]], Iterator[Result]]
Start = Callable[[], Stream[Job, Result]]
Runner = Callable[[Start[Any, Any], Callable[[Any], Any], Iterable[Any], int], Generator[Any, None, None]]

_JOBS_PER_TASK = 4  # a process reads ahead within a task
_TASKS_IN_FLIGHT_PER_WORKER = 2
_MAX_CRASHES_IN_A_ROW = 5
# One thread per process in numerical libraries: the processes already fill the cores.
_WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

_start_work: Start[Any, Any] | None = None  # set in worker processes only
_work: Stream[Any, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Task(Generic[Job, Result]):
    """A few jobs that one process does together."""

    jobs: tuple[Job, ...]
    results: Future[list[Result]]


def run_serial(
    start: Start[Job, Result], crashed: Callable[[Job], Result], jobs: Iterable[Job], n_workers: int
) -> Generator[Result, None, None]:
    """Results of all jobs, done in this process.

    Args:
        start: builds the function that does the jobs.
        crashed: not called; a crash ends this process.
        jobs: consumed as that function does.
        n_workers: ignored.
    """
    yield from start()(jobs)


def run_pool(
    start: Start[Job, Result], crashed: Callable[[Job], Result], jobs: Iterable[Job], n_workers: int
) -> Generator[Result, None, None]:
    """Results of all jobs, done in `n_workers` new processes.

    When a process dies (killed, out of memory, a crash in a decoder), the jobs it may have been working on are done
    again one by one, so that only the job that kills its process is lost. Closing the iterator, or Ctrl-C, stops the
    processes; they also end when this process is killed.

    Args:
        start: builds the function that does jobs; pickled.
        crashed: result for a job that killed its process.
        jobs: consumed a few per process ahead of the results.
        n_workers: number of processes, at least 1.

    Raises:
        FetalHCError: if processes keep dying.
        Exception: what `start` or a job raised.
    """
    tasks = _cut(jobs, n_workers)
    n_crashes_in_a_row = 0
    pending: deque[_Task[Job, Result]] = deque()
    while True:
        with _worker_pool(start, n_workers) as pool:
            for outcome in _results_until_crash(pool, pending, tasks, n_workers * _TASKS_IN_FLIGHT_PER_WORKER):
                n_crashes_in_a_row = 0
                yield outcome
        if not pending:
            return
        for result, has_crashed in _results_one_by_one(start, crashed, pending):
            n_crashes_in_a_row = n_crashes_in_a_row + 1 if has_crashed else 0
            if n_crashes_in_a_row >= _MAX_CRASHES_IN_A_ROW:
                raise FetalHCError(
                    f"worker processes keep dying ({n_crashes_in_a_row} in a row); expected them to finish an image; "
                    "give the program more memory or fewer --workers, or try --runner serial"
                )
            yield result


RUNNERS: dict[str, Runner] = {"serial": run_serial, "pool": run_pool}


def _cut(jobs: Iterable[Job], n_workers: int) -> Iterator[tuple[Job, ...]]:
    """The jobs of each task: one at first, so that a short batch is shared by all processes, then several."""
    remaining = iter(jobs)
    for size in chain(repeat(1, n_workers * _TASKS_IN_FLIGHT_PER_WORKER), repeat(_JOBS_PER_TASK)):
        task = tuple(islice(remaining, size))
        if not task:
            return
        yield task


def _results_until_crash(
    pool: ProcessPoolExecutor, pending: deque[_Task[Job, Result]], tasks: Iterator[tuple[Job, ...]], limit: int
) -> Iterator[Result]:
    """Results in order until all jobs are done (then `pending` is empty) or a process died (it holds what is left)."""
    while True:
        pending.extend(_Task(jobs, _submit(pool, jobs)) for jobs in islice(tasks, limit - len(pending)))
        if not pending:
            return
        try:
            results = pending[0].results.result()
        except BrokenProcessPool:
            return
        pending.popleft()
        yield from results


def _results_one_by_one(
    start: Start[Job, Result], crashed: Callable[[Job], Result], pending: deque[_Task[Job, Result]]
) -> Iterator[tuple[Result, bool]]:
    """Empties `pending`, each unfinished job alone in a process; also whether the job killed it."""
    singles = deque(single for task in pending for single in _singles(task))
    pending.clear()
    while singles:
        with _worker_pool(start, 1) as pool:
            while singles:
                job, results = singles.popleft()
                try:
                    results = results or _submit(pool, (job,)).result()
                except BrokenProcessPool:
                    yield crashed(job), True
                    break
                yield results[0], False


def _singles(task: _Task[Job, Result]) -> Iterator[tuple[Job, list[Result]]]:
    """Each job of a task, with its result if the task was finished."""
    if task.results.done() and task.results.exception() is None:
        yield from ((job, [result]) for job, result in zip(task.jobs, task.results.result(), strict=True))
    else:
        yield from ((job, []) for job in task.jobs)


@contextmanager
def _worker_pool(start: Start[Any, Any], n_workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that are stopped, without doing what is still queued, when the block ends.

    They are spawned: a forked copy would share the locks of threads that it does not have.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(n_workers, mp_context=context, initializer=_prepare_worker, initargs=(start,))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, jobs: tuple[Any, ...]) -> Future[list[Any]]:
    """The future of a task's results; one that is broken already if the pool is."""
    try:
        with _spawn_conditions():
            return pool.submit(_do_jobs, jobs)
    except BrokenProcessPool as error:
        broken: Future[list[Any]] = Future()
        broken.set_exception(error)
        return broken


@contextmanager
def _spawn_conditions() -> Iterator[None]:
    """Lets processes spawned in the block inherit one numerical thread and no Ctrl-C (their parent stops them)."""
    before = {name: os.environ.get(name) for name in _WORKER_ENVIRONMENT}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
    os.environ.update(_WORKER_ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _prepare_worker(start: Start[Any, Any]) -> None:
    """First call in a new process: nothing that can fail, because a failure here would hide its reason."""
    global _start_work
    _start_work = start
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """Ends this process when its parent is gone, however it ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _do_jobs(jobs: tuple[Any, ...]) -> list[Any]:
    """The jobs of one task in a worker process; the first one loads the model."""
    global _work
    if _work is None:
        if _start_work is None:
            raise RuntimeError("a worker process must be prepared before its first job")
        _work = _start_work()
    return list(_work(jobs))
