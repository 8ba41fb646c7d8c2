"""Batches that are killed or stopped at random moments, and two processes that write at once.

Every trial is made from random bytes. It returns "held" or raises an error that says what did not hold: a result that
is lost, doubled or different, a temporary file that is left, a traceback or a Python warning on the terminal, a process
that sleeps on. Processes are forked, so that a trial does not have to wait for libraries to load.
"""

import importlib
import os
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tests.faults.crash_points import LIBRARIES
from tests.faults.processes import descendants, is_running
from tests.synthetic_heads import write_head_folder
from tests.synthetic_model import head_spec, write_bright_object_model

ROOT = Path(__file__).resolve().parents[2]
N_IMAGES = 12
N_ROWS = 400  # of the manifest of a batch that is stopped
N_EVENTS = 5  # by each writer of a review store
_PATIENCE_S = 240.0  # by the clock; the machine may be busy
_LIBRARIES = (*LIBRARIES, "hc18.reviews.store", "tests.hc18.reviews.cases")
_FROM_PYTHON = ("Traceback", "Warning")  # the C libraries of Pillow print lines of their own


@dataclass(frozen=True)
class Trial:
    """A batch and the files that it gives when nothing disturbs it.

    Attributes:
        arguments: of fetal-hc score, without the output.
        expected: the result files by name.
        seconds: how long the undisturbed batch took.
    """

    arguments: list[str]
    expected: dict[str, bytes]
    seconds: float


def killed_batch(data: bytes, folder: Path) -> str:
    """SIGKILL at a random moment, then --resume."""
    moments, batch = np.random.default_rng(list(data)), _batch(folder, "images", "--pixel-sizes")
    with TemporaryDirectory(dir=folder) as output:
        kill_after_s = moments.uniform(0.0, batch.seconds)
        while True:
            process = _started_batch(batch, Path(output), "--resume")
            time.sleep(kill_after_s)
            os.kill(process, signal.SIGKILL)
            code = _exit_code(process)
            if code == -signal.SIGKILL:
                break
            assert code == 0, f"exit code {code} before the kill"
            kill_after_s *= 0.8  # it was faster than the undisturbed one
            for path in Path(output).iterdir():
                path.unlink()
        _check_finished(_exit_code(_started_batch(batch, Path(output), "--resume")), batch, Path(output))
    return "held"


