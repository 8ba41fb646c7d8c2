"""Runners of a batch: one task after the other, or several processes. Results come in the order of the tasks.

A runner gets `start`, which builds the function that does a stream of tasks, one result each in their order. It is
called once per process, so that a model is loaded once. Tasks are taken from their iterator only when there is room for
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
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from fetal_hc.errors import FetalHCError

Task = TypeVar("Task")
Result = TypeVar("Result")
Stream = Callable[[Iterable[Task]], Iterator[Result]]
Start = Callable[[], Stream[Task, Result]]
Runner = Callable[[Start[Any, Any], Callable[[Any], Any], Iterable[Any], int], Generator[Any, None, None]]

_TASKS_PER_CHUNK = 4  # a process reads ahead within a chunk
_CHUNKS_IN_FLIGHT_PER_WORKER = 2
_MAX_CRASHES_IN_A_ROW = 5
# One thread per process in numerical libraries: the processes already fill the cores. Where a command was ended at
# once, Python's own helper process removes its locks, and no warning about them reaches the terminal.
_WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONWARNINGS": "ignore::UserWarning:multiprocessing.resource_tracker",
}

_start_work: Start[Any, Any] | None = None  # set in worker processes only
_work: Stream[Any, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Chunk(Generic[Task, Result]):
    """A few tasks that one process does together."""

    tasks: tuple[Task, ...]
    results: Future[list[Result]]


def run_serial(
    start: Start[Task, Result], crashed: Callable[[Task], Result], tasks: Iterable[Task], n_workers: int
) -> Generator[Result, None, None]:
    """Results of all tasks, done in this process.

    Args:
        start: builds the function that does the tasks.
        crashed: not called; a crash ends this process.
        tasks: consumed as that function does.
        n_workers: ignored.
    """
    yield from start()(tasks)


def run_pool(
    start: Start[Task, Result], crashed: Callable[[Task], Result], tasks: Iterable[Task], n_workers: int
) -> Generator[Result, None, None]:
    """Results of all tasks, done in `n_workers` new processes.

    When a process dies (killed, out of memory, a crash in a decoder), the tasks it may have been working on are done
    again one by one, so that only the task that kills its process is lost. Closing the iterator, or Ctrl-C, stops the
    processes; they also end when this process is killed.

    Args:
        start: builds the function that does tasks; pickled.
        crashed: result for a task that killed its process.
        tasks: consumed a few per process ahead of the results.
        n_workers: number of processes, at least 1.

    Raises:
        FetalHCError: if processes keep dying.
        Exception: what `start` or a task raised.
    """
    chunks = _cut(tasks, n_workers)
    n_crashes_in_a_row = 0
    pending: deque[_Chunk[Task, Result]] = deque()
    while True:
        with _worker_pool(start, n_workers) as pool:
            for outcome in _results_until_crash(pool, pending, chunks, n_workers * _CHUNKS_IN_FLIGHT_PER_WORKER):
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


def _cut(tasks: Iterable[Task], n_workers: int) -> Iterator[tuple[Task, ...]]:
    """The tasks of each chunk: one at first, so that a short batch is shared by all processes, then several."""
    remaining = iter(tasks)
    for size in chain(repeat(1, n_workers * _CHUNKS_IN_FLIGHT_PER_WORKER), repeat(_TASKS_PER_CHUNK)):
        chunk = tuple(islice(remaining, size))
        if not chunk:
            return
        yield chunk


def _results_until_crash(
    pool: ProcessPoolExecutor, pending: deque[_Chunk[Task, Result]], chunks: Iterator[tuple[Task, ...]], limit: int
) -> Iterator[Result]:
    """Results in order until all tasks are done (then `pending` is empty) or a process died (it holds what is left)."""
    while True:
        pending.extend(_Chunk(tasks, _submit(pool, tasks)) for tasks in islice(chunks, limit - len(pending)))
        if not pending:
            return
        try:
            results = pending[0].results.result()
        except BrokenProcessPool:
            return
        pending.popleft()
        yield from results


def _results_one_by_one(
    start: Start[Task, Result], crashed: Callable[[Task], Result], pending: deque[_Chunk[Task, Result]]
) -> Iterator[tuple[Result, bool]]:
    """Empties `pending`, each unfinished task alone in a process; also whether the task killed it."""
    singles = deque(single for chunk in pending for single in _singles(chunk))
    pending.clear()
    while singles:
        with _worker_pool(start, 1) as pool:
            while singles:
                task, results = singles.popleft()
                try:
                    results = results or _submit(pool, (task,)).result()
                except BrokenProcessPool:
                    yield crashed(task), True
                    break
                yield results[0], False


def _singles(chunk: _Chunk[Task, Result]) -> Iterator[tuple[Task, list[Result]]]:
    """Each task of a chunk, with its result if the chunk was finished."""
    if chunk.results.done() and chunk.results.exception() is None:
        yield from ((task, [result]) for task, result in zip(chunk.tasks, chunk.results.result(), strict=True))
    else:
        yield from ((task, []) for task in chunk.tasks)


@contextmanager
def _worker_pool(start: Start[Any, Any], n_workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that are stopped, without doing what is still queued, when the block ends.

    They are spawned: a forked copy would share the locks of threads that it does not have. If the block ends early (an
    error, Ctrl-C, a closed iterator), they end at once, in the middle of a task.
    """
    context = multiprocessing.get_context("spawn")
    with _spawn_conditions():
        resource_tracker.ensure_running()
    stop_reader, stop_writer = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        n_workers, mp_context=context, initializer=_prepare_worker, initargs=(start, stop_reader)
    )
    try:
        yield pool
    except BaseException:
        stop_writer.close()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        stop_writer.close()
        stop_reader.close()


def _submit(pool: ProcessPoolExecutor, tasks: tuple[Any, ...]) -> Future[list[Any]]:
    """The future of a chunk's results; one that is broken already if the pool is."""
    try:
        with _spawn_conditions():
            return pool.submit(_do_tasks, tasks)
    except BrokenProcessPool as error:
        broken: Future[list[Any]] = Future()
        broken.set_exception(error)
        return broken


@contextmanager
def _spawn_conditions() -> Iterator[None]:
    """Lets processes spawned in the block inherit `_WORKER_ENVIRONMENT` and no Ctrl-C (their parent stops them)."""
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


def _prepare_worker(start: Start[Any, Any], stop_reader: Connection) -> None:
    """First call in a new process: nothing that can fail, because a failure here would hide its reason."""
    global _start_work
    _start_work = start
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, args=(stop_reader,), daemon=True).start()


def _exit_with_parent(stop_reader: Connection) -> None:
    """Ends this process when its parent closes the other end of the pipe, or is gone, however it ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel, stop_reader])
        os._exit(1)


def _do_tasks(tasks: tuple[Any, ...]) -> list[Any]:
    """The tasks of one chunk in a worker process; the first one loads the model."""
    global _work
    if _work is None:
        if _start_work is None:
            raise RuntimeError("a worker process must be prepared before its first task")
        _work = _start_work()
    return list(_work(tasks))
