"""Notices that the storage of the images is gone, so that a batch stops instead of calling every image unreadable."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

from fetal_hc.batch.tasks import RowT, TaskResult
from fetal_hc.errors import DatasetError
from fetal_hc.io.storage import is_reachable

FAILURES_IN_A_ROW = 20


def until_storage_is_gone(
    results: Iterable[TaskResult[RowT]], last_read: str | None = None
) -> Generator[TaskResult[RowT], None, None]:
    """The results, held back while one file after the other cannot be read.

    After `FAILURES_IN_A_ROW` such files, or fewer up to one that could be read or the end, the last file that could be
    read is looked for. If it is gone too, together with everything in its folder, the storage is gone and the failures
    are not the fault of the files.

    Args:
        results: in the order of the batch.
        last_read: a file that could be read before, if there was one.

    Raises:
        DatasetError: if the storage is gone; the results held back are lost, those before are complete.
    """
    held: list[TaskResult[RowT]] = []
    for result in results:
        if result.path is not None and result.stamp is None:
            held.append(result)
            if len(held) < FAILURES_IN_A_ROW:
                continue
            _check_storage(held, last_read)
            yield from held
        else:
            last_read = result.path or last_read
            _check_storage(held, last_read)  # processes read ahead: this one may have been read before those failed
            yield from held
            yield result
        held.clear()
    _check_storage(held, last_read)
    yield from held


def _check_storage(failed: Sequence[TaskResult[RowT]], last_read: str | None) -> None:
    """Returns if the files that failed are to blame themselves.

    Raises:
        DatasetError: if the last file that could be read cannot be found either.
    """
    if failed and last_read is not None and not is_reachable(last_read):
        raise DatasetError(
            f"{last_read}: could be read before and is gone now, as are the {len(failed)} images after it "
            f"({failed[-1].rows[0].reason}); bring the folder or storage back"
        )