def two_interrupts(data: bytes, folder: Path) -> str:
    """Ctrl-C twice at random moments in a batch with worker processes, then --resume."""
    moments, batch = np.random.default_rng(list(data)), _batch(folder, "manifest.csv", "")
    with TemporaryDirectory(dir=folder) as name:
        output = Path(name)
        line = [sys.executable, str(ROOT / "tools" / "score.py"), *batch.arguments, "--output", str(output / "s.csv")]
        line += ["--runner", "pool", "--workers", "2"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(line, text=True, start_new_session=True, **pipes) as process:  # type: ignore[call-overload]
            while not list(output.glob("s.csv.parts/shard-*")) and process.poll() is None:
                time.sleep(0.01)
            time.sleep(moments.uniform(0.0, 0.3))
            workers = descendants(process.pid)
            for _ in range(2):
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGINT)  # what a terminal does: all processes get it
                    time.sleep(moments.uniform(0.0, 0.3))
            try:
                _, errors = process.communicate(timeout=_PATIENCE_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise AssertionError("the command sleeps on") from None
        assert process.returncode in (0, 130, -signal.SIGINT), f"exit code {process.returncode}: {errors}"
        _check_terminal(errors)
        deadline = time.monotonic() + _PATIENCE_S
        while any(map(is_running, workers)):
            assert time.monotonic() < deadline, "a worker sleeps on"
            time.sleep(0.05)
        _check_finished(_exit_code(_started_batch(batch, output, "--resume")), batch, output)
    return "held"


def two_writers_of_one_output(data: bytes, folder: Path) -> str:
    """Two batches that write the same files, the second begun at a random moment of the first."""
    moments, batch = np.random.default_rng(list(data)), _batch(folder, "images", "--pixel-sizes")
    with TemporaryDirectory(dir=folder) as output:
        processes = []
        for log in ("first.log", "second.log"):
            more = ["--resume"] if moments.random() < 0.5 else []
            processes.append(_started_batch(batch, Path(output), *more, log=log))
            time.sleep(moments.uniform(0.0, batch.seconds))
        codes = sorted(map(_exit_code, processes))
        assert codes in ([0, 0], [0, 2]), f"exit codes {codes}: {_logs(Path(output))}"
        _check_finished(0, batch, Path(output))
    return "held"


def two_writers_of_one_store(data: bytes, folder: Path) -> str:
    """Two reviewers who open a new store and review the same case at once; one of them may be killed."""
    moments = np.random.default_rng(list(data))
    with TemporaryDirectory(dir=folder) as name:
        store = str(Path(name) / "reviews.sqlite")
        reviewers = [(reviewer, *os.pipe()) for reviewer in ("ann", "bob")]
        processes = []
        for reviewer, _, writer in reviewers:
            processes.append(_forked(lambda r=reviewer, w=writer: _review(store, r, w), Path(name) / f"{reviewer}.log"))
            os.close(writer)
        is_killed = moments.random() < 0.5
        if is_killed:
            time.sleep(moments.uniform(0.0, 0.3))
            os.kill(processes[0], signal.SIGKILL)
        saved = {}
        for reviewer, reader, _ in reviewers:
            with os.fdopen(reader) as stream:
                saved[reviewer] = [int(line) for line in stream.read().split("\n")[:-1]]
        codes = [_exit_code(process) for process in processes]
        _check_terminal(_logs(Path(name)))
        assert codes in ([0, 0], [-signal.SIGKILL, 0]) if is_killed else codes == [0, 0], f"{codes} {_logs(Path(name))}"
        check = _forked(lambda: _check_store(store, saved, is_killed), Path(name) / "check.log")
        assert _exit_code(check) == 0, _logs(Path(name))
    return "held"


def _review(store_url: str, reviewer: str, writer: int) -> int:
    """Accepts and rejects case 1 a few times, and writes every revision that it saved."""
    from hc18.reviews.models import ReviewAction, ReviewConflict
    from hc18.reviews.store import ReviewStore
    from tests.hc18.reviews.cases import new_case

    n_saved = 0
    with ReviewStore(store_url) as store:
        store.register_case(new_case(1), reviewer)
        while n_saved < N_EVENTS:
            state = store.state(1)
            action = ReviewAction.REJECT if state.decision == "accepted" else ReviewAction.ACCEPT
            try:
                revision = store.append(1, state.revision, action, reviewer, reason="why").revision
            except ReviewConflict:
                continue
            os.write(writer, f"{revision}\n".encode())
            n_saved += 1
    return 0


def _check_store(store_url: str, saved: dict[str, list[int]], is_killed: bool) -> int:
    """Returns 0 if the store has each saved review once, and is intact."""
    from hc18.reviews.store import ReviewStore

    with ReviewStore(store_url) as store:
        assert store.verify().problems == (), store.verify().problems
        events = store.events(1)
    assert [event.revision for event in events] == list(range(1, len(events) + 1))
    for reviewer, revisions in saved.items():
        kept = [event.revision for event in events[1:] if event.reviewer == reviewer]
        n_untold = len(kept) - len(revisions)  # one may be saved and not be told any more by a killed process
        assert kept[: len(revisions)] == revisions, (kept, revisions)
        assert 0 <= n_untold <= is_killed, (kept, revisions)
    return 0


def _batch(folder: Path, images: str, sizes_option: str) -> Trial:
    """A batch of small images, in a folder that the trials of one process share."""
    home = folder / f"batch of {images}"
    heads, expected = home / "data", home / "expected"
    bright = home / "bright.onnx"
    arguments = ["--model", str(bright), "--threads", "1", "--runner", "serial"]
    known = _BATCHES.get(home)
    if known is not None:
        return known
    expected.mkdir(parents=True)
    written = write_head_folder(heads, N_IMAGES)
    write_bright_object_model(bright, head_spec(min_size=0))
    if sizes_option:
        arguments += ["--images", str(written.images), sizes_option, str(written.pixel_sizes)]
    else:
        names = sorted(path.name for path in written.images.glob("*.png"))
        rows = "".join(f"{names[n % N_IMAGES]},{n},0.5\n" for n in range(N_ROWS))
        (written.images / images).write_text("path,id,pixel_size_mm\n" + rows)
        arguments += ["--manifest", str(written.images / images)]
    undisturbed = Trial(arguments, {}, 0.0)
    started = time.monotonic()
    code = _exit_code(_started_batch(undisturbed, expected))
    assert code == 0, f"the undisturbed batch ended with {code}: {_logs(expected)}"
    files = {path.name: path.read_bytes() for path in expected.iterdir() if path.suffix != ".log"}
    assert sorted(files) == ["s.csv", "s_details.csv"]
    _BATCHES[home] = Trial(arguments, files, time.monotonic() - started)
    return _BATCHES[home]


_BATCHES: dict[Path, Trial] = {}


def _started_batch(batch: Trial, output: Path, *more: str, log: str = "batch.log") -> int:
    """Process id of fetal-hc score with these files to write."""
    from fetal_hc_cli.score import main

    return _forked(lambda: main([*batch.arguments, "--output", str(output / "s.csv"), *more]), output / log)


def _forked(function: Callable[[], int], log: Path) -> int:
    """Process id of a copy of this process that ends with the function's exit code; what it says goes to the log."""
    for module in _LIBRARIES:  # once, before the first copy
        importlib.import_module(module)
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        warnings.resetwarnings()
        code = function()
    except BaseException:  # noqa: BLE001  # what a terminal would show
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _exit_code(process: int) -> int:
    """Exit status of a forked process, negative if a signal ended it; one that sleeps on is killed."""
    deadline = time.monotonic() + _PATIENCE_S
    while (ended := os.waitpid(process, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            raise AssertionError("a process sleeps on")
        time.sleep(0.005)
    return os.waitstatus_to_exitcode(ended[1])


def _check_finished(code: int, batch: Trial, output: Path) -> None:
    """Returns if a batch ended well with the files of an undisturbed one, and nothing else."""
    _check_terminal(_logs(output))
    assert code == 0, f"exit code {code}: {_logs(output)}"
    found = {path.name: path.read_bytes() if path.is_file() else b"" for path in output.iterdir()}
    files = {name: data for name, data in found.items() if not name.endswith(".log")}
    assert files == batch.expected, f"files {sorted(files)} differ: {_logs(output)}"


def _check_terminal(text: str) -> None:
    """Returns if a command said nothing that only a programmer understands."""
    assert not any(word in text for word in _FROM_PYTHON), text[-300:]


def _logs(folder: Path) -> str:
    """What the processes of a trial said."""
    return "\n".join(path.read_text(errors="replace") for path in sorted(folder.glob("*.log")))[-600:]
