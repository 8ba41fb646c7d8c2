"""The number of processor cores that this process may use: affinity and container quota, not the machine's size."""

from __future__ import annotations

import math
import os
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cores(mount: Path = _MOUNT, membership: Path = _MEMBERSHIP) -> int:
    """Number of cores this process may keep busy, at least 1.

    The smaller of the cores it may be scheduled on and the processor-time quota of its control groups, rounded down.

    Args:
        mount: where control groups are mounted (version 2, or version 1 with its `cpu` folder).
        membership: file that says in which control groups this process is.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    scheduled = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, math.floor(min(float(scheduled), _quota_cores(mount, membership))))


def _quota_cores(mount: Path, membership: Path) -> float:
    """Smallest quota, in cores, of the control groups above this process; infinite where there is none."""
    groups = dict(_read_memberships(membership))
    quotas = [_read_quota_v2(folder / "cpu.max") for folder in _ancestors(mount, groups.get("", "/"))]
    quotas += [_read_quota_v1(folder) for folder in _ancestors(mount / "cpu", groups.get("cpu", "/"))]
    return min(quotas)


def _read_memberships(membership: Path) -> list[tuple[str, str]]:
    """(controller, group) pairs; the controller of version 2 is ""."""
    pairs = []
    for line in _read_text(membership).splitlines():
        _, controllers, group = line.split(":", 2)
        pairs += [(controller, group) for controller in controllers.split(",")]
    return pairs


def _ancestors(mount: Path, group: str) -> list[Path]:
    """Folders of a control group and of all groups above it, up to the mount point."""
    folder = mount / group.strip("/")
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(mount))]


def _read_quota_v2(file: Path) -> float:
    """Quota in cores from a `cpu.max` file ("<quota or max> <period>", microseconds)."""
    fields = _read_text(file).split()
    return int(fields[0]) / int(fields[1]) if len(fields) == 2 and fields[0] != "max" else math.inf


def _read_quota_v1(folder: Path) -> float:
    """Quota in cores from `cpu.cfs_quota_us` (-1: none) and `cpu.cfs_period_us`."""
    quota, period = _read_text(folder / "cpu.cfs_quota_us"), _read_text(folder / "cpu.cfs_period_us")
    return int(quota) / int(period) if quota and period and int(quota) > 0 else math.inf


def _read_text(file: Path) -> str:
    """Content of a file, or "" if there is none to read (another system, another version of control groups)."""
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError:
        return ""
