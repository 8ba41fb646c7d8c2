"""Faults in the middle of a batch, injected for real: the image they hit gets a reason, every other row is right."""

import multiprocessing
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image

from fetal_hc.batch.checkpoint.storage_watch import FAILURES_IN_A_ROW
from fetal_hc.errors import DatasetError, FetalHCError
from hc18.measurement.batches import MeasureSettings, measure_batch, measure_files
from hc18.measurement.details import read_details
from hc18.measurement.pixel_size_rules import open_source
from hc18.measurement.rows import MeasurementRow, RowStatus
from tests.synthetic_heads import write_head_folder

N_IMAGES = 8
BROKEN = 3  # number of the image that the faults hit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight images and a manifest of them, `m.csv`."""
    heads = write_head_folder(tmp_path / "data", N_IMAGES)
    rows = "".join(f"{name},{index},{size}\n" for index, (name, size) in enumerate(heads.pixel_sizes_mm.items()))
    (heads.images / "m.csv").write_text("path,id,pixel_size_mm\n" + rows)
    return heads.images


def _path(folder: Path, index: int) -> Path:
    return folder / f"{N_IMAGES - 1 - index:03d}_HC.png"


def _score(manifest: Path, model: Path, runner: str = "serial") -> list[MeasurementRow]:
    return list(measure_files(manifest, settings=MeasureSettings(model=model, runner=runner, workers=2, threads=1)))


@pytest.fixture
def expected(folder: Path, bright_model: Path) -> list[MeasurementRow]:
    """The rows without a fault."""
    rows = _score(folder / "m.csv", bright_model)
    assert [row.status for row in rows] == [RowStatus.OK] * N_IMAGES
    return rows


def _check(rows: list[MeasurementRow], expected: list[MeasurementRow], status: RowStatus, reason: str) -> None:
    """Only the broken image differs, and says why."""
    assert [row for index, row in enumerate(rows) if index != BROKEN] == [
        row for index, row in enumerate(expected) if index != BROKEN
    ]
    broken = rows[BROKEN]
    assert (broken.file_name, broken.status, broken.hc_mm) == (str(BROKEN), status, None)
    assert reason in broken.reason


def _bomb(path: Path) -> None:
    """A small file that announces 400 million pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT")


@pytest.mark.parametrize(
    ("fault", "reason", "runner"),
    [
        ("folder", "folder, pipe or device", "serial"),
        ("pipe", "folder, pipe or device", "serial"),
        ("input error", "Input/output error", "pool"),
        ("gone", "No such file", "serial"),
        ("empty", "is not a PNG", "serial"),
        ("bomb", "20000 x 20000 pixels", "serial"),
    ],
)
def test_unreadable_path_in_mid_batch(
    folder: Path, bright_model: Path, expected: list[MeasurementRow], fault: str, reason: str, runner: str
) -> None:
    path = _path(folder, BROKEN)
    path.unlink()
    if fault == "folder":
        path.mkdir()
    elif fault == "pipe":
        os.mkfifo(path)
    elif fault == "input error":
        path.symlink_to("/proc/self/mem")
    elif fault == "empty":
        path.touch()
    elif fault == "bomb":
        _bomb(path)
    _check(_score(folder / "m.csv", bright_model, runner), expected, RowStatus.UNREADABLE, reason)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX permissions")
def test_image_without_permission_in_mid_batch(
    folder: Path, bright_model: Path, expected: list[MeasurementRow]
) -> None:
    with tempfile.TemporaryDirectory() as open_to_all:
        copy = Path(open_to_all) / "images"
        shutil.copytree(folder, copy)
        model = Path(shutil.copy(bright_model, open_to_all))
        for path in (Path(open_to_all), copy, model, *copy.iterdir()):
            path.chmod(0o755)
        _path(copy, BROKEN).chmod(0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            rows = _score(copy / "m.csv", model)
        finally:
            os.seteuid(user)
    _check(rows, expected, RowStatus.UNREADABLE, "Permission denied")


def test_image_that_is_rewritten_all_the_time(
    folder: Path, bright_model: Path, expected: list[MeasurementRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, fstat = _path(folder, BROKEN), os.fstat

    def touched(descriptor: int) -> os.stat_result:
        if os.path.samestat(fstat(descriptor), broken.stat()):
            os.utime(broken, ns=(0, broken.stat().st_mtime_ns + 1_000_000))
        return fstat(descriptor)

    monkeypatch.setattr(os, "fstat", touched)
    _check(_score(folder / "m.csv", bright_model), expected, RowStatus.UNREADABLE, "changes while it is read")


def test_manifest_with_faulty_rows(
    folder: Path, bright_model: Path, expected: list[MeasurementRow], tmp_path: Path
) -> None:
    manifest = folder / "m.csv"
    lines = manifest.read_text().splitlines()
    lines[4:4] = [lines[1], "x.png,,not a number", ",9,0.2", "too,many,fields,here"]
    manifest.write_text("\n".join(lines) + "\n")
    source = open_source(manifest)
    settings = MeasureSettings(model=bright_model, runner="serial", threads=1)
    summary = measure_batch(source, tmp_path / "s.csv", tmp_path / "d.csv", settings)
    assert not summary.is_complete
    assert summary.table_problems.count == 4
    rows = _score(manifest, bright_model)
    assert (rows.pop(BROKEN).file_name, rows) == ("x.png", expected)


@pytest.mark.parametrize("n_killed", [1, 2])
def test_killed_worker_costs_no_row(
    folder: Path, bright_model: Path, expected: list[MeasurementRow], n_killed: int
) -> None:
    settings = MeasureSettings(model=bright_model, runner="pool", workers=2, threads=1)
    rows = []
    for row in measure_files(folder / "m.csv", settings=settings):
        if not rows:
            for process in multiprocessing.active_children()[:n_killed]:
                os.kill(process.pid or 0, signal.SIGKILL)
        rows.append(row)
    assert rows == expected


OUT_OF_MEMORY = """
import resource, sys
from dataclasses import replace
from pathlib import Path
from hc18.measurement.pixel_size_rules import open_source
from hc18.measurement.worker import MeasureWork

