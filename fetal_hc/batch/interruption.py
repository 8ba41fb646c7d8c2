"""What Ctrl-C and a request to end do to a command that works on a batch."""

from __future__ import annotations

import os
import signal
from types import FrameType


def stop_at_signals(exit_code: int) -> None:
    """Lets Ctrl-C and SIGTERM end this process from now on: the first one in order, the second one at once.

    The first raises `KeyboardInterrupt`, so that processes are stopped and temporary files removed. A person who sends
    another one does not want to wait for that. Nothing is lost: finished results are on the disk, worker processes end
    with this one, and the next run removes what was left lying.

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
