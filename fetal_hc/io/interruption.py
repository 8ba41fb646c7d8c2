"""Ctrl-C and SIGTERM in a command: a batch ends in order, a training first finishes its iteration."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

logger = logging.getLogger(__name__)


def stop_at_signals(exit_code: int) -> None:
    """Lets Ctrl-C and SIGTERM end this process from now on: the first one in order, the second one at once.

    The first raises `KeyboardInterrupt`, so that processes are stopped and temporary files removed. A person who sends
    another one does not want to wait for that. Nothing is lost: finished results are on the disk, worker processes end
    with this one, and the next run removes leftover files.

    Args:
        exit_code: of the process after a second signal.
    """
    n_signals = 0

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal n_signals
        n_signals += 1
        if n_signals > 1:
            os._exit(exit_code)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


class StopRequest:
    """Remembers SIGTERM or Ctrl-C, so that a loop can finish its iteration; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.signal_number = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within the block (in the main thread) the two signals are requests."""

        def remember(signal_number: int, _frame: FrameType | None) -> None:
            if self.signal_number == signal.SIGINT == signal_number:
                raise KeyboardInterrupt
            self.signal_number = signal_number
            logger.info("%s received: finishing the iteration", signal.Signals(signal_number).name)

        previous = {number: signal.signal(number, remember) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
