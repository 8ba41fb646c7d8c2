"""Shard files give back exactly what was whole, whatever happened to their end."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fetal_hc.batch.checkpoint import shards as parts_module
from fetal_hc.batch.checkpoint.parquet_shards import read_parquet_shard, write_parquet_shard
from fetal_hc.batch.checkpoint.shards import (
    TASKS_PER_SHARD,
    CheckpointGoneError,
    Shard,
    ShardWriter,
    from_file_name,
    missing_ranges,
    read_extent,
    read_shard,
    shard_name,
)
from fetal_hc.batch.tasks import TaskResult
from fetal_hc.errors import FetalHCError
from fetal_hc.io.storage import FileStamp
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.rows import MEASUREMENT_TABLE, MeasurementRow, RowStatus
from tests.measured_rows import FULL_ROW

MEASURED = replace(
    FULL_ROW,
    file_name="größe,\n=1.png",
    hc_mm=0.1 + 0.2,
    hc_px=1 / 3,
    ellipse_px=Ellipse(1e-300, -0.0, 2.0 / 3.0, 0.1, 0.5),
)
UNREADABLE = MeasurementRow("b.png", RowStatus.UNREADABLE, "no image", pixel_size_source="none")


def _results(first: int, count: int) -> list[TaskResult[MeasurementRow]]:
    return [
        TaskResult(index, f"/data/{index}.png", FileStamp(7, index), (MEASURED, MEASURED))
        if index % 2
        else TaskResult(index, None, None, (UNREADABLE,))
        for index in range(first, first + count)
    ]


def _write(folder: Path, results: list[TaskResult[MeasurementRow]]) -> None:
    writer = ShardWriter(folder, MEASUREMENT_TABLE)
    for result in results:
        writer.append(result)
    writer.close()


def _read_all(folder: Path) -> list[TaskResult[MeasurementRow]]:
    parts = [part for path in sorted(folder.iterdir()) if (part := from_file_name(str(folder), path.name)) is not None]
    return [result for part in parts for result in read_shard(part, MEASUREMENT_TABLE)]


def test_numbers_and_texts_come_back_exactly(tmp_path: Path) -> None:
    _write(tmp_path, _results(0, 5))
    assert _read_all(tmp_path) == _results(0, 5)


def test_parquet_part_holds_the_same(tmp_path: Path) -> None:
    write_parquet_shard(str(tmp_path / "shard-000000000003.parquet"), _results(3, 4), MEASUREMENT_TABLE)
    assert list(read_parquet_shard(str(tmp_path / "shard-000000000003.parquet"), MEASUREMENT_TABLE)) == _results(3, 4)


def test_every_line_is_with_the_operating_system_before_the_next_is_begun(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, MEASUREMENT_TABLE)
    for count, result in enumerate(_results(0, 3), start=1):
        writer.append(result)
        assert len(_read_all(tmp_path)) == count
    writer.close()


@pytest.mark.parametrize("tail", [b"", b"\0" * 4096, b"garbage\n", b"00000000 {}\n"])
def test_whole_lines_survive_a_cut_at_any_byte(tmp_path: Path, tail: bytes) -> None:
    _write(tmp_path, _results(0, 3))
    path = tmp_path / shard_name(0, ".jsonl")
    content = path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(content) if byte == 10]
    for cut in range(0, len(content) + 1, 7):
        path.write_bytes(content[:cut] + tail)
        assert (
            list(read_shard(Shard(str(path), 0), MEASUREMENT_TABLE))
            == _results(0, 3)[: sum(end <= cut for end in ends)]
        )


def test_line_of_another_job_ends_the_part(tmp_path: Path) -> None:
    _write(tmp_path, _results(5, 2))
    (tmp_path / shard_name(5, ".jsonl")).rename(tmp_path / shard_name(4, ".jsonl"))
    assert _read_all(tmp_path) == []


def test_new_part_begins_where_jobs_are_left_out_and_every_few_thousand(tmp_path: Path) -> None:
    after_gap = TASKS_PER_SHARD + 9
    indices = (*range(TASKS_PER_SHARD + 1), after_gap, after_gap + 1)
    results = [TaskResult(index, None, None, (UNREADABLE,)) for index in indices]
    _write(tmp_path, results)
    firsts = (0, TASKS_PER_SHARD, after_gap)
    assert sorted(path.name for path in tmp_path.iterdir()) == [shard_name(first, ".jsonl") for first in firsts]
    assert _read_all(tmp_path) == results


def test_continued_part_replaces_one_without_a_whole_line(tmp_path: Path) -> None:
    (tmp_path / shard_name(0, ".jsonl")).write_bytes(b"torn")
    _write(tmp_path, _results(0, 2))
    assert _read_all(tmp_path) == _results(0, 2)


def test_data_reaches_the_disk_at_the_end_and_every_few_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(parts_module.os, "fsync", synced.append)
    writer = ShardWriter(tmp_path, MEASUREMENT_TABLE)
    clock = [parts_module.time.monotonic()]
    monkeypatch.setattr(parts_module.time, "monotonic", lambda: clock[0])
    for result in _results(0, 12):
        clock[0] += 0.5
        writer.append(result)
    writer.close()
    assert len(synced) == 1 + 2 + 1  # the folder, after 2.5 s twice, the end


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / shard_name(0, ".jsonl")).symlink_to("/dev/full")
    with pytest.raises(
        FetalHCError, match=r"shard-0+\.jsonl: cannot be written \(No space left on device\).*free some"
    ):
        ShardWriter(tmp_path, MEASUREMENT_TABLE).append(_results(0, 1)[0])


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(parts_module.os, "write", lambda descriptor, data: write(descriptor, data[:11]))
    _write(tmp_path, _results(0, 2))
    monkeypatch.undo()
    assert _read_all(tmp_path) == _results(0, 2)


def test_extent_of_a_part(tmp_path: Path) -> None:
    _write(tmp_path, _results(3, 4))
    part = read_extent(Shard(str(tmp_path / shard_name(3, ".jsonl")), 3), MEASUREMENT_TABLE, lambda _result: None)
    assert (part.n_tasks, part.n_rows, part.last_read) == (4, 6, "/data/5.png")


@pytest.mark.parametrize(
    ("extents", "expected"),
    [
        ([], [range(0, 10)]),
        ([(0, 10)], []),
        ([(0, 4)], [range(4, 10)]),
        ([(2, 3), (5, 1), (8, 2)], [range(0, 2), range(6, 8)]),
    ],
)
def test_missing_jobs(extents: list[tuple[int, int]], expected: list[range]) -> None:
    assert missing_ranges([Shard("", first, n_tasks) for first, n_tasks in extents], 10) == expected


@pytest.mark.parametrize(
    "name", ["shard-1.txt", "shard-x.jsonl", "batch.json", "lock", ".shard-000000000001.1.part.jsonl"]
)
def test_other_files_are_no_parts(name: str) -> None:
    assert from_file_name("folder", name) is None


def test_deleted_folder_is_noticed_at_the_next_write(tmp_path: Path) -> None:
    folder = tmp_path / "s.csv.parts"
    folder.mkdir()
    writer = ShardWriter(folder, MEASUREMENT_TABLE)
    first, second = _results(0, 2)
    writer.append(first)
    shutil.rmtree(folder)
    with pytest.raises(CheckpointGoneError, match=r"s\.csv\.parts/shard-0+\.jsonl: was deleted or moved"):
        writer.append(second)


def test_moved_folder_is_noticed_at_the_next_write(tmp_path: Path) -> None:
    folder = tmp_path / "s.csv.parts"
    folder.mkdir()
    writer = ShardWriter(folder, MEASUREMENT_TABLE)
    first, second = _results(0, 2)
    writer.append(first)
    folder.rename(tmp_path / "elsewhere")
    folder.mkdir()
    with pytest.raises(CheckpointGoneError):
        writer.append(second)


def test_name_that_is_not_utf8_survives_in_both_kinds_of_shards(tmp_path: Path) -> None:
    result = TaskResult(0, "/data/caf\udce9.png", FileStamp(7, 1), (replace(UNREADABLE, file_name="caf\udce9.png"),))
    _write(tmp_path, [result])
    assert _read_all(tmp_path) == [result]
    location = str(tmp_path / "shard-000000000000.parquet")
    write_parquet_shard(location, [result], MEASUREMENT_TABLE)
    (read,) = read_parquet_shard(location, MEASUREMENT_TABLE)
    assert (read.path, read.rows[0].file_name) == (result.path, "caf\\udce9.png")
