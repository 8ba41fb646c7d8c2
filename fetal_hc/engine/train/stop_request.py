"""SIGTERM and Ctrl-C as a wish to stop at the next safe point."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

logger = logging.getLogger(__name__)


class StopRequest:
    """Remembers SIGTERM or SIGINT, so that the loop can finish its iteration; a second Ctrl-C stops at once."""

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
