"""Keeps what libraries say about untidy files from the screen and the log, where it could quote a patient's name."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

# Where the warnings come from; Pillow and pydicom attribute some of them to their caller.
_DECODERS = r"(PIL|pydicom|fetal_hc\.io|hc18\.dicom)(\.|$)"
_EARLY_END = "End of file reached"
_LOGGERS = ("PIL", "pydicom")

_lock = threading.Lock()
_n_readers = 0


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Ignores the warnings and log records of Pillow and pydicom; several threads may read at the same time.

    Python has one list of warning filters for all threads. The filters are therefore set by the first reader and
    removed by the last one, and they name the modules that they are for; warnings of others are shown as ever.

    Raises:
        UserWarning: in place of pydicom's warning that a file ends early, after which it returns an empty dataset.
    """
    mine = _RecordsOfThread(threading.get_ident())
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    _enter()
    for logger in loggers:
        logger.addFilter(mine)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(mine)
        _leave()


class _RecordsOfThread(logging.Filter):
    """Drops the records of one thread."""

    def __init__(self, thread: int) -> None:
        super().__init__()
        self._thread = thread

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record comes from another thread."""
        return record.thread != self._thread


def _enter() -> None:
    """Sets the filters again at every entry, since a test or `warnings.catch_warnings` may have replaced the list."""
    global _n_readers
    with _lock:
        _n_readers += 1
        warnings.filterwarnings("ignore", module=_DECODERS)
        warnings.filterwarnings("error", _EARLY_END, UserWarning, module=_DECODERS)


def _leave() -> None:
    """Removes the filters if nobody reads any more."""
    global _n_readers
    with _lock:
        _n_readers -= 1
        if _n_readers == 0:
            filters = cast(list[tuple[object, ...]], warnings.filters)
            filters[:] = [entry for entry in filters if not _is_ours(entry)]


def _is_ours(entry: tuple[object, ...]) -> bool:
    return getattr(entry[3], "pattern", "") == _DECODERS
