"""Runs of fetal-hc score over many phantoms, in fresh processes, as the benchmarks of long batches need them."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.process_memory import tree_memory_mb
from fetal_hc.batch.checkpoint.checkpoint_directory import FOLDER_SUFFIX
from fetal_hc.batch.checkpoint.shards import PARQUET_SUFFIX
from fetal_hc.errors import FetalHCError
from hc18.phantoms.folder import write_phantom_folder

TOOL = Path(__file__).parents[1] / "tools" / "score.py"
N_PHANTOMS = 40
PIXEL_SIZE_MM = 0.2


def keep_to_cores(count: int) -> None:
    """Lets this process and those that it starts run on so many cores, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def write_phantoms(folder: Path) -> list[Path]:
    """Paths of the distinct images, 800x540."""
    cases = write_phantom_folder(folder, N_PHANTOMS, 0, 0, progress=True)
    return [folder / case.folder / case.filename for case in cases]


def write_manifest(path: Path, phantoms: Sequence[Path], n_images: int) -> Path:
    """A manifest that names the phantoms again and again under different ids; returns `path`."""
    with path.open("w", encoding="utf-8") as stream:
        stream.write("path,id,pixel_size_mm\n")
        for index in range(n_images):
            stream.write(f"{phantoms[index % len(phantoms)]},{index:07d}.png,{PIXEL_SIZE_MM}\n")
    return path


def score_command(manifest: Path, model: Path, output: Path, *options: str) -> list[str]:
    """The command line of one run."""
    command = [sys.executable, str(TOOL), "--manifest", str(manifest), "--model", str(model), "--output", str(output)]
    return [*command, *options]


@dataclass(frozen=True, slots=True)
class Sample:
    """A running batch at one moment.

    Attributes:
        seconds: since the start of the process.
        n_done: results kept so far.
        rss_mb: summed resident size of all its processes; 0 if it was not asked for.
    """

    seconds: float
    n_done: int
    rss_mb: float


def run_batches(
    commands: Sequence[Sequence[str]], *, interval_s: float, with_memory: bool = False, kill_at: int | None = None
) -> list[list[Sample]]:
    """Samples of runs of fetal-hc score that start at the same moment.

    Args:
        commands: of `score_command`.
        interval_s: seconds between samples.
        with_memory: whether to sample the memory, which costs some time itself.
        kill_at: kills a run without warning when so many results are kept.

    Raises:
        FetalHCError: if a run does not end as it should.
    """
    environment = {**os.environ, "PYTHONPATH": str(TOOL.parents[1]), "OMP_NUM_THREADS": "1"}
    started = time.perf_counter()
    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(item, env=environment, start_new_session=True, **pipes) for item in commands]
    counters = [_ResultCounter(Path(command[command.index("--output") + 1] + FOLDER_SUFFIX)) for command in commands]
    samples: list[list[Sample]] = [[] for _ in commands]
    while any(process.poll() is None for process in processes):
        for process, counter, taken in zip(processes, counters, samples, strict=True):
            if process.poll() is None:
                n_done = counter.count()
                rss_mb = tree_memory_mb(process.pid)[0] if with_memory else 0.0
                taken.append(Sample(time.perf_counter() - started, n_done, rss_mb))
                if kill_at is not None and n_done >= kill_at:
                    os.killpg(process.pid, signal.SIGKILL)
        time.sleep(interval_s)
    for process in processes:
        _, errors = process.communicate()
        if process.returncode not in ((0, 1) if kill_at is None else (-signal.SIGKILL,)):  # 1: some images have no head
            raise FetalHCError(f"fetal-hc score ended with {process.returncode}: {errors}")
    return samples


def rate_after_start(samples: Sequence[Sample]) -> float:
    """Images per second from the first to the last moment at which results were kept."""
    first = next(sample for sample in samples if sample.n_done)
    last = next(sample for sample in samples if sample.n_done == samples[-1].n_done)
    if last.n_done == first.n_done:
        raise FetalHCError("the batch was over before its speed could be seen; use more --images")
    return (last.n_done - first.n_done) / (last.seconds - first.seconds)


class _ResultCounter:
    """Counts the results in a checkpoint directory, reading only what is new."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[Path, tuple[int, int]] = {}

    def count(self) -> int:
        """Results kept so far; after the folder was removed, as many as were seen."""
        for path in self._folder.glob("shard-*"):
            try:
                self._seen[path] = self._look(path)
            except FileNotFoundError:
                continue
        return sum(n_results for _, n_results in self._seen.values())

    def _look(self, path: Path) -> tuple[int, int]:
        """Bytes read of a shard so far, and its results."""
        offset, n_results = self._seen.get(path, (0, 0))
        if path.suffix == PARQUET_SUFFIX:
            n_rows = n_results or int(importlib.import_module("pyarrow.parquet").read_metadata(path).num_rows)
            return 0, n_rows
        with path.open("rb") as stream:
            stream.seek(offset)
            data = stream.read()
        return offset + len(data), n_results + data.count(b"\n")