tasks = list(open_source(sys.argv[1]).tasks())
measure = MeasureWork(Path(sys.argv[2]), 1, 0.5)()
list(measure(tasks[:2]))
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 60_000_000, resource.RLIM_INFINITY))
for result in measure(tasks):
    print(result.rows[0].status.value, result.rows[0].hc_mm, result.rows[0].reason)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads its own size from /proc")
def test_image_larger_than_the_memory(
    folder: Path, bright_model: Path, expected: list[MeasurementRow], repository_root: Path
) -> None:
    Image.fromarray(np.zeros((5_000, 5_000), np.uint8)).save(_path(folder, BROKEN), compress_level=1)
    command = [sys.executable, "-c", OUT_OF_MEMORY, str(folder / "m.csv"), str(bright_model)]
    environment = {**os.environ, "PYTHONPATH": str(repository_root), "MALLOC_ARENA_MAX": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    lines = result.stdout.splitlines()
    assert "does not fit into memory" in lines.pop(BROKEN)
    assert lines == [f"ok {row.hc_mm} " for index, row in enumerate(expected) if index != BROKEN]


@contextmanager
def _small_disk(folder: Path, size: str) -> Iterator[None]:
    """A disk of that size at `folder`; skips the test where nobody may mount one."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _long_manifest(folder: Path, n_rows: int) -> Path:
    """A manifest that names the eight images again and again."""
    rows = "".join(f"{_path(folder, row % N_IMAGES).name},{row},0.2\n" for row in range(n_rows))
    (folder / "long.csv").write_text("path,id,pixel_size_mm\n" + rows)
    return folder / "long.csv"


@pytest.mark.skipif(shutil.which("mount") is None, reason="needs mount")
@pytest.mark.parametrize("size_kb", [32, 64])
def test_full_disk_stops_the_batch_and_nothing_finished_is_lost(
    folder: Path, bright_model: Path, tmp_path: Path, size_kb: int
) -> None:
    source = open_source(_long_manifest(folder, 80))
    settings = {"model": bright_model, "runner": "serial", "threads": 1}
    measure_batch(source, tmp_path / "s.csv", tmp_path / "d.csv", MeasureSettings(**settings))  # type: ignore[arg-type]
    disk = tmp_path / "disk"
    with _small_disk(disk, f"{size_kb}k"):
        outputs = (disk / "s.csv", disk / "d.csv")
        with pytest.raises(FetalHCError, match=r"No space left on device(.|\n)*continue with the same command"):
            measure_batch(source, *outputs, MeasureSettings(**settings))  # type: ignore[arg-type]
        assert [path.name for path in disk.iterdir()] == ["s.csv.parts"]
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        summary = measure_batch(source, *outputs, MeasureSettings(**settings, resume=True))  # type: ignore[arg-type]
        assert summary.n_before > 0
        for path in outputs:
            assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_file_size_limit_stops_the_batch_and_nothing_finished_is_lost(
    folder: Path, bright_model: Path, tmp_path: Path
) -> None:
    source = open_source(_long_manifest(folder, 40))
    settings = {"model": bright_model, "runner": "serial", "threads": 1}
    measure_batch(source, tmp_path / "s.csv", tmp_path / "d.csv", MeasureSettings(**settings))  # type: ignore[arg-type]
    outputs = (tmp_path / "out/s.csv", tmp_path / "out/d.csv")
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, limits[1]))
    try:
        with pytest.raises(FetalHCError, match=r"File too large(.|\n)*continue with the same command and --resume"):
            measure_batch(source, *outputs, MeasureSettings(**settings))  # type: ignore[arg-type]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert 0 < measure_batch(source, *outputs, MeasureSettings(**settings, resume=True)).n_before < 40  # type: ignore[arg-type]
    for path in outputs:
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


@pytest.mark.parametrize("runner", ["serial", "pool"])
def test_storage_that_vanishes_stops_the_batch_until_it_is_back(
    folder: Path, bright_model: Path, tmp_path: Path, runner: str
) -> None:
    manifest = _long_manifest(folder, 10 * FAILURES_IN_A_ROW).rename(tmp_path / "long.csv")
    source = open_source(folder, manifest=manifest)
    settings = {"model": bright_model, "threads": 1}
    expected = (tmp_path / "s.csv", tmp_path / "d.csv")
    measure_batch(source, *expected, MeasureSettings(**settings, runner="serial"))  # type: ignore[arg-type]
    outputs = (tmp_path / "out/s.csv", tmp_path / "out/d.csv")
    vanishing = _Vanishing(folder, outputs[0].with_name("s.csv.parts"))
    with vanishing, pytest.raises(DatasetError, match=r"is gone now(.|\n)*continue with the same command and --resume"):
        measure_batch(source, *outputs, MeasureSettings(**settings, runner=runner, workers=2))  # type: ignore[arg-type]
    summary = measure_batch(source, *outputs, MeasureSettings(**settings, runner="serial", resume=True))  # type: ignore[arg-type]
    assert summary.n_before > 0
    for path, reference in zip(outputs, expected, strict=True):
        assert path.read_bytes() == reference.read_bytes()


class _Vanishing:
    """A folder that is away from the moment the first results are kept until the block ends."""

    def __init__(self, folder: Path, parts: Path) -> None:
        self._away = folder.with_name("away")
        self._folder = folder
        script = "until [ -s $0/shard-000000000000.jsonl ]; do sleep 0.01; done; mv $1 $2"
        self._command = ["sh", "-c", script, str(parts), str(folder), str(self._away)]

    def __enter__(self) -> None:
        self._process = subprocess.Popen(self._command)

    def __exit__(self, *_: object) -> None:
        assert self._process.wait(timeout=60) == 0
        self._away.rename(self._folder)


def test_missing_object_on_remote_storage(
    folder: Path, bright_model: Path, expected: list[MeasurementRow], tmp_path: Path
) -> None:
    memory = fsspec.filesystem("memory")
    try:
        for path in folder.glob("*.png"):
            if path != _path(folder, BROKEN):
                memory.pipe_file(f"/bucket/{path.name}", path.read_bytes())
        source = open_source("memory://bucket", manifest=folder / "m.csv")
        settings = MeasureSettings(model=bright_model, runner="serial", threads=1)
        measure_batch(source, tmp_path / "s.csv", tmp_path / "d.csv", settings)
    finally:
        memory.store.clear()
    rows = read_details(tmp_path / "d.csv")
    assert rows[BROKEN].status == RowStatus.UNREADABLE
    assert "memory://bucket/" in rows[BROKEN].reason
    for index, (row, reference) in enumerate(zip(rows, expected, strict=True)):
        assert index == BROKEN or row.hc_mm == pytest.approx(reference.hc_mm, abs=1e-4)
