"""Runners keep the order, bound what is in flight, survive a dying process and stop cleanly."""

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from fetal_hc.batch.runners import RUNNERS, Runner, run_pool, run_serial
from fetal_hc.errors import FetalHCError, ModelError

KILLS_ITS_PROCESS = -1


def _square(job: int) -> int:
    if job == KILLS_ITS_PROCESS:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.002 * (job % 3))
    return job * job


def _start_square() -> Callable[[Iterable[int]], Iterator[int]]:
    return functools.partial(map, _square)


def _start_failing() -> Callable[[Iterable[int]], Iterator[int]]:
    raise ModelError("m.onnx: cannot be loaded")


def _start_environment() -> Callable[[Iterable[str]], Iterator[str]]:
    return functools.partial(map, os.environ.get)


def _crashed(job: int) -> int:
    return -999


@pytest.mark.parametrize("runner", RUNNERS.values())
def test_results_come_in_the_order_of_the_jobs(runner: Runner) -> None:
    assert list(runner(_start_square, _crashed, range(30), 2)) == [n * n for n in range(30)]


def test_no_jobs_give_no_results() -> None:
    assert list(run_pool(_start_square, _crashed, [], 2)) == []


@pytest.mark.parametrize(("runner", "most_ahead"), [(run_serial, 1), (run_pool, 16)])
def test_jobs_are_taken_only_when_there_is_room(runner: Runner, most_ahead: int) -> None:
    taken = 0

    def jobs() -> Iterator[int]:
        nonlocal taken
        while taken < 60:
            taken += 1
            yield taken

    ahead = [taken - done for done, _ in enumerate(runner(_start_square, _crashed, jobs(), 2))]
    assert max(ahead) == most_ahead


@pytest.mark.parametrize("runner", RUNNERS.values())
def test_error_while_loading_reaches_the_caller(runner: Runner) -> None:
    with pytest.raises(ModelError, match=r"m\.onnx: cannot be loaded"):
        list(runner(_start_failing, _crashed, [1, 2], 1))


def test_job_that_kills_its_process_loses_only_itself() -> None:
    jobs = [1, 2, KILLS_ITS_PROCESS, 4, 5, 6, 7, 8, 9, 10]
    assert list(run_pool(_start_square, _crashed, jobs, 1)) == [1, 4, -999, 16, 25, 36, 49, 64, 81, 100]


def test_processes_that_keep_dying_end_the_batch() -> None:
    with pytest.raises(FetalHCError, match=r"keep dying \(5 in a row\)"):
        list(run_pool(_start_square, _crashed, [KILLS_ITS_PROCESS] * 20, 1))


def test_workers_compute_with_one_thread_and_the_parent_is_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    assert list(run_pool(_start_environment, _crashed, ["OMP_NUM_THREADS", "MKL_NUM_THREADS"], 1)) == ["1", "1"]
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


SCRIPT = """
import os, sys, time
from fetal_hc.batch.runners import run_pool

def work(jobs):
    for job in jobs:
        time.sleep(0.05)
        yield os.getpid()

def start():
    return work

if __name__ == "__main__":
    for n, pid in enumerate(run_pool(start, None, range(1000), 2)):
        if n < 20:
            print(pid, flush=True)
"""


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads process states from /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_worker_processes_end_with_their_parent(tmp_path: Path, repository_root: Path, how: signal.Signals) -> None:
    script = tmp_path / "batch.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(repository_root)}
    command = [sys.executable, str(script)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stderr is not None
        workers = {int(parent.stdout.readline()) for _ in range(20)}
        if how is signal.SIGINT:
            os.killpg(parent.pid, how)  # what a terminal does: parent and workers get it
        else:
            parent.kill()
        errors = parent.stderr.read()
        parent.wait(timeout=60)
    deadline = time.monotonic() + 60
    while any(map(_is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(_is_running, workers))
    assert errors.count("Traceback") == (1 if how is signal.SIGINT else 0)  # the parent's own KeyboardInterrupt
