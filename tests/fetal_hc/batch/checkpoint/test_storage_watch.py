"""A batch stops when its storage is gone, and not when single files are."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fetal_hc.batch.checkpoint.storage_watch import FAILURES_IN_A_ROW, until_storage_is_gone
from fetal_hc.batch.tasks import TaskResult
from fetal_hc.errors import DatasetError
from fetal_hc.io.storage import FileStamp
from hc18.measurement.rows import MeasurementRow, RowStatus


def _result(index: int, path: Path | None, *, is_read: bool) -> TaskResult[MeasurementRow]:
    row = MeasurementRow(f"{index}.png", RowStatus.UNREADABLE, "no such file")
    return TaskResult(index, path and str(path), FileStamp(1, 1) if is_read else None, (row,))


def test_unreadable_files_pass_in_order_while_the_storage_is_there(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    good.write_bytes(b"x")
    results = [_result(index, good, is_read=index % 30 == 0) for index in range(100)]
    assert list(until_storage_is_gone(results)) == results


def test_results_after_the_storage_was_gone_are_not_passed_on(tmp_path: Path) -> None:
    results = [_result(index, tmp_path / "gone.png", is_read=index < 3) for index in range(100)]
    passed = []

    def consume() -> None:
        for result in until_storage_is_gone(iter(results)):
            passed.append(result)

    with pytest.raises(DatasetError, match=r"gone\.png: could be read before and is gone now.*bring the folder"):
        consume()
    assert passed == results[:3]


def test_file_that_another_process_had_read_before_does_not_blame_those_that_failed(tmp_path: Path) -> None:
    """Two processes: the third file failed after the storage went, the fourth had been opened before."""
    results = [_result(index, tmp_path / "gone.png", is_read=index != 2) for index in range(4)]
    passing = until_storage_is_gone(results)
    assert [next(passing), next(passing)] == results[:2]
    with pytest.raises(DatasetError, match="bring the folder or storage back"):
        next(passing)


def test_images_that_are_deleted_once_they_are_measured_do_not_stop_a_batch(tmp_path: Path) -> None:
    (tmp_path / "next.png").write_bytes(b"x")
    results = [_result(index, tmp_path / "deleted.png", is_read=index < 3) for index in range(30)]
    assert list(until_storage_is_gone(results)) == results


def test_storage_is_looked_for_after_a_few_failures_and_at_the_end(tmp_path: Path) -> None:
    taken = 0

    def results(count: int) -> Iterator[TaskResult[MeasurementRow]]:
        nonlocal taken
        for taken in range(1, count + 1):  # read by the test
            yield _result(taken, tmp_path / "gone.png", is_read=taken == 1)

    for count in (2, 500):
        with pytest.raises(DatasetError, match="bring the folder or storage back"):
            list(until_storage_is_gone(results(count)))
        assert taken == min(count, FAILURES_IN_A_ROW + 1)


def test_batch_without_a_single_readable_file_is_not_stopped(tmp_path: Path) -> None:
    results = [_result(index, tmp_path / "gone.png", is_read=False) for index in range(50)]
    assert list(until_storage_is_gone(results)) == results


def test_file_of_an_earlier_run_tells_that_the_storage_is_gone(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="earlier"):
        list(until_storage_is_gone([_result(0, tmp_path / "a.png", is_read=False)], str(tmp_path / "earlier.png")))
