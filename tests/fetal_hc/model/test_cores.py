"""The number of cores respects affinity and container quotas."""

from pathlib import Path

import pytest

from fetal_hc.model import cores


@pytest.fixture(autouse=True)
def _eight_scheduled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def _cores(root: Path, membership: str) -> int:
    _write(root / "self_cgroup", membership)
    return cores.usable_cores(root / "cgroup", root / "self_cgroup")


def test_affinity_counts_where_there_is_no_quota(tmp_path: Path) -> None:
    assert cores.usable_cores(tmp_path / "cgroup", tmp_path / "none") == 8


@pytest.mark.parametrize(
    ("cpu_max", "expected"), [("max 100000", 8), ("200000 100000", 2), ("250000 100000", 2), ("50000 100000", 1)]
)
def test_quota_of_version_2(tmp_path: Path, cpu_max: str, expected: int) -> None:
    _write(tmp_path / "cgroup" / "cpu.max", cpu_max)
    assert _cores(tmp_path, "0::/\n") == expected


def test_smallest_quota_of_nested_groups_counts(tmp_path: Path) -> None:
    _write(tmp_path / "cgroup" / "slice" / "cpu.max", "300000 100000")
    _write(tmp_path / "cgroup" / "slice" / "job" / "cpu.max", "max 100000")
    assert _cores(tmp_path, "0::/slice/job\n") == 3


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("400000", 4)])
def test_quota_of_version_1(tmp_path: Path, quota: str, expected: int) -> None:
    _write(tmp_path / "cgroup" / "cpu" / "box" / "cpu.cfs_quota_us", quota)
    _write(tmp_path / "cgroup" / "cpu" / "box" / "cpu.cfs_period_us", "100000")
    assert _cores(tmp_path, "5:memory:/\n4:cpu,cpuacct:/box\n") == expected


def test_group_of_the_host_that_is_not_mounted_is_ignored(tmp_path: Path) -> None:
    _write(tmp_path / "cgroup" / "cpu.max", "200000 100000")
    assert _cores(tmp_path, "0::/kubepods/pod1/abc\n") == 2
