"""Memory of a process and all its descendants, sampled while it runs (Linux: /proc)."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class MemorySample:
    """Memory of a process tree at one moment.

    Attributes:
        seconds: since the start of the process.
        rss_mb: sum of the resident sizes; pages shared by several processes count for each.
        pss_mb: sum of the proportional sizes; shared pages count once in all.
    """

    seconds: float
    rss_mb: float
    pss_mb: float


def run_sampled(
    command: list[str], environment: dict[str, str], interval_s: float = 0.2
) -> tuple[subprocess.CompletedProcess[str], float, list[MemorySample]]:
    """Runs a command to its end: its result, the seconds it took, and its memory on the way."""
    started = time.perf_counter()
    samples = []
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None:
            rss_mb, pss_mb = tree_memory_mb(process.pid)
            samples.append(MemorySample(time.perf_counter() - started, rss_mb, pss_mb))
            time.sleep(interval_s)
        seconds = time.perf_counter() - started
        output, errors = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, output, errors), seconds, samples


def tree_memory_mb(root_pid: int) -> tuple[float, float]:
    """Summed resident and proportional sizes of a process and its descendants, in MB (1e6 bytes)."""
    rss_kib = pss_kib = 0
    for pid in _descendants(root_pid):
        fields = _read_sizes(_PROC / str(pid) / "smaps_rollup")
        rss_kib += fields.get("Rss", 0)
        pss_kib += fields.get("Pss", 0)
    return rss_kib * 1.024e-3, pss_kib * 1.024e-3


def _descendants(root_pid: int) -> list[int]:
    """The process and everything below it."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            fields = _read_text(entry / "stat").rpartition(")")[2].split()
            if len(fields) > 1:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root_pid]
    for pid in found:  # grows while it is walked
        found += children.get(pid, [])
    return found


def _read_sizes(file: Path) -> dict[str, int]:
    """The "Name:   123 kB" lines of a file in /proc, in KiB."""
    lines = (line.split() for line in _read_text(file).splitlines())
    return {fields[0].rstrip(":"): int(fields[1]) for fields in lines if len(fields) == 3 and fields[2] == "kB"}


def _read_text(file: Path) -> str:
    """Content of a file in /proc; empty if its process has just ended."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
