"""Kills a command at one of its changes of the file system, as a power switch would, so that every moment can be tried.

    python tests/faults/crash_points.py N COMMAND_MODULE ARGUMENTS...

runs `COMMAND_MODULE.main(ARGUMENTS)` and kills the process just before its N-th renaming, removal or creation of a file
or folder. Without a kill it prints how many there were.
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

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


if __name__ == "__main__":
    command = importlib.import_module(sys.argv[2])
    killer = Killer(int(sys.argv[1]))
    killer.install()
    code = command.main(sys.argv[3:])
    print(f"changes {killer.n_changes}")
    sys.exit(code)
