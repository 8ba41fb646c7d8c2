"""Kills a command before each of its changes of the file system in turn, and runs it again.

    python tests/faults/crash_points.py COMMAND_MODULE OUTPUT_FOLDER ARGUMENTS...

runs `COMMAND_MODULE.main(ARGUMENTS)` and kills it just before its first, second, ... renaming, removal or creation of a
file or folder. The same command must then finish with the files of an undisturbed run. What did not is printed to the
error output, after one line about the undisturbed run.
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LIBRARIES = (
    "fetal_hc_cli.score",
    "onnxruntime",
    "pandas",
    "fsspec.implementations.local",
    "multiprocessing.synchronize",
)
CHANGES = ("replace", "rename", "unlink", "remove", "rmdir", "mkdir")


class Killer:
    """Counts changes and kills the process before one of them.

    Attributes:
        n_changes: changes so far.
    """

    def __init__(self, kill_before: int) -> None:
        self.n_changes = 0
        self._kill_before = kill_before

    def install(self) -> None:
        """Watches the functions of `os` that change names, also those opened for creation."""
        for name in CHANGES:
            setattr(os, name, self._watched(getattr(os, name)))
        original = os.open

        def watched_open(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
            if flags & os.O_CREAT:
                self._count()
            return original(path, flags, *arguments, **options)

        os.open = watched_open

    def _watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            self._count()
            return function(*arguments, **options)

        return watched

    def _count(self) -> None:
        self.n_changes += 1
        if self.n_changes == self._kill_before:
            os.kill(os.getpid(), signal.SIGKILL)


def run_and_kill(command: Callable[[list[str]], int], arguments: list[str], kill_before: int) -> tuple[int, int]:
    """Exit status of a command in a process of its own, negative if it was killed, and its number of changes."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        killer = Killer(kill_before)
        killer.install()
        code = command(arguments)
        os.write(writer, str(killer.n_changes).encode())
        sys.stdout.flush()
        os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as stream:
        n_changes = int(stream.read() or 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), n_changes


def try_every_moment(command: Callable[[list[str]], int], arguments: list[str], output: Path) -> Iterator[str]:
    """What went wrong: one line for every moment at which a kill was not made good by the next run."""
    code, n_changes = run_and_kill(command, arguments, 0)
    expected = {path.name: path.read_bytes() for path in output.iterdir()}
    yield f"undisturbed: exit code {code}, {n_changes} changes"
    for number in range(1, n_changes + 1):
        for path in output.iterdir():
            path.unlink()
        killed, _ = run_and_kill(command, arguments, number)
        resumed, _ = run_and_kill(command, arguments, 0)
        found = {path.name: path.read_bytes() for path in output.iterdir()}
        if (killed, resumed) != (-signal.SIGKILL, 0) or found != expected:
            yield f"killed before change {number}: {killed}, then {resumed}, files {sorted(found)}"


if __name__ == "__main__":
    module, folder, *rest = sys.argv[1:]
    for library in LIBRARIES:  # once, before the first copy of this process
        importlib.import_module(library)
    for line in try_every_moment(importlib.import_module(module).main, rest, Path(folder)):
        print(line, file=sys.stderr, flush=True)
